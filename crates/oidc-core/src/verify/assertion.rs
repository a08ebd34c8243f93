//! Verification of the assertion by which a gateway states the caller of a request to the service behind it.
//!
//! An assertion has the form of an ID token (OpenID Connect Core 1.0 §2) whose audience is this service. It is sent with each
//! request of the caller while it is valid, and is remembered as an access token is.

use std::fmt;
use std::sync::Arc;

use super::judge::Judge;
use super::memory::{DEFAULT_LIMIT, Memory};
use super::recall::Unverified;
use super::validation::{IdTokenExpectations, Validation};
use super::verified::Verified;
use crate::clock::Clock;
use crate::keys::KeySource;
use crate::observer::Observer;
use crate::refusal::TokenRefusal;
use crate::token::IdToken;

/// Verifies the assertions of one gateway for one service (`X-Doorward-Assertion`).
///
/// An access token is refused, and so is an assertion for another service.
///
/// ```
/// # #[cfg(feature = "test-util")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use oidc_core::Validation;
/// use oidc_core::testing::TestIssuer;
/// use oidc_core::verify::AssertionVerifier;
///
/// let gateway = TestIssuer::new();
/// let verifier = AssertionVerifier::new(Validation::new(gateway.issuer(), "churn"), gateway.keys())
///     .with_clock(gateway.clock());
///
/// let caller = verifier.assertion(&gateway.id_token("churn", None)).await?;
/// assert_eq!(caller.subject(), "248289761001");
///
/// let refusal = verifier.assertion(&gateway.access_token("churn")).await.unwrap_err();
/// assert_eq!(refusal.code(), "wrong_type");
/// # Ok(()) }
/// # #[cfg(feature = "test-util")]
/// # fn main() {
/// #     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// #     runtime.block_on(run()).unwrap();
/// # }
/// # #[cfg(not(feature = "test-util"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct AssertionVerifier {
    judge: Judge,
    memory: Option<Memory<IdToken>>,
}

impl AssertionVerifier {
    /// Verifies with the rules of `validation` and with `keys`: the issuer is the gateway's public URL.
    pub fn new(validation: Validation, keys: Arc<dyn KeySource>) -> Self {
        Self { judge: Judge::new(validation, keys), memory: Some(Memory::new(DEFAULT_LIMIT)) }
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.judge.clock = clock;
        self
    }

    /// Reports each assertion that is verified, refused or served from memory to `observer`.
    #[must_use]
    pub fn with_observer(mut self, observer: Observer) -> Self {
        self.judge.observer = Some(observer);
        self
    }

    /// Bounds the memory for remembered assertions, in bytes; 0 remembers none. 8 MiB unless set.
    #[must_use]
    pub fn with_cache(mut self, max_bytes: u64) -> Self {
        self.memory = Memory::bounded(max_bytes);
        self
    }

    /// Verifies an assertion, from memory when it was verified before.
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`] with the first check that failed; [`TokenRefusal::is_unavailable`] when there
    /// are no keys to check with.
    pub async fn assertion(&self, token: &str) -> Result<Arc<Verified<IdToken>>, TokenRefusal> {
        match self.recall(token) {
            Ok(verified) => Ok(verified),
            Err(unverified) => self.verify(unverified).await,
        }
    }

    /// An assertion that was verified before and is still valid; else a value for
    /// [`AssertionVerifier::verify`]. Never waits.
    ///
    /// # Errors
    /// An [`Unverified`] does not mean that the assertion is invalid.
    pub fn recall<'t>(&self, token: &'t str) -> Result<Arc<Verified<IdToken>>, Unverified<'t>> {
        self.judge.look_up(self.memory.as_ref(), token)
    }

    /// [`AssertionVerifier::assertion`] for one that [`AssertionVerifier::recall`] did not find.
    ///
    /// # Errors
    ///
    /// As [`AssertionVerifier::assertion`].
    pub async fn verify(
        &self,
        unverified: Unverified<'_>,
    ) -> Result<Arc<Verified<IdToken>>, TokenRefusal> {
        let expected = IdTokenExpectations::default();
        let rules = |rules: &Validation, jws, now| rules.id_token(jws, &expected, now);
        self.judge.learn(self.memory.as_ref(), &unverified, rules).await
    }

    /// Forgets all remembered assertions.
    pub fn forget_all(&self) {
        if let Some(memory) = &self.memory {
            memory.forget_all();
        }
    }
}

impl fmt::Debug for AssertionVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionVerifier").field("issuers", &self.judge).finish_non_exhaustive()
    }
}
