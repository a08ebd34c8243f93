//! Verification of tokens: rules ([`Validation`]), keys ([`KeySource`]) and time ([`Clock`]) together.
//!
//! With several issuers, `iss` chooses among those trusted before any key is used (RFC 8725 §3.8).
//! A token therefore causes no request to an untrusted issuer, and a `kid` is looked up only among
//! the chosen issuer's keys.
//!
//! A verified access token is remembered by the digest of its bytes. The next request with it skips
//! signature check and parsing, but not the time rules. A change of keys ends this.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;
use tracing::{Instrument as _, Span, field};

use crate::cache_stats::CacheStats;
use crate::clock::{Clock, SystemClock};
use crate::dpop::DpopChecker;
use crate::foreign_text::quoted;
use crate::issuer::Issuer;
use crate::jose::{UnverifiedJws, VerifiedJws};
use crate::keys::KeySource;
use crate::observer::{Event, Observer};
use crate::refusal::TokenRefusal;
use crate::tokens::{AccessToken, IdToken, LogoutToken, Verified};
use crate::trusted::{Signed, Trusted};
use crate::validation::{IdTokenExpectations, Validation};

#[cfg(feature = "login")]
mod authorization_response;
#[cfg(feature = "reqwest")]
mod for_issuer;
mod memory;
#[cfg(feature = "token")]
mod opaque;
mod possession;
mod recall;

#[cfg(feature = "reqwest")]
pub use for_issuer::VerifierSetupError;
pub use recall::Unverified;

use memory::Memory;

/// Memory limit for remembered tokens unless set otherwise, in bytes.
const DEFAULT_CACHE: u64 = 8 * 1024 * 1024;

/// Verifies tokens of one issuer, or of several, for one purpose.
///
/// ```
/// # use std::sync::Arc;
/// # #[cfg(feature = "test-util")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use oidc_core::{Validation, Verifier, testing::TestIssuer};
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
    first: Trusted,
    others: Vec<Trusted>,
    clock: Arc<dyn Clock>,
    memory: Option<Memory<AccessToken>>,
    assertions: Option<Memory<IdToken>>,
    observer: Option<Observer>,
    dpop: Option<Arc<DpopChecker>>,
    #[cfg(feature = "token")]
    introspection: Option<Arc<crate::introspection::Introspection>>,
}

/// A valid token, with its issuer and key generation.
struct Judged<T> {
    verified: Verified<T>,
    issuer: usize,
    generation: u64,
}

