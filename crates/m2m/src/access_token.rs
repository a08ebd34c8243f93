//! An access token as it is kept and sent. Clones share it; `Debug` never prints it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use oidc_core::Secret;
use oidc_core::client::{TokenSet, TokenType};

/// An access token and its expiry. Cheap to clone: clones share one allocation.
///
/// ```
/// use m2m::AccessToken;
/// use oidc_core::Secret;
///
/// let token = AccessToken::bearer(Secret::from("2YotnFZFEjr1zCsicMWpAA"), None)?;
/// assert_eq!(token.authorization(), "Bearer 2YotnFZFEjr1zCsicMWpAA");
/// assert!(!format!("{token:?}").contains("2Yotn"));
/// # Ok::<(), m2m::InvalidAccessToken>(())
/// ```
#[derive(Clone)]
pub struct AccessToken(Arc<Inner>);

struct Inner {
    secret: Secret,
    token_type: TokenType,
    expires_at: Option<SystemTime>,
    authorization: HeaderValue,
}

/// Reason a text or token cannot be sent as an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAccessToken {
    /// It is empty, or has a character other than visible ASCII.
    #[error("an access token is visible ASCII without spaces (RFC 6750 §2.1)")]
    Characters,
    /// It is a token of another kind, which authorizes nothing by itself (RFC 8693 §2.2.1).
    #[error("the token is no access token (its token_type is N_A)")]
    NotAnAccessToken,
}

impl AccessToken {
    /// A bearer token (RFC 6750) that expires at `expires_at`; `None` if the expiry is unknown.
    ///
    /// # Errors
    ///
    /// [`InvalidAccessToken::Characters`] when the text is empty or not visible ASCII.
    pub fn bearer(
        secret: Secret,
        expires_at: Option<SystemTime>,
    ) -> Result<Self, InvalidAccessToken> {
        Self::new(secret, TokenType::Bearer, expires_at)
    }

    /// A token of this type, `DPoP` (RFC 9449 §7.1) for one that is bound to a key.
    ///
    /// # Errors
    ///
    /// As [`bearer`](Self::bearer), and [`InvalidAccessToken::NotAnAccessToken`].
    pub fn new(
        secret: Secret,
        token_type: TokenType,
        expires_at: Option<SystemTime>,
    ) -> Result<Self, InvalidAccessToken> {
        let text = secret.expose();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidAccessToken::Characters);
        }
        if token_type == TokenType::NotApplicable {
            return Err(InvalidAccessToken::NotAnAccessToken);
        }
        let mut authorization = HeaderValue::try_from(format!("{} {text}", token_type.as_str()))
            .map_err(|_| InvalidAccessToken::Characters)?;
        authorization.set_sensitive(true);
        Ok(Self(Arc::new(Inner { secret, token_type, expires_at, authorization })))
    }

    /// The token.
    pub fn secret(&self) -> &Secret {
        &self.0.secret
    }

    /// The token's type: presented alone, or with a proof for each request.
    pub fn token_type(&self) -> TokenType {
        self.0.token_type
    }

    /// Expiry by the local clock; `None` when the issuer did not state it.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at
    }

    /// The value of `Authorization` that presents it (RFC 6750 §2.1, RFC 9449 §7.1), marked as
    /// sensitive. Built once; the copy shares its bytes.
    pub fn authorization(&self) -> HeaderValue {
        self.0.authorization.clone()
    }
}

impl TryFrom<TokenSet> for AccessToken {
    type Error = InvalidAccessToken;

    fn try_from(tokens: TokenSet) -> Result<Self, InvalidAccessToken> {
        Self::new(tokens.access_token, tokens.token_type, tokens.expires_at)
    }
}

/// Compares the token text only, not the expiry.
impl PartialEq for AccessToken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.secret.matches(other.0.secret.expose())
    }
}

impl Eq for AccessToken {}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("token_type", &self.0.token_type)
            .field("expires_at", &self.0.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_stand_in_a_header_is_no_token() {
        for text in ["", "two words", "line\nbreak", "nul\0", "žlutý"] {
            assert_eq!(
                AccessToken::bearer(text.into(), None),
                Err(InvalidAccessToken::Characters),
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_header_is_sensitive_and_shows_nothing() {
        let token = AccessToken::bearer("hunter2".into(), None).unwrap();
        assert!(token.authorization().is_sensitive());
        assert!(!format!("{token:?} {:?}", token.authorization()).contains("hunter2"));
    }

    #[test]
    fn the_same_text_is_the_same_token() {
        let token = |text: &str| AccessToken::bearer(text.into(), None).unwrap();
        assert_eq!(token("a"), token("a"));
        assert_ne!(token("a"), token("b"));
    }
}
