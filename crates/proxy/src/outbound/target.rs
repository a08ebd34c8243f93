//! One target of the local listener: the service, and its tokens.

use std::fmt;
use std::sync::Arc;

use m2m::{AccessToken, CachedTokens, Exchange, ExchangedTokens, TokenSource as _};
use oidc_core::Secret;

use super::refused::Refused;
use crate::{
    config::{Streams, Timeouts},
    forward::patiently,
    upstream::Upstream,
};

/// A service that programs call through the local listener.
pub(crate) struct Target {
    /// Its name: the first segment of its paths.
    pub(crate) name: String,
    /// The audience of its tokens, by which programs may ask for them.
    pub(crate) audience: Option<String>,
    /// The issuer of its tokens, by its name in the configuration.
    pub(crate) issuer: String,
    /// The service.
    pub(crate) upstream: Upstream,
    /// Its time limits.
    pub(crate) timeouts: Timeouts,
    /// Effect of the end of a token on a WebSocket.
    pub(crate) streams: Streams,
    /// Its tokens.
    pub(crate) tokens: Tokens,
}

/// Tokens for one target.
#[derive(Clone)]
pub(crate) enum Tokens {
    /// The same for every program.
    Own(CachedTokens),
    /// On behalf of the user whose token a program presents.
    OnBehalf { tokens: Box<ExchangedTokens>, wanted: Arc<Exchange> },
}

impl Tokens {
    /// Whether a request must present the token of a user.
    pub(super) fn need_subject(&self) -> bool {
        matches!(self, Self::OnBehalf { .. })
    }

    /// A token that is valid now; one in memory needs no I/O.
    pub(super) async fn token(&self, subject: Option<&Secret>) -> Result<AccessToken, Refused> {
        let answer = match (self, subject) {
            (Self::Own(tokens), _) => match tokens.current() {
                Some(token) => return Ok(token),
                None => {
                    let tokens = tokens.clone();
                    patiently(async move { tokens.token().await }).await
                }
            },
            (Self::OnBehalf { tokens, wanted }, Some(subject)) => {
                if let Some(token) = tokens.current(subject, wanted).await {
                    return Ok(token);
                }
                let (tokens, wanted) = (tokens.clone(), Arc::clone(wanted));
                let subject = subject.clone();
                patiently(async move { tokens.exchange(&subject, &wanted).await }).await
            }
            (Self::OnBehalf { .. }, None) => return Err(Refused::NoSubject),
        };
        answer.map_err(Refused::Token)
    }

    /// Another token after the service rejected this one; `None` when there is none now.
    pub(super) async fn after(
        &self,
        rejected: &AccessToken,
        subject: Option<&Secret>,
    ) -> Option<AccessToken> {
        let before = rejected.clone();
        let next = match (self, subject) {
            (Self::Own(tokens), _) => {
                let tokens = tokens.clone();
                patiently(async move { tokens.token_after(&before).await }).await
            }
            (Self::OnBehalf { tokens, wanted }, Some(subject)) => {
                let (tokens, wanted) = (tokens.clone(), Arc::clone(wanted));
                let subject = subject.clone();
                let asking = async move { tokens.exchange_after(&before, &subject, &wanted).await };
                patiently(asking).await
            }
            (Self::OnBehalf { .. }, None) => return None,
        };
        next.ok().filter(|next| next != rejected)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("name", &self.name)
            .field("audience", &self.audience)
            .field("upstream", &self.upstream)
            .finish_non_exhaustive()
    }
}
