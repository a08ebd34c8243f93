//! Tokens straight from an issuer's token endpoint: one request for each that is asked for.

use async_trait::async_trait;
use oidc_core::TokenEndpoint;

use crate::access_token::AccessToken;
use crate::cache::CacheKey;
use crate::client_credentials::ClientCredentials;
use crate::source::{TokenError, TokenSource};

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
        Ok(AccessToken::try_from(tokens)?)
    }

    fn cache_key(&self) -> Option<CacheKey> {
        let issuer = self.endpoint.provider().issuer().as_str();
        let mut parts = vec![("issuer", issuer), ("client_id", self.endpoint.client_id())];
        parts.push(("grant_type", "client_credentials"));
        let asked = self.grant.parts();
        parts.extend(asked.iter().map(|(name, value)| (*name, value.as_str())));
        Some(CacheKey::of(parts))
    }
}
