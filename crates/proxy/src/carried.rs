//! Facts that stages find and that the answer needs, whichever stage ends the request.
//!
//! They travel beside the line: a refused answer, too, carries a refreshed session cookie and names the signed-in person. The
//! audit record has no part in it.

use std::sync::Arc;

use access_policy::{Caller, Known};
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response};
use http_canonical::{CanonicalHost, CanonicalMethod, CanonicalPath};
use web_sessions::{LiveSession, SetCookies};

use crate::{
    identify::{Credential, Sender},
    refusal::DPOP_NONCE,
    route::{Cors, CorsFields, Offer, Preflight, Route},
};

/// Facts for the answer to one request.
#[derive(Debug, Default)]
pub struct Carried {
    /// Cookies that the answer sets.
    pub cookies: SetCookies,
    offer: Option<Box<Offer>>,
    cors: Option<Box<CorsFields>>,
    known: Option<Arc<Known>>,
    session: Option<Arc<LiveSession>>,
    nonce: Option<HeaderValue>,
}

impl Carried {
    /// Notes what a challenge to this request offers.
    pub fn challenge_on(
        &mut self,
        route: &Route,
        host: &CanonicalHost,
        method: &CanonicalMethod,
        path: &CanonicalPath,
        headers: &HeaderMap,
    ) {
        if route.basic || route.registry.is_some() || route.mcp.is_some() {
            let browser = headers.contains_key("sec-fetch-mode");
            self.offer = Some(Box::new(route.offer(host, method, path, browser)));
        }
    }

    /// Notes what a challenge offers.
    pub fn offer(&mut self, offer: Offer) {
        self.offer = Some(Box::new(offer));
    }

    /// Takes what a challenge offers.
    pub fn take_offer(&mut self) -> Offer {
        self.offer.take().map_or(Offer::Bearer, |offer| *offer)
    }

    /// Notes what the answer says about pages of other origins. Returns the preflight that the request is, if it is one.
    pub fn cross_origin(
        &mut self,
        cors: &Cors,
        method: &CanonicalMethod,
        headers: &HeaderMap,
    ) -> Option<Preflight> {
        self.cors = Some(Box::new(cors.fields(method, headers)));
        cors.preflight(method, headers)
    }

    /// Writes the cookies, and the fields about pages of other origins.
    pub fn put_on(self, answer: &mut Response<Body>) {
        self.cookies.put_on(answer);
        if let Some(cors) = self.cors {
            cors.put_on(answer.headers_mut());
        }
        if let Some(nonce) = self.nonce {
            answer.headers_mut().insert(DPOP_NONCE, nonce);
        }
    }

    /// Notes the nonce for the next DPoP proof.
    pub fn next_nonce(&mut self, nonce: Option<HeaderValue>) {
        self.nonce = nonce;
    }

    /// Notes the sender of the request.
    pub fn sender(&mut self, sender: &Sender) {
        if let Caller::Known(known) = &sender.caller {
            self.known = Some(Arc::clone(known));
        }
        if let Credential::Session(session) = &sender.credential {
            self.session = Some(Arc::clone(session));
        }
    }

    /// The caller, where an issuer has confirmed the identity.
    pub fn known(&self) -> Option<&Known> {
        self.known.as_deref()
    }

    /// The session that the request came with.
    pub fn session(&self) -> Option<&LiveSession> {
        self.session.as_deref()
    }
}
