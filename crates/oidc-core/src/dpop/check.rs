//! The resource server's side of a proof of possession: the checks of RFC 9449 §4.3 and §7.1.
//!
//! A proof is valid for one request: its method, address, token and time. A second use is refused
//! until the proof expires. Invalid proofs are not remembered.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::http::Method;
use subtle::ConstantTimeEq;
use thiserror::Error;
use url::Url;

use super::policy::DpopPolicy;
use super::replay::{ProofUse, ReplayMemory, UsedProof};
use super::target::Target;
use super::{PROOF_TYPE, access_token_hash, thumbprint};
use crate::foreign_text::quoted;
use crate::jose::{UnverifiedJws, VerifiedJws};
use crate::keys::Jwk;
use crate::refusal::TokenRefusal;
use crate::token::{Claims, InvalidClaims};

/// Members of a JWK that only its owner has (RFC 7518 §6.2.2, §6.3.2, §6.4; RFC 8037 §2).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Reason a DPoP proof is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofRefusal {
    /// The scheme is DPoP, but there is no proof.
    #[error("the request has no DPoP header; send a proof")]
    Missing,
    /// More than one header.
    #[error("the request has more than one DPoP header; send one")]
    Several,
    /// Not a signed JWT with the header and claims that RFC 9449 §4.2 requires.
    #[error("the proof's {part} cannot be used: {reason}")]
    Malformed {
        /// `header`, `payload`, `signature`, or a member.
        part: &'static str,
        /// The problem there.
        reason: String,
    },
    /// `typ` is not `dpop+jwt`.
    #[error("the proof's type is not dpop+jwt")]
    WrongType,
    /// `alg` is unsigned, symmetric, unknown or not accepted here.
    #[error("the proof is signed with {alg}, which is not accepted here")]
    AlgorithmNotAllowed {
        /// Value of `alg`.
        alg: String,
    },
    /// `jwk` cannot be used to verify.
    #[error("the proof's key cannot be used: {reason}")]
    UnusableKey {
        /// Reason.
        reason: &'static str,
    },
    /// `jwk` contains a private key, which is therefore compromised.
    #[error("the proof holds the private key; replace that key, and send the public one only")]
    PrivateKey,
    /// Signed by another key than the one the token is bound to.
    #[error("the proof is made with another key than the one the token is bound to")]
    WrongKey,
    /// The signature does not fit `jwk`.
    #[error("the proof's signature is not valid")]
    BadSignature,
    /// `htm` is not the method of the request.
    #[error("the proof is for another method than {expected}")]
    WrongMethod {
        /// The method of the request.
        expected: String,
    },
    /// `htu` is not the address of the request.
    #[error("the proof is for {found}, and the request went to {expected}")]
    WrongTarget {
        /// The address of the request.
        expected: String,
        /// `htu`, cut and escaped.
        found: String,
    },
    /// `ath` does not match the access token, or is missing.
    #[error("the proof is not for this access token")]
    WrongToken,
    /// `iat` lies too far back.
    #[error("the proof is too old; make a new one for each request, and compare the clocks")]
    TooOld {
        /// `iat`
        issued_at: SystemTime,
    },
    /// `iat` lies in the future by more than the leeway.
    #[error("the proof was made in the future; compare the clocks")]
    FromFuture {
        /// `iat`
        issued_at: SystemTime,
    },
    /// The nonce of this server is missing or old; the answer contains a new one.
    #[error("the proof needs the nonce of this server; repeat the request with it")]
    NonceNeeded,
    /// The proof was used before.
    #[error("the proof was used before; make a new one for each request")]
    Replayed,
    /// The proof is valid, but the server cannot check or record now whether it was used before.
    /// Try again later, with a new one.
    #[error("the proof cannot be checked now: {reason}; try again later with a new one")]
    MemoryUnavailable {
        /// Reason.
        reason: String,
        /// Wait before another attempt.
        retry_after: Option<Duration>,
    },
}

