//! An issuer among those trusted: its rules, its keys, and when a token is worth asking it for others.

use std::sync::Arc;

use crate::jose::{UnverifiedJws, VerifiedJws};
use crate::keys::KeySource;
use crate::refusal::TokenRefusal;
use crate::validation::Validation;

/// What a signature is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    /// A token: its algorithm is among those named for the issuer's tokens.
    Token,
    /// Another message of the issuer's, for which it announces other algorithms.
    #[cfg(feature = "token")]
    Message,
}

/// An issuer that is trusted: by which rules, and with which keys.
#[derive(Clone, Debug)]
pub(super) struct Trusted {
    pub(super) validation: Validation,
    pub(super) keys: Arc<dyn KeySource>,
}

impl Trusted {
    /// Checks algorithm and signature. Asks the key source only when the token is well formed, says it
    /// is of this issuer, and no key can be its own: its `kid` is not known, or there are no keys. A
    /// token with a known `kid` never waits for that.
    ///
    /// An algorithm that the rules do not name is refused before anything else. One that the issuer does
    /// not announce is refused before the key source is asked, unless the token names a key that is not
    /// known: with a new key an issuer may announce a new algorithm.
    pub(super) async fn open(
        &self,
        mut jws: UnverifiedJws<'_>,
        signed: Signed,
    ) -> Result<(VerifiedJws, u64), TokenRefusal> {
        let algorithm = jws.header.algorithm;
        let named = self.validation.algorithms().filter(|_| signed == Signed::Token);
        if let Some(named) = named.filter(|named| !named.contains(&algorithm)) {
            return Err(TokenRefusal::not_among(algorithm, named));
        }
        let keys = match self.keys.current() {
            Ok(keys) if jws.header.key_id.as_deref().is_some_and(|kid| keys.contains(kid)) => keys,
            known => {
                let claimed = self.is_claimed(&mut jws)?;
                match (known, jws.header.key_id.as_deref()) {
                    // Without `kid` the known keys are all there is to try, if there are any.
                    (Ok(keys), None) if !keys.is_empty() => keys,
                    (Ok(_), _) if !claimed => return Err(jws.unknown_key()),
                    (Err(_), _) if !claimed => {
                        let unread = jws.claimed_issuer().err().cloned();
                        return Err(unread.unwrap_or(TokenRefusal::MissingClaim { claim: "iss" }));
                    }
                    (_, kid) => self.keys.refreshed(kid).await?,
                }
            }
        };
        if signed == Signed::Token && named.is_none() {
            keys.check_announced(algorithm)?;
        }
        let key = jws.select(&keys).ok_or_else(|| jws.unknown_key())?;
        Ok((jws.verify(key)?, keys.generation()))
    }

    /// Whether a token says that it is of this issuer: then its key is worth a fetch. It is refused
    /// when it says that it is another's.
    fn is_claimed(&self, jws: &mut UnverifiedJws<'_>) -> Result<bool, TokenRefusal> {
        match jws.claimed_issuer() {
            Ok(Some(issuer)) => self.validation.check_claimed_issuer(issuer).map(|()| true),
            Ok(None) | Err(_) => Ok(false),
        }
    }
}
