//! Reasons a token is refused: one variant per cause.
//!
//! Each message names the problem and the remedy. Text from the token is cut and escaped before it
//! is stored, so that a refusal can be logged and shown unchanged.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;

use crate::misconfigured::IssuerMisconfigured;
use crate::token::{Algorithm, InvalidClaims};

/// Reason a token was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenRefusal {
    /// Larger than the limit; not decoded.
    #[error(
        "the token is larger than {limit} bytes; ask the issuer for a smaller one (fewer roles or mappers)"
    )]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Not a signed JWT in compact form (RFC 7515 §7.1), or one that two parsers could read differently.
    #[error("{} cannot be read: {reason}; send an unmodified signed JWT", whole_or(part))]
    Malformed {
        /// `token`, `header`, `payload` or `signature`.
        part: &'static str,
        /// The problem there.
        reason: String,
    },
    /// `alg` is unknown, unsigned, symmetric or not among those accepted here (RFC 8725 §3.1).
    #[error(
        "the token is signed with {alg}, which is not accepted here; have the issuer sign with {}{}",
        one_of(allowed),
        name_of_ed25519(alg, allowed)
    )]
    AlgorithmNotAllowed {
        /// Value of `alg`.
        alg: String,
        /// Algorithms accepted of this issuer.
        allowed: Vec<Algorithm>,
    },
    /// The header holds a member that would change how the token is read or which key is trusted.
    #[error("the token's header holds `{member}`, which is never accepted; use a plain signed JWT")]
    HeaderNotAllowed {
        /// The member's name.
        member: &'static str,
    },
    /// The JWT is of another kind than required (RFC 8725 §3.11).
    #[error("this is not the right kind of token: expected {expected}, found {found}")]
    WrongType {
        /// The kind required here.
        expected: &'static str,
        /// The kind that the token claims.
        found: String,
    },
    /// The token is bound to a key or certificate whose possession is not proved here (RFC 7800 §3.1).
    #[error(
        "the token is bound to a key (`cnf`), and this request does not prove that the sender holds it; send the proof (DPoP, or the client's certificate) where one is accepted, or ask for an unbound token"
    )]
    SenderConstrained,
    /// No usable key of the issuer has this `kid` and fits the algorithm.
    #[error("no usable key of the issuer fits this token (kid {}); it is from another issuer, or its key was withdrawn", kid.as_deref().unwrap_or("absent"))]
    UnknownKey {
        /// `kid`, cut and escaped.
        kid: Option<String>,
    },
    /// The signature does not fit the key.
    #[error("the token's signature is not valid; it was altered, or another issuer signed it")]
    BadSignature,
    /// A registered claim has the wrong type or an impossible value; it is refused, never skipped.
    #[error("the token's claim `{claim}` is not usable: {reason}")]
    InvalidClaim {
        /// The claim's name.
        claim: &'static str,
        /// The problem with it.
        reason: &'static str,
    },
    /// A claim that this kind of token must have is absent.
    #[error("the token has no claim `{claim}`, which is required here; have the issuer add it")]
    MissingClaim {
        /// The claim's name.
        claim: &'static str,
    },
    /// A claim that this kind of token must not have.
    #[error("the token holds the claim `{claim}`, which this kind of token must not have")]
    ForbiddenClaim {
        /// The claim's name.
        claim: &'static str,
    },
    /// `iss` is not this issuer, byte for byte.
    #[error(
        "the token was issued by {found}, expected {expected}; get it from the expected issuer"
    )]
    WrongIssuer {
        /// The issuer trusted here.
        expected: String,
        /// `iss`, cut and escaped.
        found: String,
    },
    /// `aud` names none of the audiences accepted here.
    #[error(
        "the token is for {}, expected {}; with Keycloak, add an audience mapper to the client that asks for it",
        list(found),
        list(expected)
    )]
    WrongAudience {
        /// The audiences accepted here.
        expected: Vec<String>,
        /// `aud`, cut and escaped.
        found: Vec<String>,
    },
    /// Past `exp` by more than the leeway.
    #[error("the token expired at {} (it is {} now); get a fresh one", unix(expires_at), unix(now))]
    Expired {
        /// `exp`
        expires_at: SystemTime,
        /// Time of the check.
        now: SystemTime,
    },
    /// Before `nbf` by more than the leeway.
    #[error(
        "the token is not valid before {} (it is {} now); compare the clocks",
        unix(not_before),
        unix(now)
    )]
    NotYetValid {
        /// `nbf`
        not_before: SystemTime,
        /// Time of the check.
        now: SystemTime,
    },
    /// `iat` lies in the future by more than the leeway.
    #[error(
        "the token was issued in the future, at {} (it is {} now); compare the clocks",
        unix(issued_at),
        unix(now)
    )]
    IssuedInFuture {
        /// `iat`
        issued_at: SystemTime,
        /// Time of the check.
        now: SystemTime,
    },
    /// `azp` of an ID token is not this client (OpenID Connect Core 1.0 §3.1.3.7).
    #[error("the ID token was made for the client {found} (`azp`), not for this one")]
    WrongAuthorizedParty {
        /// `azp`, cut and escaped.
        found: String,
    },
    /// `nonce` is not the one of this login.
    #[error("the ID token's nonce does not belong to this login; start the login again")]
    WrongNonce,
    /// `at_hash` or `c_hash` does not match the access token or code that came with the ID token.
    #[error("the ID token's `{claim}` does not fit what it came with")]
    WrongHash {
        /// `at_hash` or `c_hash`.
        claim: &'static str,
    },
    /// `sub` is not the expected subject.
    #[error("the token is about another subject than expected")]
    WrongSubject,
    /// The person authenticated longer ago than `max_age` allows.
    #[error(
        "the person signed in at {}, longer ago than was asked for; sign in again",
        unix(auth_time)
    )]
    AuthenticationTooOld {
        /// `auth_time`
        auth_time: SystemTime,
    },
    /// The issuer was asked, and says that the token is not active (RFC 7662 §2.2).
    #[error(
        "the issuer says that the token is not active: it expired, was revoked or was never issued; get a fresh one"
    )]
    Inactive,
    /// Introspection failed. The token may be valid: try again later.
    #[error("the token could not be introspected: {reason}; try again later")]
    IntrospectionUnavailable {
        /// Reason.
        reason: String,
        /// Wait until the next attempt.
        retry_after: Option<Duration>,
    },
    /// There are no usable keys to check with. The token may be valid: try again later.
    #[error("the issuer's keys are not available: {reason}; try again later")]
    KeysUnavailable {
        /// Reason there are none.
        reason: String,
        /// Wait until the next attempt.
        retry_after: Option<Duration>,
    },
    /// The issuer's keys cannot be had until a configuration is corrected. The token may be valid.
    #[error("the token cannot be checked: {0}")]
    IssuerMisconfigured(Box<IssuerMisconfigured>),
}

