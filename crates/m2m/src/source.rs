//! The port that gives access tokens, and its errors.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oidc_core::client::TokenEndpointError;

use crate::access_token::{AccessToken, InvalidAccessToken};
use crate::cache_key::CacheKey;

/// Reason there is no token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The issuer cannot be reached or is overloaded; asking again later may succeed.
    #[error("no token now: {source}")]
    Unavailable {
        /// Wait before asking again: as the issuer asked for (RFC 9110 §10.2.3), or the rest of a
        /// cache's back-off.
        retry_after: Option<Duration>,
        /// Error of the token endpoint.
        #[source]
        source: TokenEndpointError,
    },
    /// The issuer refused; asking again will not help until the client is set up differently.
    #[error("the issuer refused a token: {source}")]
    Refused {
        /// Error of the token endpoint.
        #[source]
        source: TokenEndpointError,
    },
    /// The token that is to be presented to the issuer cannot be read.
    #[error("the token to present cannot be read from {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Reason it cannot be read.
        #[source]
        source: Arc<io::Error>,
    },
}

impl TokenError {
    /// Wait before asking again, where it is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Refused { .. } | Self::Unreadable { .. } => None,
        }
    }

    /// True if any client and any grant gets no answer now. Any other failure may be due to this
    /// client's credentials or to the token it presents.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { source, .. } if source.is_outage())
    }

    /// The same failure, with `left` as the wait before the next attempt.
    pub(crate) fn with_time_left(mut self, left: Duration) -> Self {
        if let Self::Unavailable { retry_after, .. } = &mut self {
            *retry_after = Some(left);
        }
        self
    }

    /// Failure on this side: the issuer was not asked, or its answer did not arrive.
    pub(crate) fn not_asked(reason: &str) -> Self {
        TokenEndpointError::unavailable(reason, None).into()
    }
}

impl From<TokenEndpointError> for TokenError {
    fn from(source: TokenEndpointError) -> Self {
        if !source.is_temporary() {
            return Self::Refused { source };
        }
        let retry_after = match &source {
            TokenEndpointError::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        };
        Self::Unavailable { retry_after, source }
    }
}

impl From<InvalidAccessToken> for TokenError {
    fn from(error: InvalidAccessToken) -> Self {
        TokenEndpointError::InvalidResponse { reason: error.to_string() }.into()
    }
}

/// Port: gives access tokens.
///
/// Your own source needs [`token`](Self::token) only; wrap it in a
/// [`CachedTokens`](crate::CachedTokens), which provides the other methods.
///
/// ```
/// use m2m::{AccessToken, TokenError, TokenSource};
///
/// #[derive(Debug)]
/// struct Fixed(AccessToken);
///
/// #[async_trait::async_trait]
/// impl TokenSource for Fixed {
///     async fn token(&self) -> Result<AccessToken, TokenError> {
///         Ok(self.0.clone())
///     }
/// }
/// ```
#[async_trait]
pub trait TokenSource: Send + Sync + std::fmt::Debug {
    /// A token that is valid now.
    ///
    /// # Errors
    ///
    /// [`TokenError::Unavailable`] to try again later, [`TokenError::Refused`] when that will not
    /// help.
    async fn token(&self) -> Result<AccessToken, TokenError>;

    /// A token other than `rejected`, which a service answered with 401 (RFC 6750 §3.1).
    ///
    /// A source that caches asks the issuer again only while `rejected` is its present token, and not
    /// for every call. When it may not ask now, it returns `rejected` itself; a caller that gets the
    /// same token again has no reason to repeat the request.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    async fn token_after(&self, rejected: &AccessToken) -> Result<AccessToken, TokenError> {
        let _ = rejected;
        self.token().await
    }

    /// The token that can be given at once, without waiting or allocating; `None`: ask
    /// [`token`](Self::token).
    fn current(&self) -> Option<AccessToken> {
        None
    }

    /// Key that identifies the tokens of this source in caches that outlive the process; `None`: its
    /// tokens are not kept there.
    fn cache_key(&self) -> Option<CacheKey> {
        None
    }
}

// === impl TokenSource ===

#[async_trait]
impl<T: TokenSource + ?Sized> TokenSource for Arc<T> {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        (**self).token().await
    }

    async fn token_after(&self, rejected: &AccessToken) -> Result<AccessToken, TokenError> {
        (**self).token_after(rejected).await
    }

    fn current(&self) -> Option<AccessToken> {
        (**self).current()
    }

    fn cache_key(&self) -> Option<CacheKey> {
        (**self).cache_key()
    }
}
