//! What a login or a refresh knows about the ID token it waits for (OpenID Connect Core 1.0
//! §3.1.3.6, §3.1.3.7, §12.2).

use std::time::{Duration, SystemTime};

use super::require;
use crate::claims::Claims;
use crate::jose::{Header, half_hash};
use crate::refusal::TokenRefusal;
use crate::secret::Secret;

/// What this login knows about the ID token it waits for. Empty: nothing beyond the general rules.
///
/// ```
/// use oidc_core::{IdTokenExpectations, Secret};
/// let expected = IdTokenExpectations::default().with_nonce(Secret::from("n-0S6_WzA2Mj"));
/// assert!(expected.nonce.is_some());
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct IdTokenExpectations {
    /// `nonce` sent with the request; then the token must carry it.
    pub nonce: Option<Secret>,
    /// The access token it came with; then `at_hash`, if present, must fit.
    pub access_token: Option<Secret>,
    /// The code it was exchanged for; then `c_hash`, if present, must fit.
    pub code: Option<Secret>,
    /// Whom it must be about, at a refresh.
    pub subject: Option<String>,
    /// `max_age` sent with the request; then `auth_time` must be there and not older.
    pub max_age: Option<Duration>,
}

impl IdTokenExpectations {
    /// The token must carry this `nonce`.
    #[must_use]
    pub fn with_nonce(mut self, nonce: Secret) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// `at_hash` must fit this access token.
    #[must_use]
    pub fn with_access_token(mut self, access_token: Secret) -> Self {
        self.access_token = Some(access_token);
        self
    }

    /// `c_hash` must fit this code.
    #[must_use]
    pub fn with_code(mut self, code: Secret) -> Self {
        self.code = Some(code);
        self
    }

    /// The token must be about `subject`.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The person must have signed in within `max_age`.
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
            let (Some(over), Some(found)) = (over, claims.members().get(claim)) else { continue };
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
