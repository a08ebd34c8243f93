//! Nonces that this server issues for proofs (RFC 9449 §8, §9). None is stored: each is a MAC over
//! the time slot it was made in.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

/// Separates this use of the key from others.
const PURPOSE: &[u8] = b"doorward dpop nonce 1";

/// Makes nonces and recognizes its own.
#[derive(Clone)]
pub(super) struct NonceIssuer {
    key: hmac::Key,
    lifetime: Duration,
}

impl NonceIssuer {
    pub(super) fn new(lifetime: Duration, key: &[u8; 32]) -> Self {
        let lifetime = lifetime.clamp(Duration::from_secs(1), Duration::from_secs(300));
        let lifetime = Duration::from_secs(lifetime.as_secs());
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), lifetime }
    }

    pub(super) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    pub(super) fn current(&self, now: SystemTime) -> String {
        self.of(self.slot(now))
    }

    /// Whether it is the current nonce or the previous one.
    pub(super) fn accepts(&self, nonce: &str, now: SystemTime) -> bool {
        let slot = self.slot(now);
        let is = |slot| bool::from(self.of(slot).as_bytes().ct_eq(nonce.as_bytes()));
        is(slot) | slot.checked_sub(1).is_some_and(is)
    }

    fn slot(&self, now: SystemTime) -> u64 {
        now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / self.lifetime.as_secs()
    }

    fn of(&self, slot: u64) -> String {
        let tag = hmac::sign(&self.key, &[PURPOSE, &slot.to_be_bytes()].concat());
        URL_SAFE_NO_PAD.encode(tag)
    }
}

impl fmt::Debug for NonceIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NonceIssuer").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, NonceIssuer, UNIX_EPOCH};

    #[test]
    fn a_nonce_counts_in_its_slot_and_the_next() {
        let nonces = NonceIssuer::new(Duration::from_secs(60), &[7; 32]);
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let nonce = nonces.current(at(600));
        assert_eq!(nonces.current(at(659)), nonce);
        assert_ne!(nonces.current(at(660)), nonce);
        for (seconds, counts) in [(600, true), (659, true), (719, true), (720, false), (599, false)]
        {
            assert_eq!(nonces.accepts(&nonce, at(seconds)), counts, "{seconds}");
        }
    }

    #[test]
    fn a_nonce_of_another_key_or_none_at_all_does_not_count() {
        let now = UNIX_EPOCH + Duration::from_secs(600);
        let nonces = NonceIssuer::new(Duration::from_secs(60), &[7; 32]);
        let other = NonceIssuer::new(Duration::from_secs(60), &[8; 32]).current(now);
        for bad in [other.as_str(), "", "x"] {
            assert!(!nonces.accepts(bad, now));
        }
        let twin = NonceIssuer::new(Duration::from_secs(60), &[7; 32]);
        assert!(nonces.accepts(&twin.current(now), now));
    }
}
