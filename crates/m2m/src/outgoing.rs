//! Adds the token and the proof to a request, and reads from the answer whether to send it again
//! (RFC 6750 §2.1, §3; RFC 9449 §7.1, §9). Shared by the layer and the middleware.

use std::fmt;
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use oidc_core::client::{InvalidPrivateKey, TokenType};
use oidc_core::dpop::{DpopKey, DpopNonces};
use oidc_core::{Clock, SystemClock};
use url::Url;

use crate::access_token::AccessToken;
use crate::origin::Origin;
use crate::source::{TokenError, TokenSource};

const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Reason a request was not sent: it could not be authorized.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorizeError {
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token is bound to a key (RFC 9449), and no key was given.
    #[error("the token is bound to a DPoP key, and none was given; use with_dpop")]
    NoDpopKey,
    /// No proof of possession can be made.
    #[error("no DPoP proof can be made: {reason}")]
    Proof {
        /// Problem with the key or the address.
        reason: String,
    },
}

impl From<InvalidPrivateKey> for AuthorizeError {
    fn from(error: InvalidPrivateKey) -> Self {
        Self::Proof { reason: error.to_string() }
    }
}

/// Token source, the origins its tokens may go to, and the proof key.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) source: Arc<dyn TokenSource>,
    pub(crate) origins: Vec<Origin>,
    pub(crate) clock: Arc<dyn Clock>,
    dpop: Option<Arc<DpopKey>>,
    /// Nonces of the services. The token endpoint keeps those of the issuer.
    nonces: Arc<DpopNonces>,
}

/// One request until its last answer.
pub(crate) struct Exchange<'a> {
    outgoing: &'a Outgoing,
    token: AccessToken,
    has_renewed: bool,
    has_new_nonce: bool,
}

impl Outgoing {
    pub(crate) fn new(source: Arc<dyn TokenSource>, origin: Origin) -> Self {
        Self {
            source,
            origins: vec![origin],
            clock: Arc::new(SystemClock),
            dpop: None,
            nonces: Arc::default(),
        }
    }

    pub(crate) fn with_dpop(self, key: Arc<DpopKey>) -> Self {
        Self { dpop: Some(key), nonces: Arc::default(), ..self }
    }

    pub(crate) async fn begin(&self) -> Result<Exchange<'_>, AuthorizeError> {
        let token = match self.source.current() {
            Some(token) => token,
            None => self.source.token().await?,
        };
        Ok(Exchange { outgoing: self, token, has_renewed: false, has_new_nonce: false })
    }

    /// Tells the source in the background that a service refused this token; the next request then has a
    /// newer one. Without a Tokio runtime there is no task to do it in, and nothing happens.
    #[cfg(feature = "tonic")]
    pub(crate) fn report(&self, rejected: AccessToken) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let source = Arc::clone(&self.source);
        runtime.spawn(async move {
            if let Err(error) = source.token_after(&rejected).await {
                tracing::debug!(%error, "a token was rejected, and there is no newer one");
            }
        });
    }
}

impl Exchange<'_> {
    /// Puts the token on a request, and the proof if it needs one.
    pub(crate) fn authorize(
        &self,
        method: &Method,
        url: impl FnOnce() -> Option<Url>,
        headers: &mut HeaderMap,
    ) -> Result<(), AuthorizeError> {
        headers.insert(AUTHORIZATION, self.token.authorization());
        if self.token.token_type() != TokenType::DPoP {
            return Ok(());
        }
        let key = self.outgoing.dpop.as_ref().ok_or(AuthorizeError::NoDpopKey)?;
        let unusable = || AuthorizeError::Proof { reason: "the address is no URL".to_owned() };
        let url = url().ok_or_else(unusable)?;
        let nonce = self.outgoing.nonces.latest(&url);
        let now = self.outgoing.clock.now();
        let proof = key.proof(method, &url, Some(self.token.secret()), nonce.as_deref(), now)?;
        let proof = HeaderValue::try_from(proof.expose()).map_err(|_| unusable())?;
        headers.insert(DPOP, proof);
        Ok(())
    }

    /// Keeps the nonce of an answer to a bound token; true if it has one.
    pub(crate) fn note_nonce(
        &self,
        url: impl FnOnce() -> Option<Url>,
        headers: &HeaderMap,
    ) -> bool {
        let is_bound = self.token.token_type() == TokenType::DPoP;
        is_bound && url().is_some_and(|url| self.outgoing.nonces.note(&url, headers))
    }

    /// True if the request is to be sent again after this answer: once with the service's nonce, once
    /// with a newer token. `is_refused`: the service refused the token.
    pub(crate) async fn goes_on(
        &mut self,
        url: impl FnOnce() -> Option<Url>,
        is_refused: bool,
        headers: &HeaderMap,
    ) -> bool {
        let has_nonce = self.note_nonce(url, headers);
        if !is_refused {
            return false;
        }
        if has_nonce && wants_nonce(headers) {
            return !std::mem::replace(&mut self.has_new_nonce, true);
        }
        if std::mem::replace(&mut self.has_renewed, true) {
            return false;
        }
        match self.outgoing.source.token_after(&self.token).await {
            Ok(newer) if newer != self.token => {
                self.token = newer;
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::debug!(%error, "a token was rejected, and there is no newer one");
                false
            }
        }
    }
}

#[cfg(feature = "tonic")]
impl Exchange<'_> {
    pub(crate) fn token(&self) -> &AccessToken {
        &self.token
    }
}

/// RFC 9449 §9
pub(crate) fn wants_nonce(headers: &HeaderMap) -> bool {
    headers.get_all(WWW_AUTHENTICATE).iter().any(|challenge| {
        challenge.to_str().is_ok_and(|challenge| challenge.contains("use_dpop_nonce"))
    })
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("source", &self.source)
            .field("origins", &self.origins)
            .field("dpop", &self.dpop.is_some())
            .finish_non_exhaustive()
    }
}
