//! `sign_out`: ends the session here and at the provider (OpenID Connect RP-Initiated Logout 1.0 §2).
//!
//! The refresh token is revoked (RFC 7009), so that it opens no session elsewhere. A GET only asks; ending takes a POST from the gateway's own page, so that no other site can sign users out.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{Response, StatusCode};
use http_canonical::CanonicalHost;
use oidc_core::Secret;
use oidc_core::client::{TokenEndpointError, TokenHint};
use oidc_core::login::LogoutRequest;
use url::Url;
use web_sessions::{LiveSession, Purpose, Record, Which};

use crate::{
    endpoints::{
        Call, Endpoints, parameter, read_form,
        return_to::{HOME, sanitize},
    },
    identify::issuers::IssuerClient,
    metric,
    refusal::Refusal,
    respond::{AnswerContext, pages, see_other},
    workers::in_background,
};

/// The longest URL to end the session at the provider: common servers refuse a request line above 8 KiB, and some above 4.
const LONGEST: usize = 4 * 1024;
/// Time limit for revoking a refresh token.
const PATIENCE: Duration = Duration::from_secs(8);

/// Context in which a form token is sealed.
const FORM: &str = "sign_out";

/// Next step after the session has ended; travels to the provider and back as `state` (RP-Initiated Logout 1.0 §2).
#[derive(Debug, PartialEq, Eq)]
enum After {
    /// The signed-out page, with a link back to this path.
    Rest(String),
    /// Signing in again, then back to this path: the user switches accounts.
    SignInAgain(String),
}

impl After {
    /// Reads a `state`. It came through the browser, so it is checked like `rd`.
    fn read(state: &str, origin: &str) -> Self {
        match state.strip_prefix("switch:") {
            Some(return_to) => Self::SignInAgain(sanitize(return_to, origin)),
            None => Self::Rest(sanitize(state, origin)),
        }
    }

    /// The same, without the path.
    fn at_home(&self) -> Self {
        match self {
            Self::Rest(_) => Self::Rest(HOME.to_owned()),
            Self::SignInAgain(_) => Self::SignInAgain(HOME.to_owned()),
        }
    }

    fn answer(self, context: &AnswerContext, at_provider: bool) -> Response<Body> {
        match self {
            Self::Rest(return_to) => pages::SignedOut { return_to: Some(return_to), at_provider }
                .into_response(context, StatusCode::OK),
            Self::SignInAgain(return_to) => {
                see_other(&context.site.start(&return_to), StatusCode::SEE_OTHER, context)
            }
        }
    }
}

impl std::fmt::Display for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rest(return_to) => f.write_str(return_to),
            Self::SignInAgain(return_to) => write!(f, "switch:{return_to}"),
        }
    }
}

impl Endpoints {
    pub(super) async fn sign_out_page(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let return_to = Some(self.return_to(&call)?.address);
        let Some(session) = self.session_of(&call.request).await? else {
            let page = pages::SignedOut { return_to, at_provider: false };
            return Ok(page.into_response(&call.context, StatusCode::OK));
        };
        let page = pages::SignOutConfirm {
            who: call.context.site.name_of(&session.known()),
            csrf: self.form_token(&session)?,
            return_to,
        };
        Ok(page.into_response(&call.context, StatusCode::OK))
    }

    pub(super) async fn sign_out(&self, call: Call) -> Result<Response<Body>, Refusal> {
        self.same_origin(&call.request)?;
        let Some(session) = self.session_of(&call.request).await? else {
            let page = pages::SignedOut { return_to: None, at_provider: false };
            call.notes.set_cookies(self.cookies.clear_session(call.request.headers()));
            return Ok(page.into_response(&call.context, StatusCode::OK));
        };
        let clear = self.cookies.clear_session(call.request.headers());
        let host = call.request.host().clone();
        let context = Arc::clone(&call.context);
        let form = read_form(call.request.into_body().body).await?;
        let token = parameter(&form, "csrf")?.unwrap_or_default();
        if !self.is_form_token(&token, &session) {
            return Err(Refusal::ForeignOrigin { origin: "(form without its token)".to_owned() });
        }
        let return_to = sanitize(&parameter(&form, "rd")?.unwrap_or_default(), &self.origin(&host));
        let after = match parameter(&form, "switch")? {
            Some(_) => After::SignInAgain(return_to),
            None => After::Rest(return_to),
        };
        self.end_everywhere(&session).await?;
        let record = session.record();
        tracing::info!(
            issuer = record.known.issuer,
            subject = record.known.subject,
            session = %session.id(),
            "signed out"
        );
        metric::logout(&record.known.issuer, "here");
        self.revoke(&record);
        call.notes.set_cookies(clear);
        Ok(match self.logout_url(&record, &host, &after) {
            Some(url) => see_other(url.as_str(), StatusCode::SEE_OTHER, &context),
            None => after.answer(&context, false),
        })
    }

    pub(super) async fn signed_out(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let state = parameter(call.query(), "state")?.unwrap_or_default();
        Ok(After::read(&state, &self.origin(call.request.host())).answer(&call.context, true))
    }

    /// URL at which the provider ends its own session, if it offers one. Where it would be too long for a request line, it loses
    /// the path to come back to, then the ID token.
    fn logout_url(&self, record: &Record, host: &CanonicalHost, after: &After) -> Option<Url> {
        let issuer = self.issuer_of(record)?;
        let back = self.own_url(host, "signed_out").ok();
        let url = |hint: Option<Secret>, after: &After| {
            let mut request = LogoutRequest::default().with_state(after.to_string());
            request.id_token_hint = hint;
            request.post_logout_redirect_uri = back.clone();
            issuer.client().logout_url(&request)
        };
        let hint = || record.id_token.clone();
        let fits = |url: &Option<Url>| url.as_ref().is_none_or(|url| url.as_str().len() <= LONGEST);
        let home = after.at_home();
        let whole = Some(url(hint(), after)).filter(fits);
        whole
            .or_else(|| Some(url(hint(), &home)).filter(fits))
            .or_else(|| Some(url(None, after)).filter(fits))
            .unwrap_or_else(|| url(None, &home))
    }

    /// The issuer that a session's tokens are from. Its name may now belong to another issuer, which must not get them.
    fn issuer_of(&self, record: &Record) -> Option<&Arc<IssuerClient>> {
        let issuer = self.issuers.named(&record.known.issuer)?;
        Some(issuer).filter(|issuer| issuer.began(record))
    }

    /// Revokes the refresh token in a task of its own: the user does not wait for it.
    fn revoke(&self, record: &Record) {
        let (Some(issuer), Some(token)) = (self.issuer_of(record), record.refresh_token.clone())
        else {
            return;
        };
        let issuer = Arc::clone(issuer);
        in_background(async move {
            let revoked = issuer.client().revoke(&token, TokenHint::RefreshToken);
            match tokio::time::timeout(PATIENCE, revoked).await {
                Ok(Ok(())) | Ok(Err(TokenEndpointError::NotSupported { .. })) => {}
                Ok(Err(error)) => {
                    tracing::warn!(issuer = issuer.name(), %error, "refresh token not revoked");
                }
                Err(_) => {
                    tracing::warn!(issuer = issuer.name(), "refresh token not revoked: no answer");
                }
            }
        });
    }

    /// Ends this session and those that the same provider session began on other hosts.
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
    pub(crate) fn form_token(&self, session: &LiveSession) -> Result<String, Refusal> {
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
