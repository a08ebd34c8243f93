//! An access token as it is kept and sent: shared, never shown.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use oidc_core::{Secret, TokenSet};

/// An access token and when it ends. Cheap to clone: clones share one allocation.
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
    expires_at: Option<SystemTime>,
    authorization: HeaderValue,
}

/// A text that cannot be sent as an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an access token must be visible ASCII without spaces, to stand in a header (RFC 6750 §2.1)"
)]
pub struct InvalidAccessToken;

impl AccessToken {
    /// A bearer token (RFC 6750) that ends at `expires_at`, or nobody knows when.
    ///
    /// # Errors
    ///
    /// [`InvalidAccessToken`] when the text is empty or cannot stand in a header.
    pub fn bearer(
        secret: Secret,
        expires_at: Option<SystemTime>,
    ) -> Result<Self, InvalidAccessToken> {
        let text = secret.expose();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidAccessToken);
        }
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| InvalidAccessToken)?;
        authorization.set_sensitive(true);
        Ok(Self(Arc::new(Inner { secret, expires_at, authorization })))
    }

    /// The token.
    pub fn secret(&self) -> &Secret {
        &self.0.secret
    }

    /// When it ends, by the local clock; `None` when the issuer did not say.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at
    }

    /// The value of `Authorization` that presents it (RFC 6750 §2.1), marked as sensitive. Made
    /// once; the copy shares its octets.
    pub fn authorization(&self) -> HeaderValue {
        self.0.authorization.clone()
    }
}

impl TryFrom<TokenSet> for AccessToken {
    type Error = InvalidAccessToken;

    fn try_from(tokens: TokenSet) -> Result<Self, InvalidAccessToken> {
        Self::bearer(tokens.access_token, tokens.expires_at)
    }
}

/// Two are equal when they are the same token, whatever is known of its end.
impl PartialEq for AccessToken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.secret.matches(other.0.secret.expose())
    }
}

impl Eq for AccessToken {}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
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
            assert_eq!(AccessToken::bearer(text.into(), None), Err(InvalidAccessToken), "{text:?}");
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
