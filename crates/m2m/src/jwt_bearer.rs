//! The JWT bearer grant as a value ([RFC 7523 §2.1]): a JWT of a party that the issuer trusts, for an
//! access token of the issuer.
//!
//! [RFC 7523 §2.1]: https://www.rfc-editor.org/rfc/rfc7523#section-2.1

use oidc_core::client::Grant;
use oidc_core::token::Scope;

use crate::presented::PresentedToken;
use crate::source::TokenError;

/// Parameters of a JWT bearer request.
///
/// ```
/// use m2m::{JwtBearer, PresentedToken};
/// let assertion = PresentedToken::file("/var/run/secrets/tokens/issuer");
/// let grant = JwtBearer::new(assertion).with_scope("score");
/// # let _ = grant;
/// ```
#[derive(Clone, Debug)]
pub struct JwtBearer {
    assertion: PresentedToken,
    scope: Option<Scope>,
}

impl JwtBearer {
    /// Presents this assertion.
    pub fn new(assertion: impl Into<PresentedToken>) -> Self {
        Self { assertion: assertion.into(), scope: None }
    }

    /// Asks for these scopes, separated by spaces (RFC 6749 §3.3).
    #[must_use]
    pub fn with_scope(mut self, scope: &str) -> Self {
        self.scope = Some(Scope::from(scope));
        self
    }

    pub(crate) async fn grant(&self) -> Result<Grant, TokenError> {
        let assertion = self.assertion.secret().await?;
        Ok(Grant::JwtBearer { assertion, scope: self.scope.clone() })
    }

    /// The parameters, by their names in the token request; `None` if a secret is among them.
    pub(crate) fn parts(&self) -> Option<Vec<(&'static str, String)>> {
        let mut parts = vec![("assertion", self.assertion.cache_key()?)];
        parts.extend(self.scope.as_ref().map(|scope| ("scope", scope.to_string())));
        Some(parts)
    }
}