macro_rules! codes {
    ($($variant:pat => $code:literal,)+) => {
        impl ProofRefusal {
            /// All names that [`code`](Self::code) returns.
            pub const CODES: &'static [&'static str] = &[$($code),+];

            /// A stable name of the cause, for logs, metrics and programs.
            pub fn code(&self) -> &'static str {
                match self {
                    $($variant => $code,)+
                }
            }
        }
    };
}

codes! {
    ProofRefusal::Missing => "proof_missing",
    ProofRefusal::Several => "proof_several",
    ProofRefusal::Malformed { .. } => "proof_malformed",
    ProofRefusal::WrongType => "proof_wrong_type",
    ProofRefusal::AlgorithmNotAllowed { .. } => "proof_algorithm_not_allowed",
    ProofRefusal::UnusableKey { .. } => "proof_unusable_key",
    ProofRefusal::PrivateKey => "proof_private_key",
    ProofRefusal::WrongKey => "proof_wrong_key",
    ProofRefusal::BadSignature => "proof_bad_signature",
    ProofRefusal::WrongMethod { .. } => "proof_wrong_method",
    ProofRefusal::WrongTarget { .. } => "proof_wrong_target",
    ProofRefusal::WrongToken => "proof_wrong_token",
    ProofRefusal::TooOld { .. } => "proof_too_old",
    ProofRefusal::FromFuture { .. } => "proof_from_future",
    ProofRefusal::NonceNeeded => "proof_nonce_needed",
    ProofRefusal::Replayed => "proof_replayed",
    ProofRefusal::MemoryUnavailable { .. } => "proof_memory_unavailable",
}

/// The request that a proof must match.
pub(crate) struct ProvenRequest<'r> {
    pub(crate) method: &'r Method,
    pub(crate) uri: &'r Url,
    pub(crate) access_token: &'r str,
    pub(crate) jkt: &'r str,
}

/// Checks proofs, and remembers the accepted ones. Several verifiers may share one, so that a proof counts once among them:
/// [`Verifier::verify_presented`](crate::Verifier::verify_presented).
///
/// ```
/// use std::sync::Arc;
/// use oidc_core::dpop::{DpopChecker, DpopPolicy, LocalReplayMemory};
///
/// let checker = DpopChecker::new(DpopPolicy::default(), Arc::new(LocalReplayMemory::new(100_000)));
/// assert!(checker.algorithms().contains("ES256"));
/// ```
#[derive(Debug)]
pub struct DpopChecker {
    policy: DpopPolicy,
    memory: Arc<dyn ReplayMemory>,
}

/// A valid proof that may have been used before: [`UncountedProof::count`] checks that.
#[must_use = "a proof counts once"]
pub(crate) struct UncountedProof {
    proof: UsedProof,
    memory: Arc<dyn ReplayMemory>,
}

impl UncountedProof {
    /// Remembers the proof, unless it was used before.
    pub(crate) async fn count(self) -> Result<(), ProofRefusal> {
        match self.memory.remember(&self.proof).await {
            Ok(ProofUse::First) => Ok(()),
            Ok(ProofUse::Repeated) => Err(ProofRefusal::Replayed),
            Err(error) => {
                let (reason, retry_after) = (error.reason, error.retry_after);
                Err(ProofRefusal::MemoryUnavailable { reason, retry_after })
            }
        }
    }
}

impl DpopChecker {
    /// Checks by this policy, with this memory of used proofs.
    pub fn new(policy: DpopPolicy, memory: Arc<dyn ReplayMemory>) -> Self {
        Self { policy, memory }
    }

    /// The nonce that the next proof must have, for the header `DPoP-Nonce` (RFC 9449 §9); `None` if none is required. It
    /// changes at intervals: call this for each answer.
    pub fn nonce(&self, now: SystemTime) -> Option<String> {
        Some(self.policy.nonces.as_ref()?.current(now))
    }