macro_rules! codes {
    ($($variant:pat => $code:literal,)+) => {
        impl TokenRefusal {
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
    TokenRefusal::TooLarge { .. } => "too_large",
    TokenRefusal::Malformed { .. } => "malformed",
    TokenRefusal::AlgorithmNotAllowed { .. } => "algorithm_not_allowed",
    TokenRefusal::HeaderNotAllowed { .. } => "header_not_allowed",
    TokenRefusal::WrongType { .. } => "wrong_type",
    TokenRefusal::SenderConstrained => "sender_constrained",
    TokenRefusal::UnknownKey { .. } => "unknown_key",
    TokenRefusal::BadSignature => "bad_signature",
    TokenRefusal::InvalidClaim { .. } => "invalid_claim",
    TokenRefusal::MissingClaim { .. } => "missing_claim",
    TokenRefusal::ForbiddenClaim { .. } => "forbidden_claim",
    TokenRefusal::WrongIssuer { .. } => "wrong_issuer",
    TokenRefusal::WrongAudience { .. } => "wrong_audience",
    TokenRefusal::Expired { .. } => "expired",
    TokenRefusal::NotYetValid { .. } => "not_yet_valid",
    TokenRefusal::IssuedInFuture { .. } => "issued_in_future",
    TokenRefusal::WrongAuthorizedParty { .. } => "wrong_authorized_party",
    TokenRefusal::WrongNonce => "wrong_nonce",
    TokenRefusal::WrongHash { .. } => "wrong_hash",
    TokenRefusal::WrongSubject => "wrong_subject",
    TokenRefusal::AuthenticationTooOld { .. } => "authentication_too_old",
    TokenRefusal::Inactive => "inactive",
    TokenRefusal::IntrospectionUnavailable { .. } => "introspection_unavailable",
    TokenRefusal::KeysUnavailable { .. } => "keys_unavailable",
    TokenRefusal::IssuerMisconfigured(_) => "issuer_misconfigured",
}

impl TokenRefusal {
    /// Signed with `algorithm`, which is not among those `allowed`.
    pub(crate) fn not_among(algorithm: Algorithm, allowed: &[Algorithm]) -> Self {
        Self::AlgorithmNotAllowed { alg: algorithm.to_string(), allowed: allowed.to_vec() }
    }

    /// Whether the token could not be checked now, so that it may be valid: answer 503 and not 401.
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::KeysUnavailable { .. }
                | Self::IntrospectionUnavailable { .. }
                | Self::IssuerMisconfigured(_)
        )
    }

    /// The mistake for which it could not be checked. Trying again does not help before it is corrected.
    pub fn mistake(&self) -> Option<&IssuerMisconfigured> {
        match self {
            Self::IssuerMisconfigured(mistake) => Some(mistake),
            _ => None,
        }
    }

    /// Wait before trying again, if the token could not be checked and the wait is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::KeysUnavailable { retry_after, .. }
            | Self::IntrospectionUnavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether a fresh token would pass.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Expired { .. })
    }
}

