//! Verification of tokens: rules ([`Validation`]), keys ([`KeySource`]) and time ([`Clock`]) together.
//!
//! A verified access token is remembered by the digest of its bytes. The next request with it skips
//! signature check and parsing, but not the time rules. A change of keys ends this.

use std::fmt;
use std::sync::Arc;

use super::cache_stats::CacheStats;
#[cfg(feature = "token")]
use super::introspection::Introspection;
use super::judge::Judge;
use super::memory::{DEFAULT_LIMIT, Memory};
use super::recall::Unverified;
use super::trusted::Signed;
use super::validation::{IdTokenExpectations, Validation};
use super::verified::Verified;
use crate::clock::Clock;
use crate::dpop::DpopChecker;
use crate::issuer::Issuer;
use crate::jose::UnverifiedJws;
use crate::keys::KeySource;
use crate::observer::Observer;
use crate::refusal::TokenRefusal;
use crate::token::{AccessToken, IdToken, LogoutToken};

#[cfg(feature = "login")]
mod authorization_response;
mod inherited;
#[cfg(feature = "token")]
mod opaque;
mod possession;
#[cfg(feature = "login")]
mod user_info;

pub use possession::Unproven;

/// Verifies tokens of one issuer, or of several, for one purpose.
///
/// ```
/// # use std::sync::Arc;
/// # #[cfg(feature = "test-util")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use oidc_core::testing::TestIssuer;
/// use oidc_core::{Validation, Verifier};
///
/// let issuer = TestIssuer::new();
/// let verifier = Verifier::new(Validation::new(issuer.issuer(), "hub"), issuer.keys())
///     .with_clock(issuer.clock());
///
/// let token = verifier.access_token(&issuer.access_token("hub")).await?;
/// assert_eq!(token.subject(), "248289761001");
///
/// let refusal = verifier.access_token(&issuer.access_token("elsewhere")).await.unwrap_err();
/// assert_eq!(refusal.code(), "wrong_audience");
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
pub struct Verifier {
    judge: Judge,
    memory: Option<Memory<AccessToken>>,
    dpop: Option<Arc<DpopChecker>>,
    #[cfg(feature = "token")]
    introspection: Option<Arc<Introspection>>,
}

impl Verifier {
    /// Verifies with the rules of `validation` and with `keys`.
    pub fn new(validation: Validation, keys: Arc<dyn KeySource>) -> Self {
        Self {
            judge: Judge::new(validation, keys),
            memory: Some(Memory::new(DEFAULT_LIMIT)),
            dpop: None,
            #[cfg(feature = "token")]
            introspection: None,
        }
    }