    /// The algorithms accepted, separated by spaces, as the challenge names them (RFC 9449 §7.1).
    pub fn algorithms(&self) -> String {
        let names: Vec<_> = self.policy.algorithms.iter().map(|one| one.as_str()).collect();
        names.join(" ")
    }

    /// All checks except whether the proof was used before.
    pub(crate) fn check(
        &self,
        proof: &str,
        request: &ProvenRequest<'_>,
        now: SystemTime,
    ) -> Result<UncountedProof, ProofRefusal> {
        let claims = self.open(proof, request)?;
        let text = |name| claims.member(name).and_then(|value| value.as_str());
        if text("htm") != Some(request.method.as_str()) {
            return Err(ProofRefusal::WrongMethod { expected: request.method.to_string() });
        }
        let target = Target::of(request.uri);
        let named = text("htu").unwrap_or_default();
        if Target::parse(named) != Some(target) {
            let expected = super::target_uri(request.uri);
            return Err(ProofRefusal::WrongTarget { expected, found: quoted(named) });
        }
        let hash = access_token_hash(request.access_token);
        if !bool::from(text("ath").unwrap_or_default().as_bytes().ct_eq(hash.as_bytes())) {
            return Err(ProofRefusal::WrongToken);
        }
        let missing = |part| ProofRefusal::Malformed { part, reason: "it is missing".to_owned() };
        let issued_at = claims.issued_at.ok_or_else(|| missing("iat"))?;
        let jti = claims.jwt_id.as_deref().filter(|jti| !jti.is_empty());
        let jti = jti.ok_or_else(|| missing("jti"))?;
        self.check_time(issued_at, claims.nonce.as_deref(), now)?;
        // Last, so that only valid proofs take memory. The key is part of it, so that two keys may
        // use the same `jti`.
        let proof = UsedProof::new(request.jkt, jti, self.policy.lifetime());
        Ok(UncountedProof { proof, memory: Arc::clone(&self.memory) })
    }

    /// Checks form, key and signature.
    fn open(&self, proof: &str, request: &ProvenRequest<'_>) -> Result<Claims, ProofRefusal> {
        let (jws, jwk) = UnverifiedJws::parse_with_key(proof).map_err(form)?;
        if jws.header.media_type.as_deref() != Some(PROOF_TYPE) {
            return Err(ProofRefusal::WrongType);
        }
        let algorithm = jws.header.algorithm;
        if !self.policy.algorithms.contains(&algorithm) {
            return Err(ProofRefusal::AlgorithmNotAllowed { alg: algorithm.to_string() });
        }
        if PRIVATE_MEMBERS.iter().any(|member| jwk.contains_key(*member)) {
            return Err(ProofRefusal::PrivateKey);
        }
        let key = Jwk::parse(&jwk).map_err(|reason| ProofRefusal::UnusableKey { reason })?;
        // Before the signature: a proof by any other key is refused without computing it.
        let own = thumbprint(&jwk).unwrap_or_default();
        if !bool::from(own.as_bytes().ct_eq(request.jkt.as_bytes())) {
            return Err(ProofRefusal::WrongKey);
        }
        if !key.fits(algorithm) {
            return Err(ProofRefusal::UnusableKey { reason: "it does not fit the proof's alg" });
        }
        let VerifiedJws { claims, .. } = jws.verify(&key).map_err(form)?;
        Claims::of(claims).map_err(|error| match error {
            InvalidClaims::Malformed { reason } => {
                ProofRefusal::Malformed { part: "payload", reason }
            }
            InvalidClaims::Claim { claim, reason } => {
                ProofRefusal::Malformed { part: claim, reason: reason.to_owned() }
            }
        })
    }

