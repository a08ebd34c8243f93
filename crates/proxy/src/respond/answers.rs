//! Answers given before the line: to bytes that are not a request, and to a request whose handling panicked.
//!
//! They are written like every other refusal, so that there is only one table of statuses and texts.

use std::sync::Arc;

use axum::body::Body;
use http::Response;

use super::{AnswerContext, Site, respond};
use crate::listen::{Answers, Glimpse};
use crate::refusal::Refusal;
use http_canonical::{RequestId, framing::Violation};

/// The gateway's answers, for the listener.
#[derive(Debug, Clone)]
pub struct OwnAnswers {
    site: Arc<Site>,
}

impl OwnAnswers {
    /// The answers of this site.
    pub fn new(site: Arc<Site>) -> Self {
        Self { site }
    }
}

impl Answers for OwnAnswers {
    fn violation(
        &self,
        violation: &Violation,
        request_id: &RequestId,
        glimpse: &Glimpse,
    ) -> Response<Body> {
        let refusal = Refusal::from(*violation);
        respond(&refusal, &AnswerContext::glimpsed(&self.site, request_id.as_str(), glimpse))
    }

    fn panicked(&self, request_id: &RequestId) -> Response<Body> {
        let refusal = Refusal::Internal { reason: "panicked".to_owned() };
        respond(&refusal, &AnswerContext::unread(&self.site, request_id.as_str()))
    }
}
