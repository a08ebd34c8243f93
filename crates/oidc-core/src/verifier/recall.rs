//! Repeated tokens: looked up in memory first, verified and remembered if they are not there.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::memory::{Entry, Memory, Place};
use super::{Judged, Verifier, is_bound};
use crate::claims::Claims;
use crate::jose::{MAX_TOKEN_BYTES, UnverifiedJws};
use crate::observer::Event;
use crate::refusal::TokenRefusal;
use crate::tokens::{AccessToken, IdToken, Verified};
use crate::trusted::Signed;
use crate::validation::{IdTokenExpectations, Validation};

/// A token that is not in memory and not verified yet: see [`Verifier::recall`].
pub struct Unverified<'t> {
    token: Cow<'t, str>,
    /// Key for remembering it; `None` if it is not to be remembered.
    place: Option<Place>,
}

impl<'t> Unverified<'t> {
    fn new(token: &'t str, place: Option<Place>) -> Self {
        Self { token: Cow::Borrowed(token), place }
    }

    /// Copies the token, for use in another task or thread.
    pub fn into_owned(self) -> Unverified<'static> {
        Unverified { token: Cow::Owned(self.token.into_owned()), place: self.place }
    }
}

/// A kind of token that is remembered.
pub(super) trait Kind: Deref<Target = Claims> + Send + Sync + 'static {}

impl Kind for AccessToken {}
impl Kind for IdToken {}

impl Verifier {
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
            Ok(verified) if is_bound(&verified) => Err(Unverified::new(token, None)),
            looked_up => looked_up,
        }
    }

    /// Like [`Verifier::recall`], without the check of possession.
    pub(crate) fn look_up<'t>(
        &self,
        token: &'t str,
    ) -> Result<Arc<Verified<AccessToken>>, Unverified<'t>> {
        self.look_up_in(self.memory.as_ref(), token)
    }

    fn look_up_in<'t, T: Kind>(
        &self,
        memory: Option<&Memory<T>>,
        token: &'t str,
    ) -> Result<Arc<Verified<T>>, Unverified<'t>> {
        let memory = memory.filter(|_| token.len() <= MAX_TOKEN_BYTES);
        let Some(memory) = memory else { return Err(Unverified::new(token, None)) };
        let place = Place::of(token);
        self.remembered(memory, &place).ok_or(Unverified::new(token, Some(place)))
    }

    /// A token that was verified before and is still valid, bound or not.
    fn remembered<T: Kind>(&self, memory: &Memory<T>, place: &Place) -> Option<Arc<Verified<T>>> {
        let entry = memory.get(place)?;
        let trusted = self.nth(entry.issuer)?;
        let generation = trusted.keys.generation()?;
        let timely = trusted.validation.check_times(&entry.token, self.clock.now()).is_ok();
        if entry.generation != generation || !timely {
            memory.forget(place);
            return None;
        }
        memory.hit();
        if let Some(observer) = &self.observer {
            observer(&Event::TokenRemembered { issuer: trusted.validation.issuer() });
        }
        Some(entry.token)
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

    /// Verifies an access token, without the check of possession.
    pub(crate) async fn without_possession(
        &self,
        token: &str,
    ) -> Result<Arc<Verified<AccessToken>>, TokenRefusal> {
        match self.look_up(token) {
            Ok(verified) => Ok(verified),
            Err(unverified) => self.learn(unverified).await,
        }
    }

    /// Verifies a token that is not remembered, without the check of possession, and remembers it.
    pub(crate) async fn learn(
        &self,
        Unverified { token, place }: Unverified<'_>,
    ) -> Result<Arc<Verified<AccessToken>>, TokenRefusal> {
        let token = token.as_ref();
        #[cfg(feature = "token")]
        if let Some(introspection) = self.asked_about(token) {
            return introspection.without_possession(token).await;
        }
        let parse = |token| parse(token, place.as_ref());
        let judged = self.judge_as(Signed::Token, parse, token, Validation::access_token).await?;
        Ok(judged.kept(self.memory.as_ref(), place, token.len()))
    }

    /// Verifies a gateway's assertion about the sender of a request: an ID token (OpenID Connect
    /// Core 1.0 §2) for this service, sent with each of that person's requests while it is valid.
    /// From memory when it was verified before.
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`] with the first check that failed; [`TokenRefusal::is_unavailable`] when there
    /// are no keys to check with.
    pub async fn assertion(&self, token: &str) -> Result<Arc<Verified<IdToken>>, TokenRefusal> {
        match self.recall_assertion(token) {
            Ok(verified) => Ok(verified),
            Err(unverified) => self.verify_assertion(unverified).await,
        }
    }

    /// [`Verifier::recall`] for [`Verifier::assertion`].
    ///
    /// # Errors
    /// An [`Unverified`] does not mean that the assertion is invalid.
    pub fn recall_assertion<'t>(
        &self,
        token: &'t str,
    ) -> Result<Arc<Verified<IdToken>>, Unverified<'t>> {
        self.look_up_in(self.assertions.as_ref(), token)
    }

    /// [`Verifier::assertion`] for one that [`Verifier::recall_assertion`] did not find.
    ///
    /// # Errors
    ///
    /// As [`Verifier::assertion`].
    pub async fn verify_assertion(
        &self,
        Unverified { token, place }: Unverified<'_>,
    ) -> Result<Arc<Verified<IdToken>>, TokenRefusal> {
        let parse = |token| parse(token, place.as_ref());
        let expected = IdTokenExpectations::default();
        let judged = self.judge_as(Signed::Token, parse, &token, |rules, jws, now| {
            rules.id_token(jws, &expected, now)
        });
        Ok(judged.await?.kept(self.assertions.as_ref(), place, token.len()))
    }
}

impl<T: Kind> Judged<T> {
    /// The token, remembered if it has a key for that.
    fn kept(
        self,
        memory: Option<&Memory<T>>,
        place: Option<Place>,
        octets: usize,
    ) -> Arc<Verified<T>> {
        let verified = Arc::new(self.verified);
        if let (Some(memory), Some(place)) = (memory, place) {
            let kept = Arc::clone(&verified);
            memory.insert(place, Entry::new(kept, self.issuer, self.generation, octets));
        }
        verified
    }
}

fn parse<'t>(token: &'t str, place: Option<&Place>) -> Result<UnverifiedJws<'t>, TokenRefusal> {
    Ok(UnverifiedJws::parse(token)?.with_digest(place.and_then(Place::signed)))
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").finish_non_exhaustive()
    }
}
