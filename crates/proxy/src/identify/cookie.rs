//! Session cookies: finds the session in the `Cookie` header, and refreshes its tokens when due.
//!
//! An unknown session cookie means anonymous, not an error. A store or provider that does not answer is an error, never "signed
//! out".

use std::{sync::Arc, time::Duration};

use access_policy::Caller;
use http::HeaderMap;
use web_sessions::{Cookies, LiveSession, RenewError, Sessions, SetCookies, StoreError, Ticket};

use crate::{
    identify::{Credential, Sender, Unread, issuers::Issuers},
    metric,
    refusal::Refusal,
};

/// Opens session cookies.
#[derive(Debug, Clone)]
pub struct SessionCookie {
    cookies: Cookies,
    sessions: Arc<Sessions>,
    issuers: Arc<Issuers>,
    lifetime: Duration,
}

impl SessionCookie {
    /// Opens cookies of these names with these sessions, which last at most this long, for users of these issuers.
    pub fn new(
        cookies: Cookies,
        sessions: Arc<Sessions>,
        issuers: Arc<Issuers>,
        lifetime: Duration,
    ) -> Self {
        Self { cookies, sessions, issuers, lifetime }
    }

    /// The caller of a request's session cookie, with an access token that is valid now. A session whose token has expired and
    /// cannot be refreshed now is an unread credential. A cookie that a refresh changed is
    /// added to `cookies`.
    ///
    /// # Errors
    ///
    /// [`Refusal::StoreUnavailable`] when the cookie cannot be read now.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        cookies: &mut SetCookies,
    ) -> Result<Sender, Refusal> {
        let Some(ticket) = self.ticket(headers) else {
            return Ok(Sender::ANONYMOUS);
        };
        let Some(session) = self.open(&ticket).await? else { return Ok(Sender::ANONYMOUS) };
        match self.sessions.fresh(&session).await {
            Ok(_) => {
                cookies.extend(self.cookies.newer_session(
                    headers,
                    &ticket,
                    &session,
                    self.lifetime,
                ));
                Ok(match self.identity(&session) {
                    Caller::Known(known) => Sender::known(known, Credential::Session(session)),
                    Caller::Anonymous => Sender::ANONYMOUS,
                })
            }
            Err(error) if error.session_ended() => Ok(Sender::ANONYMOUS),
            Err(RenewError::Store(error)) => Err(error.into()),
            Err(error) => {
                let (issuer, reason) = (session.known().issuer.clone(), error.to_string());
                Ok(Sender { unread: Some(Unread::Session { issuer, reason }), ..Sender::ANONYMOUS })
            }
        }
    }

    /// The ticket in a request's session cookie.
    pub(super) fn ticket(&self, headers: &HeaderMap) -> Option<Ticket> {
        self.cookies.session_ticket(headers)
    }

    /// The caller of a ticket that comes beside a token. Refreshes nothing, and does not count as activity.
    ///
    /// # Errors
    ///
    /// [`Refusal::StoreUnavailable`]
    pub(super) async fn caller_of(&self, ticket: &Ticket) -> Result<Caller, Refusal> {
        let session = self.sessions.peek(ticket).await?;
        Ok(session.map_or(Caller::Anonymous, |session| self.identity(&session)))
    }

    /// Identity of a session while a stream of it is open; anonymous when only a request could confirm it (see
    /// [`Sessions::is_unconfirmed`]).
    pub(super) fn identity_of_stream(&self, session: &LiveSession) -> Caller {
        match self.sessions.is_unconfirmed(session) {
            true => Caller::Anonymous,
            false => self.identity(session),
        }
    }

    /// Identity of a session. Anonymous if its issuer is no longer configured under its name, or if another issuer has that
    /// name now: the same subject there is another person.
    pub(super) fn identity(&self, session: &LiveSession) -> Caller {
        let known = session.known();
        match self.issuers.named(&known.issuer) {
            Some(issuer) if issuer.is_issuer(&known.iss) => Caller::Known(known),
            // A session of a version that did not store the identifier.
            Some(issuer)
                if known.iss.is_empty()
                    && issuer.tenants.is_empty()
                    && session.record().is_of(issuer.url()) =>
            {
                session.complete_issuer(issuer.url());
                Caller::Known(session.known())
            }
            _ => {
                tracing::debug!(
                    session = %session.id(),
                    issuer = known.issuer,
                    "the session's issuer is no longer configured under this name"
                );
                Caller::Anonymous
            }
        }
    }

    async fn open(&self, ticket: &Ticket) -> Result<Option<Arc<LiveSession>>, Refusal> {
        if let Some(session) = self.sessions.cached(ticket) {
            metric::session_remembered();
            return Ok(Some(session));
        }
        let opened = Box::pin(self.sessions.open(ticket)).await?;
        metric::session_opened(if opened.is_some() { "opened" } else { "unknown" });
        Ok(opened)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let reason = error.to_string();
        match error {
            StoreError::Unavailable { .. } => Self::StoreUnavailable { reason },
            StoreError::TooLarge { size, limit } => Self::SignInFailed {
                reason: format!(
                    "The identity provider's tokens are too large for the session cookie: {size} bytes, at most {limit} fit. Operators set `session.store: embedded`, or have the provider put fewer claims into tokens"
                )
                .into(),
                code: "session_too_large",
                return_to: "/".to_owned(),
            },
        }
    }
}
