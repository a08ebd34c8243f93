//! `sign_out`: ends the session here and at the provider (OpenID Connect RP-Initiated Logout 1.0 §2).
//!
//! A GET only asks; ending takes a POST from the gateway's own page, so that no other site can sign people out.

use axum::body::Body;
use http::{Response, StatusCode};
use oidc_core::LogoutRequest;

use crate::{
    endpoints::{Call, Endpoints, parameter, read_form, return_to::sanitize, with_cookies},
    observe, pages,
    respond::{Refusal, see_other},
    session::{LiveSession, Purpose, Which},
};

/// What a form token is sealed for.
const FORM: &str = "sign_out";

impl Endpoints {
    pub(super) async fn sign_out_page(&self, call: Call<'_>) -> Result<Response<Body>, Refusal> {
        let return_to = Some(self.return_to(&call)?);
        let Some(session) = self.session_of(&call.request).await? else {
            let page = pages::SignedOut { return_to, at_provider: false };
            return Ok(page.into_response(call.asked, StatusCode::OK));
        };
        let page = pages::SignOutConfirm {
            who: session.known().display_name().to_owned(),
            csrf: self.form_token(&session)?,
            return_to,
        };
        Ok(page.into_response(call.asked, StatusCode::OK))
    }

    pub(super) async fn sign_out(&self, call: Call<'_>) -> Result<Response<Body>, Refusal> {
        self.same_origin(&call.request)?;
        let Some(session) = self.session_of(&call.request).await? else {
            let page = pages::SignedOut { return_to: None, at_provider: false };
            let clear = self.cookies.clear_session(call.request.headers());
            return Ok(with_cookies(page.into_response(call.asked, StatusCode::OK), clear));
        };
        let clear = self.cookies.clear_session(call.request.headers());
        let host = call.request.host().clone();
        let asked = call.asked;
        let form = read_form(call.request.into_body()).await?;
        let token = parameter(&form, "csrf")?.unwrap_or_default();
        if !self.is_form_token(&token, &session) {
            return Err(Refusal::ForeignOrigin { origin: "(form without its token)".to_owned() });
        }
        let return_to = sanitize(&parameter(&form, "rd")?.unwrap_or_default(), &self.origin(&host));
        self.end_everywhere(&session).await?;
        let record = session.record();
        tracing::info!(subject = record.known.subject, session = %session.id(), "signed out");
        observe::logout(&record.known.issuer, "here");
        let at_provider = self.issuers.named(&record.known.issuer).and_then(|issuer| {
            let mut request = LogoutRequest::default();
            if let Some(id_token) = record.id_token.clone() {
                request = request.with_id_token_hint(id_token);
            }
            if let Ok(back) = self.own_url(&host, "signed_out") {
                request = request.with_post_logout_redirect_uri(back);
            }
            issuer.client().logout_url(&request)
        });
        let response = match at_provider {
            Some(url) => see_other(url.as_str(), StatusCode::SEE_OTHER, asked),
            None => pages::SignedOut { return_to: Some(return_to), at_provider: false }
                .into_response(asked, StatusCode::OK),
        };
        Ok(with_cookies(response, clear))
    }

    pub(super) fn signed_out(&self, call: &Call<'_>) -> Response<Body> {
        pages::SignedOut { return_to: None, at_provider: true }.into_response(call.asked, StatusCode::OK)
    }

    /// Ends this session and those the same provider session began on other hosts.
    async fn end_everywhere(&self, session: &LiveSession) -> Result<(), Refusal> {
        self.sessions.end(session.id()).await?;
        let record = session.record();
        if let Some(sid) = record.provider_session.clone() {
            let issuer = record.known.issuer.clone();
            self.sessions.end_matching(&Which::ProviderSession { issuer, sid }).await?;
        }
        Ok(())
    }

    /// A token for the sign-out form of this session.
    pub(super) fn form_token(&self, session: &LiveSession) -> Result<String, Refusal> {
        self.keys
            .seal(Purpose::Form, FORM, session.id().as_str().as_bytes())
            .map_err(|error| Refusal::Internal { reason: error.to_string() })
    }

    fn is_form_token(&self, token: &str, session: &LiveSession) -> bool {
        self.keys
            .open(Purpose::Form, FORM, token)
            .is_some_and(|id| id.as_slice() == session.id().as_str().as_bytes())
    }
}
