//! Session cookies: the `Cookie` header to a session, its tokens refreshed when due.
//!
//! A cookie that opens nothing is nobody's, not an error. A store or provider that does not answer is an error, never "signed out".

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};

use crate::{
    identify::{Caller, Credential, Identity},
    observe,
    respond::Refusal,
    session::{Cookies, LiveSession, RenewError, Sessions, StoreError, Ticket},
};

/// Opens session cookies.
#[derive(Debug, Clone)]
pub struct SessionCookie {
    cookies: Cookies,
    sessions: Arc<Sessions>,
    lifetime: Duration,
}

impl SessionCookie {
    /// Opens cookies of these names with these sessions, which last at most this long.
    pub fn new(cookies: Cookies, sessions: Arc<Sessions>, lifetime: Duration) -> Self {
        Self { cookies, sessions, lifetime }
    }

    /// Whom a request's session cookie stands for, with an access token that is good now.
    ///
    /// # Errors
    ///
    /// [`Refusal::StoreUnavailable`], or [`Refusal::ProviderUnavailable`] when the token has expired and cannot be refreshed now.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let Some(ticket) = self.cookies.session_ticket(headers) else {
            return Ok(Caller::ANONYMOUS);
        };
        let Some(session) = self.open(&ticket).await? else { return Ok(Caller::ANONYMOUS) };
        match self.sessions.fresh(&session).await {
            Ok(_) => Ok(Caller {
                identity: Identity::Known(session.known()),
                cookies: self.newer_cookies(headers, &ticket, &session),
                credential: Credential::Session(session),
            }),
            Err(error) if error.session_ended() => Ok(Caller::ANONYMOUS),
            Err(RenewError::Store(error)) => Err(error.into()),
            Err(error) => Err(Refusal::ProviderUnavailable {
                issuer: session.known().issuer.clone(),
                reason: error.to_string(),
            }),
        }
    }

    /// With the cookie store a refresh changes the cookie, and the answer must carry the new one.
    fn newer_cookies(
        &self,
        headers: &HeaderMap,
        presented: &Ticket,
        session: &LiveSession,
    ) -> Vec<HeaderValue> {
        let Some(ticket) = session.newer_ticket(presented) else { return Vec::new() };
        self.cookies.set_session(headers, &ticket, self.lifetime).unwrap_or_else(|error| {
            tracing::warn!(%error, session = %session.id(), "a refreshed session does not fit its cookies");
            Vec::new()
        })
    }

    async fn open(&self, ticket: &Ticket) -> Result<Option<Arc<LiveSession>>, Refusal> {
        if let Some(session) = self.sessions.cached(ticket) {
            observe::session_remembered();
            return Ok(Some(session));
        }
        let opened = self.sessions.open(ticket).await?;
        observe::session_opened(if opened.is_some() { "opened" } else { "unknown" });
        Ok(opened)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let reason = error.to_string();
        match error {
            StoreError::Unavailable { .. } => Self::StoreUnavailable { reason },
            StoreError::TooLarge { .. } => Self::Internal {
                reason: format!("{reason}; the embedded store takes sessions of any size"),
            },
        }
    }
}
