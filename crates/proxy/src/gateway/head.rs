//! Facts about a request that its answer needs if the gateway itself gives it: a refusal, a redirect.
//!
//! Most requests are answered by an upstream. So nothing is formatted or allocated here before an answer asks for it.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request, Uri};
use http_canonical::{Peer, RequestId, Wants, path_and_query};

use crate::{
    listen::ConnInfo,
    respond::{AnswerContext, Site, is_script},
};

/// Facts that are copied before the request is consumed.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) wants: Wants,
    script: bool,
    pub(super) peer: Option<Peer>,
    pub(super) request_id: Option<RequestId>,
}

impl Head {
    pub(super) fn of(request: &Request<Body>) -> Self {
        let (headers, extensions) = (request.headers(), request.extensions());
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            wants: Wants::of(headers),
            script: is_script(headers),
            peer: extensions.get::<Arc<ConnInfo>>().map(|connection| connection.peer),
            request_id: extensions.get::<RequestId>().cloned(),
        }
    }

    /// The context of the answer to a request that has a canonical form.
    pub(super) fn context(&self, site: &Arc<Site>, request_id: &RequestId) -> AnswerContext {
        let address = self.path_and_query();
        AnswerContext::new(site, &self.method, self.wants, request_id.as_str(), address)
            .with_script(self.script)
    }

    /// Whether the canonical form of path and query is longer than this.
    pub(super) fn is_longer_than(&self, limit: usize) -> bool {
        let path = self.uri.path().len();
        let sent = self.uri.query().map_or(path, |query| path + 1 + query.len());
        // A byte takes three when it is percent-encoded.
        sent * 3 > limit && self.path_and_query().len() > limit
    }

    fn path_and_query(&self) -> String {
        // The request has a canonical form, so that its target has one.
        path_and_query(&self.uri).unwrap_or_else(|_| "/".to_owned())
    }
}
