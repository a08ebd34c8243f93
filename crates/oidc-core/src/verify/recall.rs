//! Repeated tokens: looked up in memory first, verified and remembered if they are not there.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use super::judge::Judge;
use super::memory::{Entry, Memory, Place};
use super::trusted::Signed;
use super::validation::Validation;
use super::verified::Verified;
use crate::jose::{MAX_TOKEN_BYTES, UnverifiedJws, VerifiedJws};
use crate::observer::Event;
use crate::refusal::TokenRefusal;
use crate::token::{AccessToken, Claims, IdToken};

/// A token that is not in memory and not verified yet: see
/// [`Verifier::recall`](crate::Verifier::recall).
pub struct Unverified<'t> {
    token: Cow<'t, str>,
    /// Key for remembering it; `None` if it is not to be remembered.
    place: Option<Place>,
}

impl<'t> Unverified<'t> {
    /// A token that is not to be remembered.
    pub(super) fn unremembered(token: &'t str) -> Self {
        Self { token: Cow::Borrowed(token), place: None }
    }

    /// Copies the token, for use in another task or thread.
    pub fn into_owned(self) -> Unverified<'static> {
        Unverified { token: Cow::Owned(self.token.into_owned()), place: self.place }
    }

    #[cfg(feature = "token")]
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    fn parse(&self) -> Result<UnverifiedJws<'_>, TokenRefusal> {
        let digest = self.place.as_ref().and_then(Place::signed);
        Ok(UnverifiedJws::parse(&self.token)?.with_digest(digest))
    }
}

/// A kind of token that is remembered.
pub(super) trait Kind: Deref<Target = Claims> + Send + Sync + 'static {}

impl Kind for AccessToken {}
impl Kind for IdToken {}

impl Judge {
    /// A token that was verified before and is still valid, bound or not; else a value for
    /// [`Judge::learn`].
    pub(super) fn look_up<'t, T: Kind>(
        &self,
        memory: Option<&Memory<T>>,
        token: &'t str,
    ) -> Result<Arc<Verified<T>>, Unverified<'t>> {
        let memory = memory.filter(|_| token.len() <= MAX_TOKEN_BYTES);
        let Some(memory) = memory else { return Err(Unverified::unremembered(token)) };
        let place = Place::of(token);
        let remembered = self.remembered(memory, &place);
        remembered.ok_or(Unverified { token: Cow::Borrowed(token), place: Some(place) })
    }

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

    /// Judges a token by `rules`, and remembers it.
    pub(super) async fn learn<T: Kind>(
        &self,
        memory: Option<&Memory<T>>,
        unverified: &Unverified<'_>,
        rules: impl FnOnce(&Validation, VerifiedJws, SystemTime) -> Result<Verified<T>, TokenRefusal>,
    ) -> Result<Arc<Verified<T>>, TokenRefusal> {
        let parse = |_| unverified.parse();
        let judged = self.judge(Signed::Token, parse, &unverified.token, rules).await?;
        let verified = Arc::new(judged.verified);
        if let (Some(memory), Some(place)) = (memory, unverified.place) {
            let kept = Arc::clone(&verified);
            let octets = unverified.token.len();
            memory.insert(place, Entry::new(kept, judged.issuer, judged.generation, octets));
        }
        Ok(verified)
    }
}

impl fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").finish_non_exhaustive()
    }
}
