//! Expectations of a login or a refresh on its ID token (OpenID Connect
//! Core 1.0 §3.1.3.6, §3.1.3.7, §12.2).

use std::time::{Duration, SystemTime};

use super::require;
use crate::jose::{Header, half_hash};
use crate::refusal::TokenRefusal;
use crate::secret::Secret;
use crate::token::Claims;

/// Expectations of one login on its ID token. Empty: only the general rules apply.
///
/// ```
/// use oidc_core::Secret;
/// use oidc_core::verify::IdTokenExpectations;
/// let expected = IdTokenExpectations::default().with_nonce(Secret::from("n-0S6_WzA2Mj"));
/// assert!(expected.nonce.is_some());
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct IdTokenExpectations {
    /// `nonce` sent with the request; if set, the token must have it.
    pub nonce: Option<Secret>,
    /// The access token that came with it; if set, `at_hash`, if present, must match.
    pub access_token: Option<Secret>,
    /// The code that was exchanged; if set, `c_hash`, if present, must match.
    pub code: Option<Secret>,
    /// The expected subject, at a refresh.
    pub subject: Option<String>,
    /// `max_age` sent with the request; if set, `auth_time` is required and must not be older.
    pub max_age: Option<Duration>,
}

impl IdTokenExpectations {
    /// Requires this `nonce`.
    #[must_use]
    pub fn with_nonce(mut self, nonce: Secret) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// Requires that `at_hash` matches this access token.
    #[must_use]
    pub fn with_access_token(mut self, access_token: Secret) -> Self {
        self.access_token = Some(access_token);
        self
    }

    /// Requires that `c_hash` matches this code.
    #[must_use]
    pub fn with_code(mut self, code: Secret) -> Self {
        self.code = Some(code);
        self
    }

    /// Requires this subject.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Requires that the person authenticated within `max_age`.
    #[must_use]
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    pub(super) fn check(
        &self,
        header: &Header,
        claims: &Claims,
        now: SystemTime,
        leeway: Duration,
    ) -> Result<(), TokenRefusal> {
        if let Some(nonce) = &self.nonce
            && !claims.nonce.as_deref().is_some_and(|found| nonce.matches(found))
        {
            return Err(TokenRefusal::WrongNonce);
        }
        for (claim, over) in [("at_hash", &self.access_token), ("c_hash", &self.code)] {
            let (Some(over), Some(found)) = (over, claims.member(claim)) else { continue };
            let expected = Secret::from(half_hash(header.algorithm, over.expose()));
            if !found.as_str().is_some_and(|found| expected.matches(found)) {
                return Err(TokenRefusal::WrongHash { claim });
            }
        }
        if let Some(subject) = &self.subject
            && claims.subject.as_ref() != Some(subject)
        {
            return Err(TokenRefusal::WrongSubject);
        }
        if let Some(max_age) = self.max_age {
            let auth_time = require(claims.auth_time, "auth_time")?;
            let oldest = now.checked_sub(max_age.saturating_add(leeway));
            if oldest.is_some_and(|oldest| auth_time < oldest) {
                return Err(TokenRefusal::AuthenticationTooOld { auth_time });
            }
        }
        Ok(())
    }
}
