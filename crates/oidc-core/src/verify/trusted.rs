//! A trusted issuer: its rules, its keys, and the decision whether a token justifies fetching its
//! keys.

use std::sync::Arc;
#[cfg(feature = "token")]
use std::time::SystemTime;

#[cfg(feature = "token")]
use tracing::{Instrument as _, field::Empty};

use crate::jose::{UnverifiedJws, VerifiedJws};
use crate::keys::{Jwk, KeySource};
use crate::refusal::TokenRefusal;
use crate::verify::Validation;
#[cfg(feature = "token")]
use crate::verify::Verified;
#[cfg(feature = "token")]
use crate::verify::signed_answers::IntrospectionResponse;

/// Kind of signed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    /// A token that a caller presents. Its algorithm is one of those allowed for the issuer's tokens.
    Token,
    /// A token that this program fetched from the issuer itself.
    OwnToken,
    /// Another message that this program fetched from the issuer itself. The algorithms that the rules name
    /// count for it; those that the issuer announces for it are the caller's to check.
    #[cfg(feature = "login")]
    OwnMessage,
    /// Another message from the issuer, for which it announces other algorithms.
    #[cfg(feature = "token")]
    Message,
}

impl Signed {
    fn is_token(self) -> bool {
        matches!(self, Self::Token | Self::OwnToken)
    }

    /// Whether the algorithms that the rules name count for it.
    fn is_ruled(self) -> bool {
        match self {
            Self::Token | Self::OwnToken => true,
            #[cfg(feature = "login")]
            Self::OwnMessage => true,
            #[cfg(feature = "token")]
            Self::Message => false,
        }
    }

    fn is_own(self) -> bool {
        match self {
            Self::OwnToken => true,
            #[cfg(feature = "login")]
            Self::OwnMessage => true,
            Self::Token => false,
            #[cfg(feature = "token")]
            Self::Message => false,
        }
    }
}

/// A trusted issuer, with its rules and keys.
#[derive(Clone, Debug)]
pub(crate) struct Trusted {
    pub(crate) validation: Validation,
    pub(crate) keys: Arc<dyn KeySource>,
}

impl Trusted {
    /// Checks algorithm and signature. Asks the key source only when the token is well formed,
    /// names this issuer, and no known key can be its own: its `kid` is unknown, or there are no
    /// keys. A token with a known `kid` never waits for a fetch.
    ///
    /// An algorithm that the rules do not name is refused before anything else. One that the issuer
    /// does not announce is refused before the key source is asked, unless the token names an
    /// unknown key: with a new key an issuer may announce a new algorithm.
    pub(crate) async fn open(
        &self,
        mut jws: UnverifiedJws<'_>,
        signed: Signed,
    ) -> Result<(VerifiedJws, u64), TokenRefusal> {
        if self.validation.ignores_header_keys() {
            jws.ignore_key_members();
        }
        jws.check_header()?;
        let algorithm = jws.header.algorithm;
        let named = self.validation.algorithms().filter(|_| signed.is_ruled());
        if let Some(named) = named.filter(|named| !named.contains(&algorithm)) {
            return Err(TokenRefusal::not_among(algorithm, named));
        }
        let keys = match self.keys.current() {
            Ok(keys) if jws.header.key_id.as_deref().is_some_and(|kid| keys.contains(kid)) => keys,
            known => {
                let claimed = self.is_claimed(&mut jws)?;
                match (known, jws.header.key_id.as_deref()) {
                    // Without `kid`, only the known keys are tried, if there are any.
                    (Ok(keys), None) if !keys.is_empty() => keys,
                    (Ok(_), _) if !claimed => return Err(jws.unknown_key()),
                    (Err(_), _) if !claimed => {
                        let unread = jws.claimed_origin().err().cloned();
                        return Err(unread.unwrap_or(TokenRefusal::MissingClaim { claim: "iss" }));
                    }
                    (_, kid) if signed.is_own() => self.keys.refreshed_for_own(kid).await?,
                    (_, kid) => self.keys.refreshed(kid).await?,
                }
            }
        };
        if signed.is_token() && named.is_none() {
            keys.check_announced(algorithm, self.validation.issuer())?;
        }
        let key = jws.select(&keys).ok_or_else(|| jws.unknown_key())?;
        if jws.header.key_id.is_some() {
            return self.with_key_issuer(jws.verify(key)?, key, keys.generation());
        }
        let jws = match jws.verify_or_return(key) {
            Ok(verified) => return self.with_key_issuer(verified?, key, keys.generation()),
            Err(jws) => jws,
        };
        let newer = self.keys.refreshed_after_mismatch(keys.generation()).await?;
        let key = jws.select(&newer).filter(|_| newer.generation() != keys.generation());
        let key = key.ok_or(TokenRefusal::BadSignature)?;
        self.with_key_issuer(jws.verify(key)?, key, newer.generation())
    }

    /// The verified token, if its key is for its issuer.
    fn with_key_issuer(
        &self,
        jws: VerifiedJws,
        key: &Jwk,
        generation: u64,
    ) -> Result<(VerifiedJws, u64), TokenRefusal> {
        let issuer = jws.claims.members().get("iss").and_then(|iss| iss.as_str());
        self.validation.check_key_issuer(key.issuer(), issuer)?;
        Ok((jws, generation))
    }

    /// Verifies a signed answer to introspection (RFC 9701 §5); its audience is the client's id.
    /// Also returns the generation of the keys that verified it.
    #[cfg(feature = "token")]
    pub(crate) async fn introspection_response(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<(Verified<IntrospectionResponse>, u64), TokenRefusal> {
        let issuer = self.validation.issuer();
        let span = tracing::debug_span!("verify", %issuer, outcome = Empty);
        let work = async {
            let jws = UnverifiedJws::parse(token)?;
            let (jws, generation) = self.open(jws, Signed::Message).await?;
            Ok((self.validation.introspection_response(jws, now)?, generation))
        };
        let verdict = work.instrument(span.clone()).await;
        span.record("outcome", verdict.as_ref().map_or_else(TokenRefusal::code, |_| "ok"));
        verdict
    }

    /// Whether a token names this issuer, which justifies fetching its key. A token that names
    /// another issuer is refused.
    fn is_claimed(&self, jws: &mut UnverifiedJws<'_>) -> Result<bool, TokenRefusal> {
        match jws.claimed_origin() {
            Ok(origin) => self.validation.check_claimed_origin(origin),
            Err(_) => Ok(false),
        }
    }
}