    /// Also trusts another issuer, with rules and keys of its own. `iss` chooses, byte for byte.
    /// Naming an issuer again replaces its rules and keys.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use oidc_core::keys::{JwkSet, StaticKeys};
    /// use oidc_core::{Validation, Verifier};
    ///
    /// let keys = || Arc::new(StaticKeys::new(JwkSet::parse(br#"{"keys":[]}"#).unwrap()));
    /// let verifier = Verifier::new(Validation::new("https://people.example".parse()?, "hub"), keys())
    ///     .with_issuer(Validation::new("https://jobs.example".parse()?, "hub"), keys());
    /// assert_eq!(verifier.issuers().count(), 2);
    ///
    /// // {"alg":"RS256"}.{"iss":"https://elsewhere.example"}: refused before any key is looked for.
    /// let foreign = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2Vsc2V3aGVyZS5leGFtcGxlIn0.AAAA";
    /// assert_eq!(verifier.access_token(foreign).await.unwrap_err().code(), "wrong_issuer");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_issuer(mut self, validation: Validation, keys: Arc<dyn KeySource>) -> Self {
        self.judge.trust(validation, keys);
        // Clones of this verifier may have other issuers, so they do not share the memory.
        self.memory = self.memory.as_ref().map(Memory::emptied);
        self
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.judge.clock = clock;
        self
    }

    /// Reports each token that is verified, refused or served from memory to `observer`. The
    /// fetches for it are reported by [`Provider::with_observer`](crate::provider::Provider::with_observer).
    #[must_use]
    pub fn with_observer(mut self, observer: Observer) -> Self {
        self.judge.observer = Some(observer);
        self
    }

    /// Bounds the memory for remembered tokens, in bytes; 0 remembers none. 8 MiB unless set.
    #[must_use]
    pub fn with_cache(mut self, max_bytes: u64) -> Self {
        self.memory = Memory::bounded(max_bytes);
        self
    }

    /// The rules for the first issuer.
    pub fn validation(&self) -> &Validation {
        &self.judge.first().validation
    }

    /// The keys of the first issuer.
    #[cfg(feature = "login")]
    pub(crate) fn keys(&self) -> &Arc<dyn KeySource> {
        &self.judge.first().keys
    }

    /// The trusted issuers, in the order they were added.
    pub fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.judge.issuers()
    }

    /// Verifies a bearer access token (RFC 6750, RFC 9068 §4), from memory when it was verified
    /// before. A token that is bound to a key or certificate is refused; use
    /// [`Verifier::presented`] for it.
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`] with the first check that failed; [`TokenRefusal::is_unavailable`] when there
    /// are no keys to check with.
    pub async fn access_token(
        &self,
        token: &str,
    ) -> Result<Arc<Verified<AccessToken>>, TokenRefusal> {
        match self.recall(token) {
            Ok(verified) => Ok(verified),
            Err(unverified) => self.verify(unverified).await,
        }
    }

    /// An access token that was verified before and is still valid; else a value for
    /// [`Verifier::verify`]. Never waits.
    ///
    /// ```
    /// # #[cfg(feature = "test-util")]
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = oidc_core::testing::TestIssuer::new();
    /// # let verifier = oidc_core::Verifier::new(
    /// #     oidc_core::Validation::new(issuer.issuer(), "hub"), issuer.keys()).with_clock(issuer.clock());
    /// let token = issuer.access_token("hub");
    /// let verified = match verifier.recall(&token) {
    ///     Ok(verified) => verified,
    ///     // Here a program can let go of what it must not hold meanwhile.
    ///     Err(unverified) => verifier.verify(unverified).await?,
    /// };
    /// assert!(verifier.recall(&token).is_ok_and(|again| std::sync::Arc::ptr_eq(&again, &verified)));
    /// # Ok(()) }
    /// # #[cfg(feature = "test-util")]
    /// # fn main() {
    /// #     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    /// #     runtime.block_on(run()).unwrap();
    /// # }
    /// # #[cfg(not(feature = "test-util"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// An [`Unverified`] does not mean that the token is invalid.
    pub fn recall<'t>(&self, token: &'t str) -> Result<Arc<Verified<AccessToken>>, Unverified<'t>> {
        match self.look_up(token) {
            Ok(verified) if is_bound(&verified) => Err(Unverified::unremembered(token)),
            looked_up => looked_up,
        }
    }

    /// [`Verifier::access_token`] for a token that [`Verifier::recall`] did not find.
    ///
    /// # Errors
    ///
    /// As [`Verifier::access_token`].
    pub async fn verify(
        &self,
        unverified: Unverified<'_>,
    ) -> Result<Arc<Verified<AccessToken>>, TokenRefusal> {
        let verified = self.learn(unverified).await?;
        if is_bound(&verified) {
            self.observe_unproved(&verified, TokenRefusal::SenderConstrained.code());
            return Err(TokenRefusal::SenderConstrained);
        }
        Ok(verified)
    }

    /// Verifies an ID token (OpenID Connect Core 1.0 §3.1.3.7); its audience is the client's id.
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`] with the first check that failed; [`TokenRefusal::is_unavailable`] when there
    /// are no keys to check with.
    pub async fn id_token(
        &self,
        token: &str,
        expected: &IdTokenExpectations,
    ) -> Result<Verified<IdToken>, TokenRefusal> {
        let parse = UnverifiedJws::parse;
        let rules = |rules: &Validation, jws, now| rules.id_token(jws, expected, now);
        Ok(self.judge.judge(Signed::OwnToken, parse, token, rules).await?.verified)
    }

    /// Verifies a logout token (OpenID Connect Back-Channel Logout 1.0 §2.6); its audience is the
    /// client's id. Refuse a second use of its `jti`.
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`] with the first check that failed; [`TokenRefusal::is_unavailable`] when there
    /// are no keys to check with.
    pub async fn logout_token(&self, token: &str) -> Result<Verified<LogoutToken>, TokenRefusal> {
        let parse = UnverifiedJws::parse;
        let rules = Validation::logout_token;
        Ok(self.judge.judge(Signed::Token, parse, token, rules).await?.verified)
    }

    /// Statistics of remembered access tokens.
    pub fn cache_stats(&self) -> CacheStats {
        self.memory.as_ref().map(Memory::stats).unwrap_or_default()
    }

    /// Forgets all remembered tokens.
    pub fn forget_all(&self) {
        if let Some(memory) = &self.memory {
            memory.forget_all();
        }
    }

    /// Like [`Verifier::recall`], without the check of possession.
    pub(crate) fn look_up<'t>(
        &self,
        token: &'t str,
    ) -> Result<Arc<Verified<AccessToken>>, Unverified<'t>> {
        self.judge.look_up(self.memory.as_ref(), token)
    }

    /// Verifies a token that is not remembered, without the check of possession, and remembers it.
    pub(crate) async fn learn(
        &self,
        unverified: Unverified<'_>,
    ) -> Result<Arc<Verified<AccessToken>>, TokenRefusal> {
        #[cfg(feature = "token")]
        if let Some(introspection) = self.asked_about(unverified.token()) {
            return introspection.without_possession(unverified.token()).await;
        }
        self.judge.learn(self.memory.as_ref(), &unverified, Validation::access_token).await
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("issuers", &self.judge).finish_non_exhaustive()
    }
}

/// Whether the token needs a proof of possession of any kind (RFC 7800).
fn is_bound(token: &Verified<AccessToken>) -> bool {
    token.contains("cnf")
}