    /// Checks the nonce if the policy asks for nonces, else `iat` (RFC 9449 §4.3, item 11).
    fn check_time(
        &self,
        issued_at: SystemTime,
        nonce: Option<&str>,
        now: SystemTime,
    ) -> Result<(), ProofRefusal> {
        if let Some(nonces) = &self.policy.nonces {
            let known = nonce.is_some_and(|nonce| nonces.accepts(nonce, now));
            return if known { Ok(()) } else { Err(ProofRefusal::NonceNeeded) };
        }
        if issued_at > now + self.policy.leeway {
            return Err(ProofRefusal::FromFuture { issued_at });
        }
        if issued_at + self.policy.max_age + self.policy.leeway < now {
            return Err(ProofRefusal::TooOld { issued_at });
        }
        Ok(())
    }
}

/// Maps the JWT parser's refusal of a proof.
fn form(refusal: TokenRefusal) -> ProofRefusal {
    match refusal {
        TokenRefusal::BadSignature | TokenRefusal::UnknownKey { .. } => ProofRefusal::BadSignature,
        TokenRefusal::AlgorithmNotAllowed { alg, .. } => ProofRefusal::AlgorithmNotAllowed { alg },
        TokenRefusal::Malformed { part, reason } => ProofRefusal::Malformed { part, reason },
        TokenRefusal::HeaderNotAllowed { member } => ProofRefusal::Malformed {
            part: "header",
            reason: format!("it holds `{member}`, which is never accepted"),
        },
        TokenRefusal::TooLarge { limit } => ProofRefusal::Malformed {
            part: "header",
            reason: format!("it is larger than {limit} bytes"),
        },
        other => ProofRefusal::Malformed { part: "header", reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DpopChecker, DpopPolicy, Method, ProofRefusal, ProvenRequest, SystemTime};
    use crate::token::Algorithm;

    /// RFC 9449 §7.1, figure 12
    const PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    /// RFC 9449 §4.1, figure 1: for the token endpoint, so without `ath`
    const TOKEN_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    const ISSUED_AT: u64 = 1_562_262_618;

    fn check(policy: DpopPolicy, at: u64, method: &Method, url: &str) -> Result<(), ProofRefusal> {
        let proof = if url.ends_with("/token") { TOKEN_REQUEST } else { PROOF };
        let request = ProvenRequest {
            method,
            uri: &url.parse().unwrap(),
            access_token: "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
            jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
        let memory = std::sync::Arc::new(policy.local_memory());
        DpopChecker::new(policy, memory).check(proof, &request, now).map(drop)
    }

    #[test]
    fn the_example_of_the_specification_holds() {
        let url = "https://resource.example.org/protectedresource";
        assert_eq!(check(DpopPolicy::default(), ISSUED_AT, &Method::GET, url), Ok(()));
        let refusal = check(DpopPolicy::default(), ISSUED_AT, &Method::POST, url).unwrap_err();
        assert_eq!(refusal.code(), "proof_wrong_method");
        let only = DpopPolicy::default().with_algorithms([Algorithm::EdDSA]);
        let refusal = check(only, ISSUED_AT, &Method::GET, url).unwrap_err();
        assert_eq!(refusal.code(), "proof_algorithm_not_allowed");
    }

    #[test]
    fn a_proof_for_the_token_endpoint_is_none_for_a_resource() {
        let url = "https://server.example.com/token";
        let refusal = check(DpopPolicy::default(), ISSUED_AT, &Method::POST, url).unwrap_err();
        assert_eq!(refusal, ProofRefusal::WrongToken);
    }

    #[test]
    fn a_proof_counts_for_its_time() {
        let url = "https://resource.example.org/protectedresource";
        for (at, code) in [
            (ISSUED_AT - 11, "proof_from_future"),
            (ISSUED_AT - 10, "counts"),
            (ISSUED_AT + 70, "counts"),
            (ISSUED_AT + 71, "proof_too_old"),
        ] {
            let outcome = check(DpopPolicy::default(), at, &Method::GET, url);
            let found = outcome.map_or_else(|refusal| refusal.code(), |()| "counts");
            assert_eq!(found, code, "{at}");
        }
    }
}
