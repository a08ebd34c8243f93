//! Access tokens: `jsonwebtoken` in its strictest configuration.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use futures_util::FutureExt as _;
use jsonwebtoken::errors::ErrorKind;
use oidc_core::keys::StaticKeys;
use oidc_core::testing::TestKey;
use oidc_core::{Clock as _, SystemClock, TokenRefusal, Validation, Verifier};
use serde_json::Value;

use crate::tokens::{AUDIENCE, ISSUER, access_token};
use crate::{Verdicts, compare, documented, key_set, keys};

/// Refused here, accepted by the peer.
const STRICTER: [&str; 12] = [
    "header-member",
    "header-type",
    "kind",
    "issued-in-future",
    "claim-type",
    "issuer-list",
    "time",
    "twice",
    "depth",
    "size",
    "bound",
    "empty-subject",
];

/// Accepted here, refused by the peer.
const LENIENT: [&str; 1] = ["no-kid"];

/// Verification with jsonwebtoken in a careful setup: the key by `kid`, its own algorithm only, and
/// every check that can be switched on.
struct Peer(HashMap<String, (jsonwebtoken::DecodingKey, jsonwebtoken::Validation)>);

impl Peer {
    fn new(keys: &[TestKey]) -> Self {
        let of = |key: &TestKey| {
            let wire: jsonwebtoken::Algorithm = key.algorithm().as_str().parse().unwrap();
            let jwk = serde_json::from_value(key.jwk()).unwrap();
            let mut rules = jsonwebtoken::Validation::new(wire);
            rules.leeway = 30;
            rules.validate_nbf = true;
            rules.set_issuer(&[ISSUER]);
            rules.set_audience(&[AUDIENCE]);
            rules.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
            (jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap(), rules)
        };
        Self(keys.iter().map(|key| (key.id().to_owned(), of(key))).collect())
    }

    fn judge(&self, token: &str) -> Result<(), Refused> {
        let header = jsonwebtoken::decode_header(token).map_err(Refused::by)?;
        let kid = header.kid.ok_or(Refused::NoKid)?;
        let (key, rules) = self.0.get(&kid).ok_or(Refused::UnknownKey)?;
        jsonwebtoken::decode::<serde_json::Map<String, Value>>(token, key, rules)
            .map(|_| ())
            .map_err(Refused::by)
    }
}

#[derive(Debug)]
enum Refused {
    NoKid,
    UnknownKey,
    By(#[expect(dead_code, reason = "shown when a difference has no name")] ErrorKind),
}

impl Refused {
    #[expect(clippy::needless_pass_by_value, reason = "fits `map_err`")]
    fn by(error: jsonwebtoken::errors::Error) -> Self {
        Self::By(error.kind().clone())
    }
}

/// The name of a token that only the peer accepts.
fn stricter(refusal: &TokenRefusal) -> Option<&'static str> {
    Some(match refusal {
        TokenRefusal::HeaderNotAllowed { .. } => "header-member",
        TokenRefusal::WrongType { .. } => "kind",
        TokenRefusal::IssuedInFuture { .. } => "issued-in-future",
        TokenRefusal::InvalidClaim { claim: "sub", reason: "it is empty" } => "empty-subject",
        TokenRefusal::InvalidClaim { claim: "iss", .. } => "issuer-list",
        TokenRefusal::InvalidClaim { claim: "exp" | "nbf" | "iat", .. } => "time",
        TokenRefusal::InvalidClaim { .. } => "claim-type",
        TokenRefusal::TooLarge { .. } => "size",
        TokenRefusal::SenderConstrained => "bound",
        TokenRefusal::Malformed { part: "header", reason } if reason.contains("not a string") => {
            "header-type"
        }
        TokenRefusal::Malformed { reason, .. } if reason.contains("repeated") => "twice",
        TokenRefusal::Malformed { reason, .. } if reason.contains("nested too deeply") => "depth",
        _ => return None,
    })
}

/// The name of a token that only we accept.
fn lenient(refused: &Refused) -> Option<&'static str> {
    match refused {
        Refused::NoKid => Some("no-kid"),
        Refused::UnknownKey | Refused::By(_) => None,
    }
}

#[test]
fn access_tokens_get_the_verdict_of_jsonwebtoken_or_a_reason() {
    let keys = keys();
    let validation = Validation::new(ISSUER.parse().unwrap(), AUDIENCE);
    // No token repeats, so the memory is off.
    let ours = Verifier::new(validation, Arc::new(StaticKeys::new(key_set(&keys)))).with_cache(0);
    let peer = Peer::new(&keys);
    compare(&STRICTER, &LENIENT, |dice| {
        let now = SystemClock.now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let token = access_token(dice, &keys, now);
        // The keys are static, so nothing waits.
        let ours = ours.access_token(&token).now_or_never().unwrap().map(|_| ());
        let theirs = peer.judge(&token);
        let reason = match (&ours, &theirs) {
            (Err(refusal), Ok(())) => stricter(refusal),
            (Ok(()), Err(refused)) => lenient(refused),
            _ => None,
        };
        Verdicts::new(token, &ours, &theirs, reason)
    });
}

#[test]
fn each_difference_of_access_tokens_is_documented() {
    documented("Access tokens", &[&STRICTER[..], &LENIENT].concat());
}
