//! Where access tokens come from.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use oidc_core::{Secret, TokenEndpoint, TokenEndpointError};

use crate::client_credentials::ClientCredentials;

/// An access token and when it ends.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token.
    pub secret: Secret,
    /// When it expires; `None` when the issuer did not say.
    pub expires_at: Option<SystemTime>,
}

/// Why there is no token.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    /// The issuer cannot be reached or is overloaded; asking again later may do.
    #[error("no token now: {source}")]
    Unavailable {
        /// when the issuer asked to be asked again (RFC 9110 §10.2.3)
        retry_after: Option<Duration>,
        /// what the issuer said
        #[source]
        source: TokenEndpointError,
    },
    /// The issuer refused; asking again will not help until the client is set up differently.
    #[error("the issuer refused a token: {source}")]
    Refused {
        /// what the issuer said
        #[source]
        source: TokenEndpointError,
    },
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

/// Gives access tokens.
#[async_trait]
pub trait TokenSource: Send + Sync + std::fmt::Debug {
    /// A token that is good now.
    ///
    /// # Errors
    ///
    /// [`TokenError::Unavailable`] to try again later, [`TokenError::Refused`] when that will not help.
    async fn token(&self) -> Result<AccessToken, TokenError>;
}

/// Asks the issuer every time; put a [`CachedTokens`](crate::CachedTokens) before it.
#[derive(Debug)]
pub struct IssuerTokens {
    endpoint: TokenEndpoint,
    grant: ClientCredentials,
}

impl IssuerTokens {
    /// Asks this endpoint with this grant.
    pub fn new(endpoint: TokenEndpoint, grant: ClientCredentials) -> Self {
        Self { endpoint, grant }
    }
}

// === impl TokenSource ===

#[async_trait]
impl TokenSource for IssuerTokens {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        let tokens = self.endpoint.request(self.grant.grant()).await?;
        Ok(AccessToken { secret: tokens.access_token, expires_at: tokens.expires_at })
    }
}
