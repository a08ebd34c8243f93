//! Tokens straight from an issuer's token endpoint, without a cache: one request per token.

use async_trait::async_trait;
use oidc_core::client::TokenEndpoint;

use crate::access_token::AccessToken;
use crate::cache_key::CacheKey;
use crate::client_credentials::ClientCredentials;
use crate::exchange::Exchange;
use crate::jwt_bearer::JwtBearer;
use crate::presented::PresentedToken;
use crate::source::{TokenError, TokenSource};

/// Asks the issuer every time; put a [`CachedTokens`](crate::CachedTokens) before it.
///
/// ```no_run
/// # fn sources(endpoint: oidc_core::client::TokenEndpoint) {
/// use m2m::{CachedTokens, ClientCredentials, Exchange, IssuerTokens, PresentedToken};
///
/// // The job's own token, and what the issuer gives for it at another service.
/// let own = CachedTokens::new(IssuerTokens::new(endpoint.clone(), ClientCredentials::new()));
/// let subject = PresentedToken::from_source(own);
/// let wanted = Exchange::new().with_audience("churn");
/// let tokens = CachedTokens::new(IssuerTokens::exchange(endpoint, subject, wanted));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct IssuerTokens {
    endpoint: TokenEndpoint,
    asked: Asked,
}

#[derive(Clone, Debug)]
enum Asked {
    ClientCredentials(ClientCredentials),
    TokenExchange { subject: PresentedToken, exchange: Exchange },
    JwtBearer(JwtBearer),
}

impl IssuerTokens {
    /// The client's own tokens (RFC 6749 §4.4).
    pub fn new(endpoint: TokenEndpoint, grant: ClientCredentials) -> Self {
        Self { endpoint, asked: Asked::ClientCredentials(grant) }
    }

    /// Tokens that the issuer gives for another token (RFC 8693).
    pub fn exchange(
        endpoint: TokenEndpoint,
        subject: impl Into<PresentedToken>,
        exchange: Exchange,
    ) -> Self {
        Self { endpoint, asked: Asked::TokenExchange { subject: subject.into(), exchange } }
    }

    /// Tokens that the issuer gives for an assertion of a party it trusts (RFC 7523 §2.1).
    pub fn jwt_bearer(endpoint: TokenEndpoint, grant: JwtBearer) -> Self {
        Self { endpoint, asked: Asked::JwtBearer(grant) }
    }
}

impl Asked {
    /// The parameters, by their names in the token request; `None` if a secret is among them.
    fn parts(&self) -> Option<Vec<(&'static str, String)>> {
        match self {
            Self::ClientCredentials(grant) => Some(grant.parts()),
            Self::JwtBearer(grant) => grant.parts(),
            Self::TokenExchange { subject, exchange } => {
                let mut parts = exchange.parts()?;
                parts.push(("subject_token", subject.cache_key()?));
                Some(parts)
            }
        }
    }

    fn grant_type(&self) -> &'static str {
        match self {
            Self::ClientCredentials(_) => "client_credentials",
            Self::JwtBearer(_) => "jwt-bearer",
            Self::TokenExchange { .. } => "token-exchange",
        }
    }
}

// === impl TokenSource ===

#[async_trait]
impl TokenSource for IssuerTokens {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        let grant = match &self.asked {
            Asked::ClientCredentials(grant) => grant.grant(),
            Asked::JwtBearer(grant) => grant.grant().await?,
            Asked::TokenExchange { subject, exchange } => {
                exchange.grant(subject.secret().await?).await?
            }
        };
        let tokens = self.endpoint.request(grant).await?;
        if let Asked::TokenExchange { exchange, .. } = &self.asked {
            exchange.check(&tokens)?;
        }
        Ok(AccessToken::try_from(tokens)?)
    }

    fn cache_key(&self) -> Option<CacheKey> {
        let asked = self.asked.parts()?;
        let mut parts = vec![
            ("issuer", self.endpoint.provider().issuer().as_str()),
            ("client_id", self.endpoint.client_id()),
            ("auth_method", self.endpoint.auth_method()),
            ("grant_type", self.asked.grant_type()),
        ];
        parts.extend(self.endpoint.dpop_key().map(|key| ("dpop_jkt", key.thumbprint())));
        parts.extend(asked.iter().map(|(name, value)| (*name, value.as_str())));
        Some(CacheKey::of(parts))
    }
}
