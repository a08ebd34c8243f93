//! ID tokens: `openidconnect` in its strictest configuration.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt as _;
use oidc_core::keys::StaticKeys;
use oidc_core::testing::{TestClock, TestKey};
use oidc_core::verify::IdTokenExpectations;
use oidc_core::{IdToken, Secret, TokenRefusal, Validation, Verified, Verifier};
use openidconnect::core::{CoreIdToken, CoreIdTokenClaims, CoreIdTokenVerifier, CoreJsonWebKeySet};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthorizationCode, AuthorizationCodeHash,
    ClaimsVerificationError, ClientId, IssuerUrl, Nonce,
};

use crate::tokens::{ACCESS_TOKEN, AUDIENCE, CODE, ISSUER, MAX_AGE, NONCE, id_token};
use crate::{Verdicts, compare, documented, key_set, keys};

/// The time of both verifiers, in seconds.
const NOW: u64 = 1_800_000_000;

/// Allowed clock difference of both.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);

/// Refused here, accepted by the peer.
const STRICTER: [&str; 12] = [
    "header-member",
    "header-type",
    "kind",
    "authorized-party",
    "not-before",
    "claim-type",
    "time",
    "twice",
    "depth",
    "size",
    "empty-subject",
    "hash",
];

/// Accepted here, refused by the peer.
const LENIENT: [&str; 2] = ["other-audience", "person-claim"];

/// Claims that OpenID Connect Core 1.0 §5.1 gives a type, `acr` and `amr`, among those that a token has.
const ABOUT_THE_PERSON: [&str; 8] =
    ["name", "email", "email_verified", "address", "updated_at", "locale", "acr", "amr"];