impl From<InvalidClaims> for TokenRefusal {
    fn from(error: InvalidClaims) -> Self {
        match error {
            InvalidClaims::Malformed { reason } => Self::Malformed { part: "payload", reason },
            InvalidClaims::Claim { claim, reason } => Self::InvalidClaim { claim, reason },
        }
    }
}

fn whole_or(part: &str) -> String {
    if part == "token" { "the token".to_owned() } else { format!("the token's {part}") }
}

fn one_of(algorithms: &[Algorithm]) -> String {
    let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
    match names.split_last() {
        None => "an accepted algorithm".to_owned(),
        Some((only, [])) => (*only).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// EdDSA on Ed25519 has two names (RFC 9864 §2.2), of which one is accepted.
fn name_of_ed25519(alg: &str, allowed: &[Algorithm]) -> &'static str {
    match alg.trim_matches('"') == "Ed25519" && allowed.contains(&Algorithm::EdDSA) {
        true => ", the accepted name of Ed25519 (RFC 8037 §3.1)",
        false => "",
    }
}

fn list(values: &[String]) -> String {
    if values.is_empty() { "no service (no `aud`)".to_owned() } else { values.join(", ") }
}

fn unix(time: &SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::TokenRefusal;
    use crate::foreign_text::quoted;
    use crate::token::Algorithm;

    #[test]
    fn a_refused_algorithm_is_named_beside_those_allowed() {
        let remedy = |allowed: &[Algorithm]| {
            let refusal = TokenRefusal::not_among(Algorithm::ES256, allowed).to_string();
            refusal.split("; ").nth(1).unwrap().to_owned()
        };
        assert_eq!(remedy(&[Algorithm::RS256]), "have the issuer sign with RS256");
        assert_eq!(
            remedy(&[Algorithm::RS256, Algorithm::PS256, Algorithm::EdDSA]),
            "have the issuer sign with RS256, PS256 or EdDSA"
        );
    }

    #[test]
    fn ed25519_is_told_the_name_that_is_accepted() {
        let refusal = |allowed: &[Algorithm]| {
            let (alg, allowed) = (quoted("Ed25519"), allowed.to_vec());
            TokenRefusal::AlgorithmNotAllowed { alg, allowed }.to_string()
        };
        let expected = "the token is signed with \"Ed25519\", which is not accepted here; have the issuer sign with RS256 or EdDSA, the accepted name of Ed25519 (RFC 8037 §3.1)";
        assert_eq!(refusal(&[Algorithm::RS256, Algorithm::EdDSA]), expected);
        assert!(refusal(&[Algorithm::RS256]).ends_with("have the issuer sign with RS256"));
    }

    #[test]
    fn a_refusal_names_the_remedy() {
        let refusal = TokenRefusal::WrongAudience {
            expected: vec!["churn".to_owned()],
            found: vec![quoted("account")],
        };
        assert_eq!(
            refusal.to_string(),
            "the token is for \"account\", expected churn; with Keycloak, add an audience mapper to the client that asks for it"
        );
        assert_eq!(refusal.code(), "wrong_audience");
    }
}
