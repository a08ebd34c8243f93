//! Numbered tokens: each renewal gives the next number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use m2m::{AccessToken, CachedTokens, TokenError, TokenSource};
use oidc_core::client::TokenType;

/// An issuer of `token-1`, `token-2`, ….
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    given: Arc<AtomicU64>,
    token_type: TokenType,
}

impl Numbered {
    pub(crate) fn bearer() -> Self {
        Self { given: Arc::default(), token_type: TokenType::Bearer }
    }

    pub(crate) fn dpop() -> Self {
        Self { given: Arc::default(), token_type: TokenType::DPoP }
    }

    pub(crate) fn cached(&self) -> CachedTokens {
        CachedTokens::new(self.clone())
    }

    pub(crate) fn given(&self) -> u64 {
        self.given.load(Ordering::SeqCst)
    }
}

#[async_trait::async_trait]
impl TokenSource for Numbered {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        let number = self.given.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(AccessToken::new(format!("token-{number}").into(), self.token_type, None)?)
    }
}