/// Verification with openidconnect in a careful setup: every check that can be switched on, with the
/// clock difference that this crate allows.
struct Peer(CoreIdTokenVerifier<'static>);

impl Peer {
    fn new(keys: &[TestKey]) -> Self {
        let jwk = |key: &TestKey| serde_json::from_value(key.jwk()).unwrap();
        let algorithm =
            |key: &TestKey| serde_json::from_value(key.algorithm().as_str().into()).unwrap();
        let now = DateTime::from_timestamp(NOW.cast_signed(), 0).unwrap();
        let oldest = now - TimeDelta::seconds(MAX_AGE.cast_signed()) - LEEWAY;
        let rules = CoreIdTokenVerifier::new_public_client(
            ClientId::new(AUDIENCE.to_owned()),
            IssuerUrl::new(ISSUER.to_owned()).unwrap(),
            CoreJsonWebKeySet::new(keys.iter().map(jwk).collect()),
        )
        .set_allowed_algs(keys.iter().map(algorithm))
        .set_time_fn(move || now - LEEWAY)
        .set_issue_time_verifier_fn(move |issued| at_most(issued, now + LEEWAY))
        .set_auth_time_verifier_fn(move |at| {
            at_most(oldest, at.ok_or_else(|| "no auth_time".to_owned())?)
        });
        Self(rules)
    }

    fn judge(&self, text: &str) -> Result<(), Refused> {
        let token: CoreIdToken =
            text.parse().map_err(|error| Refused::Unreadable(format!("{error}")))?;
        let nonce = Nonce::new(NONCE.to_owned());
        let claims = token.claims(&self.0, &nonce).map_err(Refused::By)?;
        let algorithm = token.signing_alg().unwrap();
        let key = token.signing_key(&self.0).unwrap();
        let (access_token, code) =
            (AccessToken::new(ACCESS_TOKEN.to_owned()), AuthorizationCode::new(CODE.to_owned()));
        let at_hash = AccessTokenHash::from_token(&access_token, algorithm, key).unwrap();
        let c_hash = AuthorizationCodeHash::from_code(&code, algorithm, key).unwrap();
        let at_hash_matches = claims.access_token_hash().is_none_or(|found| *found == at_hash);
        let c_hash_matches = claims.code_hash().is_none_or(|found| *found == c_hash);
        if at_hash_matches && c_hash_matches { Ok(()) } else { Err(Refused::Hash) }
    }
}

fn at_most(time: DateTime<Utc>, limit: DateTime<Utc>) -> Result<(), String> {
    if time <= limit { Ok(()) } else { Err(format!("{time} is after {limit}")) }
}

#[derive(Debug)]
enum Refused {
    Unreadable(#[expect(dead_code, reason = "shown when a difference has no name")] String),
    By(ClaimsVerificationError),
    Hash,
}

/// The name of a token that only the peer accepts.
fn stricter(refusal: &TokenRefusal) -> Option<&'static str> {
    Some(match refusal {
        TokenRefusal::HeaderNotAllowed { .. } => "header-member",
        TokenRefusal::WrongType { .. } | TokenRefusal::ForbiddenClaim { claim: "events" } => "kind",
        TokenRefusal::WrongAuthorizedParty { .. } | TokenRefusal::MissingClaim { claim: "azp" } => {
            "authorized-party"
        }
        TokenRefusal::NotYetValid { .. } => "not-before",
        TokenRefusal::InvalidClaim { claim: "sub", reason: "it is empty" } => "empty-subject",
        TokenRefusal::InvalidClaim { claim: "exp" | "nbf" | "iat", .. }
        | TokenRefusal::MissingClaim { claim: "auth_time" } => "time",
        TokenRefusal::InvalidClaim { .. } => "claim-type",
        TokenRefusal::WrongHash { .. } => "hash",
        TokenRefusal::TooLarge { .. } => "size",
        TokenRefusal::Malformed { part: "header", reason } if reason.contains("not a string") => {
            "header-type"
        }
        TokenRefusal::Malformed { reason, .. } if reason.contains("repeated") => "twice",
        TokenRefusal::Malformed { reason, .. } if reason.contains("nested too deeply") => "depth",
        _ => return None,
    })
}

/// The name of a token that only we accept.
fn lenient(claims: &Verified<IdToken>, refused: &Refused) -> Option<&'static str> {
    match refused {
        Refused::By(ClaimsVerificationError::InvalidAudience(reason))
            if claims.audience.contains(AUDIENCE)
                && claims.authorized_party.as_deref() == Some(AUDIENCE)
                && reason.contains("not a trusted audience") =>
        {
            Some("other-audience")
        }
        Refused::Unreadable(_) => {
            let mut others = claims.members().clone();
            others.retain(|name, _| !ABOUT_THE_PERSON.contains(&name.as_str()));
            serde_json::from_value::<CoreIdTokenClaims>(others.into()).ok().map(|_| "person-claim")
        }
        Refused::By(_) | Refused::Hash => None,
    }
}

#[test]
fn id_tokens_get_the_verdict_of_openidconnect_or_a_reason() {
    let keys = keys();
    let clock = TestClock::default();
    clock.set(UNIX_EPOCH + Duration::from_secs(NOW));
    let validation = Validation::new(ISSUER.parse().unwrap(), AUDIENCE);
    let ours = Verifier::new(validation, Arc::new(StaticKeys::new(key_set(&keys))))
        .with_clock(Arc::new(clock));
    let expected = IdTokenExpectations::default()
        .with_nonce(Secret::from(NONCE))
        .with_access_token(Secret::from(ACCESS_TOKEN))
        .with_code(Secret::from(CODE))
        .with_max_age(Duration::from_secs(MAX_AGE));
    let peer = Peer::new(&keys);
    compare(&STRICTER, &LENIENT, |dice| {
        let token = id_token(dice, &keys, NOW);
        // The keys are static, so nothing waits.
        let ours = ours.id_token(&token, &expected).now_or_never().unwrap();
        let theirs = peer.judge(&token);
        let reason = match (&ours, &theirs) {
            (Err(refusal), Ok(())) => stricter(refusal),
            (Ok(claims), Err(refused)) => lenient(claims, refused),
            _ => None,
        };
        Verdicts::new(token, &ours.map(|_| ()), &theirs, reason)
    });
}

#[test]
fn each_difference_of_id_tokens_is_documented() {
    documented("ID tokens", &[&STRICTER[..], &LENIENT].concat());
}
