//! Tokens for code that is not async (feature `blocking`): scripts, batch jobs, other languages.
//!
//! The calling thread itself returns a token that is in memory. Everything that waits runs on the one
//! background thread of [`oidc_core::blocking`].

use oidc_core::blocking::{BlockingError, run};
use tokio::runtime::Handle;

use crate::access_token::AccessToken;
use crate::cache::CachedTokens;
use crate::source::{TokenError, TokenSource as _};

/// Reason there is no token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockingTokenError {
    /// The source has none.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The calling thread cannot wait, or the background thread failed.
    #[error(transparent)]
    NotRun(#[from] BlockingError),
}

/// [`CachedTokens`] for code that is not async. Cheap to clone; clones share the token, also with the
/// async form.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use m2m::{AccessToken, TokenError, TokenSource};
/// # #[derive(Debug)]
/// # struct Source;
/// # #[async_trait::async_trait]
/// # impl TokenSource for Source {
/// #     async fn token(&self) -> Result<AccessToken, TokenError> {
/// #         Ok(AccessToken::bearer("2YotnFZFEjr1zCsicMWpAA".into(), None)?)
/// #     }
/// # }
/// # let source = Source;
/// use m2m::{CachedTokens, blocking};
///
/// let tokens = blocking::Tokens::new(CachedTokens::new(source));
/// let token = tokens.token()?;
/// assert_eq!(token.authorization(), "Bearer 2YotnFZFEjr1zCsicMWpAA");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Tokens {
    tokens: CachedTokens,
}

impl Tokens {
    /// The tokens of this cache.
    pub fn new(tokens: CachedTokens) -> Self {
        Self { tokens }
    }

    /// The async form.
    pub fn cached(&self) -> &CachedTokens {
        &self.tokens
    }

    /// A token that is valid now; see [`TokenSource::token`](crate::TokenSource::token). Inside a Tokio
    /// runtime this returns only a token that is in memory, and fails otherwise.
    ///
    /// # Errors
    ///
    /// [`BlockingTokenError::Token`] when the source fails, [`BlockingTokenError::NotRun`] when this
    /// thread cannot wait.
    pub fn token(&self) -> Result<AccessToken, BlockingTokenError> {
        let tokens = self.tokens.clone();
        let Some(token) = tokens.current() else {
            return Ok(run(async move { tokens.token().await })??);
        };
        // A refresh needs a runtime. This thread has none, so the background thread begins it.
        if tokens.is_refresh_due() && Handle::try_current().is_err() {
            run(async move { tokens.current() })?;
        }
        Ok(token)
    }

    /// A token other than `rejected`; see [`TokenSource::token_after`](crate::TokenSource::token_after).
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    pub fn token_after(&self, rejected: &AccessToken) -> Result<AccessToken, BlockingTokenError> {
        match self.tokens.current() {
            Some(newer) if newer != *rejected => Ok(newer),
            _ => {
                let (tokens, rejected) = (self.tokens.clone(), rejected.clone());
                Ok(run(async move { tokens.token_after(&rejected).await })??)
            }
        }
    }
}
