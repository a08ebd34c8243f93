//! One request to one of the gateway's own URLs, as its handler gets it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderValue, request::Parts};
use http_canonical::{CanonicalMethod, ForwardAuth};
use web_sessions::SetCookies;

use crate::{
    audit::Trail,
    carried::Carried,
    identify::Sender,
    listen::CanonicalRequest,
    refusal::Refusal,
    respond::AnswerContext,
    route::{Offer, Route, Routes},
};

/// A request, and what its answer needs from the handler whatever the outcome.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Box<CanonicalRequest>,
    pub(crate) context: Arc<AnswerContext>,
    pub(super) notes: Notes,
}

/// Results of a handler beside its answer.
#[derive(Debug)]
pub(super) struct Noted {
    pub(super) trail: Trail,
    pub(super) carried: Carried,
}

/// The request on its way through the router, as an extension of the router's own request.
#[derive(Debug, Clone)]
pub(super) struct Notes(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    request: Option<Box<CanonicalRequest>>,
    context: Arc<AnswerContext>,
    noted: Option<Noted>,
}

impl Notes {
    pub(super) fn new(
        request: Box<CanonicalRequest>,
        context: AnswerContext,
        trail: Trail,
    ) -> Self {
        let noted = Some(Noted { trail, carried: Carried::default() });
        Self(Arc::new(Mutex::new(Inner {
            request: Some(request),
            context: Arc::new(context),
            noted,
        })))
    }

    /// Whether the request is for one of the hosts of these routes. To be asked before a handler takes the request. A `question`
    /// is for the host asked about: the proxy may address the gateway by another name, such as that of a service in a cluster.
    pub(super) fn is_for_host_of(&self, routes: &Routes, question: bool) -> bool {
        let inner = self.inner();
        let Some(request) = &inner.request else { return false };
        match request.question() {
            Ok(asked) if question => routes.knows_host(&asked.host),
            _ => routes.knows_host(request.host()),
        }
    }

    /// Facts that an answer needs.
    pub(super) fn context(&self) -> Arc<AnswerContext> {
        Arc::clone(&self.inner().context)
    }

    /// Takes the results, once the handler is done.
    pub(super) fn take(&self) -> Option<Noted> {
        self.inner().noted.take()
    }

    /// Adds cookies that the answer sets, also when it is a refusal.
    pub(super) fn set_cookies(&self, cookies: SetCookies) {
        self.note(|noted| noted.carried.cookies.extend(cookies));
    }

    /// Notes the sender for the answer.
    pub(super) fn sent_by(&self, sender: &Sender) {
        self.note(|noted| noted.carried.sender(sender));
    }

    /// Notes the nonce for the next DPoP proof.
    pub(super) fn next_nonce(&self, nonce: Option<HeaderValue>) {
        self.note(|noted| noted.carried.next_nonce(nonce));
    }

    /// Notes what a challenge to the request that a proxy asks about offers.
    pub(super) fn challenge_on(
        &self,
        route: &Route,
        question: &ForwardAuth,
        method: &CanonicalMethod,
        headers: &HeaderMap,
    ) {
        let ForwardAuth { host, path, .. } = question;
        self.note(|noted| noted.carried.challenge_on(route, host, method, path, headers));
    }

    /// Notes what a challenge to this request offers.
    pub(super) fn offer(&self, offer: Offer) {
        self.note(|noted| noted.carried.offer(offer));
    }

    /// Writes to the audit record.
    pub(super) fn audit(&self, write: impl FnOnce(&mut Trail)) {
        self.note(|noted| write(&mut noted.trail));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: impl FnOnce(&mut Noted)) {
        if let Some(noted) = &mut self.inner().noted {
            note(noted);
        }
    }
}

impl Call {
    /// The query, without `?`.
    pub(super) fn query(&self) -> &[u8] {
        self.request.query().unwrap_or_default().as_bytes()
    }
}

// === impl FromRequestParts ===

impl<S: Send + Sync> FromRequestParts<S> for Call {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let internal = || Refusal::Internal { reason: "a call without its request".to_owned() };
        let notes = parts.extensions.get::<Notes>().cloned().ok_or_else(internal)?;
        let (request, context) = {
            let mut inner = notes.inner();
            (inner.request.take().ok_or_else(internal)?, Arc::clone(&inner.context))
        };
        Ok(Self { request, context, notes })
    }
}