impl Verifier {
    /// Verifies with the rules of `validation` and with `keys`.
    pub fn new(validation: Validation, keys: Arc<dyn KeySource>) -> Self {
        Self {
            first: Trusted { validation, keys },
            others: Vec::new(),
            clock: Arc::new(SystemClock),
            memory: Some(Memory::new(DEFAULT_CACHE)),
            assertions: Some(Memory::new(DEFAULT_CACHE)),
            observer: None,
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
    /// use oidc_core::{JwkSet, StaticKeys, Validation, Verifier};
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
        let trusted = Trusted { validation, keys };
        let known = std::iter::once(&mut self.first)
            .chain(&mut self.others)
            .find(|known| known.validation.issuer() == trusted.validation.issuer());
        match known {
            Some(known) => *known = trusted,
            None => self.others.push(trusted),
        }
        // Clones of this verifier may have other issuers, so they do not share the memory.
        self.memory = self.memory.as_ref().map(Memory::emptied);
        self.assertions = self.assertions.as_ref().map(Memory::emptied);
        self
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Reports each token that is verified, refused or served from memory to `observer`. The
    /// fetches for it are reported by [`Provider::with_observer`](crate::Provider::with_observer).
    #[must_use]
    pub fn with_observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Bounds the memory for remembered tokens, in bytes; 0 remembers none. 8 MiB unless set.
    /// Assertions have a memory of the same size.
    #[must_use]
    pub fn with_cache(mut self, max_bytes: u64) -> Self {
        self.memory = (max_bytes > 0).then(|| Memory::new(max_bytes));
        self.assertions = (max_bytes > 0).then(|| Memory::new(max_bytes));
        self
    }

    /// The rules for the first issuer.
    pub fn validation(&self) -> &Validation {
        &self.first.validation
    }

    /// The keys of the first issuer.
    pub fn keys(&self) -> &Arc<dyn KeySource> {
        &self.first.keys
    }

    /// The trusted issuers, in the order they were added.
    pub fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.all().map(|trusted| trusted.validation.issuer())
    }

    /// The rules for tokens of `issuer`, if it is trusted.
    pub fn validation_for(&self, issuer: &str) -> Option<&Validation> {
        self.all()
            .map(|trusted| &trusted.validation)
            .find(|validation| validation.issuer().as_str() == issuer)
    }

    fn all(&self) -> impl Iterator<Item = &Trusted> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn nth(&self, index: usize) -> Option<&Trusted> {
        match index.checked_sub(1) {
            None => Some(&self.first),
            Some(other) => self.others.get(other),
        }
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
        let rules = |rules: &Validation, jws, now| rules.id_token(jws, expected, now);
        let judged = self.judge_as(Signed::OwnToken, UnverifiedJws::parse, token, rules).await?;
        Ok(judged.verified)
    }

    /// Verifies a logout token (OpenID Connect Back-Channel Logout 1.0 §2.6); its audience is the
    /// client's id. Refuse a second use of its `jti`.
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`] with the first check that failed; [`TokenRefusal::is_unavailable`] when there
    /// are no keys to check with.
    pub async fn logout_token(&self, token: &str) -> Result<Verified<LogoutToken>, TokenRefusal> {
        Ok(self.judge(token, Validation::logout_token).await?.verified)
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
        if let Some(assertions) = &self.assertions {
            assertions.forget_all();
        }
    }

    /// Verifies within a span, and reports the outcome to the observer.
    async fn judge<T>(
        &self,
        token: &str,
        rules: impl FnOnce(&Validation, VerifiedJws, SystemTime) -> Result<Verified<T>, TokenRefusal>,
    ) -> Result<Judged<T>, TokenRefusal> {
        self.judge_as(Signed::Token, UnverifiedJws::parse, token, rules).await
    }

    /// Like [`Self::judge`], for messages that are signed differently, or whose form is read by
    /// `parse`.
    async fn judge_as<'t, T>(
        &self,
        signed: Signed,
        parse: impl FnOnce(&'t str) -> Result<UnverifiedJws<'t>, TokenRefusal>,
        token: &'t str,
        rules: impl FnOnce(&Validation, VerifiedJws, SystemTime) -> Result<Verified<T>, TokenRefusal>,
    ) -> Result<Judged<T>, TokenRefusal> {
        let span = tracing::debug_span!(
            "verify",
            issuer = field::Empty,
            kid = field::Empty,
            alg = field::Empty,
            outcome = field::Empty
        );
        let begun = self.observer.as_ref().map(|_| Instant::now());
        let mut chosen = None;
        let work = async {
            let (jws, issuer) = self.choose(parse(token)?)?;
            let trusted = chosen.insert(self.nth(issuer).unwrap_or(&self.first));
            let (jws, generation) = trusted.open(jws, signed).await?;
            let verified = rules(&trusted.validation, jws, self.clock.now())?;
            Ok(Judged { verified, issuer, generation })
        };
        let verdict = work.instrument(span.clone()).await;
        span.record("outcome", verdict.as_ref().map_or_else(TokenRefusal::code, |_| "ok"));
        if let (Some(observer), Some(begun)) = (&self.observer, begun) {
            let took = begun.elapsed();
            let issuer = chosen.map(|trusted| trusted.validation.issuer());
            observer(&match &verdict {
                Ok(Judged { verified, .. }) => Event::TokenVerified {
                    issuer: issuer.unwrap_or(self.first.validation.issuer()),
                    kid: verified.key_id(),
                    algorithm: verified.algorithm(),
                    took,
                },
                Err(refusal) => Event::TokenRefused { issuer, code: refusal.code(), took },
            });
        }
        verdict
    }

    /// Chooses the issuer whose rules and keys apply. With several issuers, this reads the
    /// unverified payload; a wrong choice fails at the signature.
    fn choose<'t>(
        &self,
        mut jws: UnverifiedJws<'t>,
    ) -> Result<(UnverifiedJws<'t>, usize), TokenRefusal> {
        let index = if self.others.is_empty() {
            0
        } else {
            let claimed = jws.claimed_issuer().map_err(TokenRefusal::clone)?;
            let claimed = claimed.ok_or(TokenRefusal::MissingClaim { claim: "iss" })?;
            self.issuers().position(|issuer| issuer.as_str() == claimed).ok_or_else(|| {
                let expected = self.issuers().map(Issuer::as_str).collect::<Vec<_>>().join(" or ");
                TokenRefusal::WrongIssuer { expected, found: quoted(claimed) }
            })?
        };
        let span = Span::current();
        if !span.is_disabled() {
            let trusted = self.nth(index).unwrap_or(&self.first);
            span.record("issuer", trusted.validation.issuer().as_str());
            span.record("alg", jws.header.algorithm.as_str());
            if let Some(kid) = &jws.header.key_id {
                span.record("kid", quoted(kid));
            }
        }
        Ok((jws, index))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("first", &self.first)
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

/// Whether the token needs a proof of possession of any kind (RFC 7800).
fn is_bound(token: &Verified<AccessToken>) -> bool {
    token.members().contains_key("cnf")
}
