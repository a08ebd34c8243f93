//! Signed tokens and key sets: what is accepted, a second library accepts too, and reads alike.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt as _;
use jsonwebtoken::{DecodingKey, jwk::Jwk};
use oidc_core::keys::{JwkSet, StaticKeys};
use oidc_core::testing::TestClock;
use oidc_core::verify::{IdTokenExpectations, Profile, unverified_issuer};
use oidc_core::{Claims, TokenRefusal, Validation, Verifier};
use serde_json::{Map, Value};

use crate::input::{Dice, first_line, seed};

pub(crate) const ISSUER: &str = "https://issuer.test/realms/lab";
pub(crate) const AUDIENCE: &str = "hub";

/// The time of the test clock, in seconds since 1970.
const NOW: u64 = 1_800_000_000;
const LEEWAY: u64 = 30;

/// The key of RFC 8037 Appendix A.1, so that a corpus can hold tokens that verify.
const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"rfc8037","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
/// The public keys of RFC 7515 Appendices A.2 and A.3.
const OTHERS: [&str; 2] = [
    r#"{"kty":"RSA","kid":"rsa","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
    r#"{"kty":"EC","kid":"ec","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
];

const HEADER: &[u8] = br#"{"alg":"EdDSA","typ":"JWT","kid":"rfc8037"}"#;

static SIGNING: LazyLock<Ed25519KeyPair> = LazyLock::new(|| {
    let seed = URL_SAFE_NO_PAD.decode(SEED).unwrap();
    Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()
});

/// Verifiers of each profile, without memory.
static VERIFIERS: LazyLock<[Verifier; 2]> = LazyLock::new(|| {
    [Profile::Keycloak, Profile::Rfc9068].map(|profile| {
        let set = format!(r#"{{"keys":[{KEY},{},{}]}}"#, OTHERS[0], OTHERS[1]);
        let keys = Arc::new(StaticKeys::new(JwkSet::parse(set.as_bytes()).unwrap()));
        let validation = Validation::new(ISSUER.parse().unwrap(), AUDIENCE).with_profile(profile);
        Verifier::new(validation, keys).with_clock(Arc::new(TestClock::default())).with_cache(0)
    })
});

/// A token in compact form.
pub fn jws(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    if let Some(issuer) = unverified_issuer(token) {
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        assert_eq!(lenient(&payload).get("iss").and_then(Value::as_str), Some(issuer.as_str()));
    }
    for verdict in verdicts(token) {
        match verdict {
            Ok(_) => agreed(token),
            Err(refusal) => assert!(!refusal.to_string().is_empty() && !refusal.is_unavailable()),
        }
    }
}

/// Claims, or a header in the first line and claims after it, under a valid signature.
pub fn claims(data: &[u8]) {
    let (header, payload) = match first_line(data) {
        (payload, []) => (HEADER, payload),
        parts => parts,
    };
    let token = signed(header, payload);
    let [access, other_access, id, logout] = verdicts(&token);
    let kinds = [access.is_ok() || other_access.is_ok(), id.is_ok(), logout.is_ok()];
    assert!(kinds.iter().filter(|kind| **kind).count() <= 1, "a token of two kinds: {kinds:?}");
    let by_kind = [(access, true), (other_access, true), (id, true), (logout, false)];
    for (verdict, must_expire) in by_kind {
        match verdict {
            Ok(members) => {
                agreed(&token);
                held(&members);
                assert!(members.contains_key("exp") || !must_expire, "a token without an end");
            }
            Err(refusal) => assert!(!refusal.to_string().is_empty() && !refusal.is_unavailable()),
        }
    }
    if let Ok(claims) = Claims::parse(payload) {
        assert_eq!(*claims.members(), lenient(payload));
        read(&claims);
        let text = serde_json::to_vec(claims.members()).unwrap();
        let again = Claims::parse(&text).unwrap();
        assert_eq!(again.members(), claims.members(), "written and read again");
    }
}

/// A JWK Set document.
pub fn jwk_set(data: &[u8]) {
    let Ok(set) = JwkSet::parse(data) else { return };
    let document = lenient(data);
    let keys = document["keys"].as_array().unwrap();
    assert!(set.len() + set.skipped().len() <= keys.len());
    for key in keys {
        let alone = serde_json::json!({ "keys": [key, key] });
        let alone = JwkSet::parse(alone.to_string().as_bytes()).unwrap();
        assert!(alone.len() <= 1, "one key counts twice");
        if alone.len() == 1 {
            assert_ne!(key["kty"], "oct");
            assert_ne!(key["use"], "enc");
            let jwk = serde_json::from_value::<Jwk>(key.clone());
            let peer = jwk.ok().and_then(|jwk| DecodingKey::from_jwk(&jwk).ok());
            // The second library refuses members of the wrong type that are not used here, and knows no P-521.
            let comparable = key["crv"] != "P-521" && key.as_object().unwrap().len() <= 5;
            assert!(peer.is_some() || !comparable, "a second library refuses {key}");
        }
    }
    let mut reversed = document.clone();
    reversed["keys"].as_array_mut().unwrap().reverse();
    let reversed = JwkSet::parse(&serde_json::to_vec(&reversed).unwrap()).unwrap();
    assert_eq!((reversed.len(), reversed.skipped().len()), (set.len(), set.skipped().len()));
    for kid in set.kids() {
        assert!(set.contains(kid) && reversed.contains(kid));
    }
}

/// Results as access token of each profile, as ID token and as logout token.
fn verdicts(token: &str) -> [Result<Map<String, Value>, TokenRefusal>; 4] {
    let [keycloak, rfc9068] = &*VERIFIERS;
    let access = |verifier: &Verifier| {
        let verdict = verifier.access_token(token).now_or_never().unwrap();
        verdict.map(|token| {
            read(&token);
            token.members().clone()
        })
    };
    let id = keycloak.id_token(token, &IdTokenExpectations::default()).now_or_never().unwrap();
    let logout = keycloak.logout_token(token).now_or_never().unwrap();
    [
        access(keycloak),
        access(rfc9068),
        id.map(|token| token.members().clone()),
        logout.map(|token| {
            assert!(token.session_id().is_some() || token.subject().is_some());
            assert!(!token.jwt_id().is_empty());
            token.members().clone()
        }),
    ]
}

/// Calls each reader of claims.
fn read(claims: &Claims) {
    let _ = (claims.client(), claims.name(), claims.preferred_username(), claims.email_verified());
    let _ = (claims.realm_roles().is_empty(), claims.client_roles("hub").is_empty());
    let _ = (claims.groups().is_empty(), claims.actors().count(), claims.confirmation().is_ok());
    assert!(claims.verified_email().is_none() || claims.verified_email() == claims.email());
    // A name that begins with a slash is a JSON pointer.
    for name in claims.members().keys().filter(|name| !name.starts_with('/')) {
        assert!(claims.get(name).is_some());
    }
}

/// The rules that hold for each kind of token, on the members of an accepted one.
fn held(members: &Map<String, Value>) {
    assert_eq!(members["iss"], ISSUER);
    let audience = &members["aud"];
    let listed = audience.as_array().is_some_and(|all| all.iter().any(|one| one == AUDIENCE));
    assert!(audience == AUDIENCE || listed);
    let at = |name: &str| members.get(name).map(|time| time.as_f64().unwrap());
    let (now, leeway) = (number(NOW), number(LEEWAY));
    assert!(at("exp").is_none_or(|time| time > now - leeway - 1.0), "expired");
    assert!(at("nbf").is_none_or(|time| time <= now + leeway), "not yet valid");
    assert!(at("iat").is_none_or(|time| time <= now + leeway), "issued in the future");
}

fn number(seconds: u64) -> f64 {
    Duration::from_secs(seconds).as_secs_f64()
}

/// A second library accepts the signature, and no neighbour of the token is accepted.
fn agreed(token: &str) {
    let header = jsonwebtoken::decode_header(token).unwrap();
    let all = [KEY, OTHERS[0], OTHERS[1]];
    let key = all.into_iter().find(|key| match &header.kid {
        Some(kid) => key.contains(&format!(r#""kid":"{kid}""#)),
        None => true,
    });
    let jwk: Jwk = serde_json::from_str(key.unwrap()).unwrap();
    let mut rules = jsonwebtoken::Validation::new(header.alg);
    // Its clock cannot be set.
    (rules.validate_exp, rules.validate_aud) = (false, true);
    rules.set_issuer(&[ISSUER]);
    rules.set_audience(&[AUDIENCE]);
    rules.set_required_spec_claims(&["iss", "aud"]);
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    if let Err(error) = jsonwebtoken::decode::<Value>(token, &key, &rules) {
        panic!("a second library refuses {token}: {error}");
    }
    let mut dice = Dice(seed(token.as_bytes()));
    for _ in 0..4 {
        let mut neighbour = token.as_bytes().to_vec();
        let at = dice.below(neighbour.len());
        neighbour[at] = if neighbour[at] == b'A' { b'B' } else { b'A' };
        let neighbour = String::from_utf8(neighbour).unwrap();
        assert!(verdicts(&neighbour).iter().all(Result::is_err), "{neighbour} is accepted too");
    }
}

/// A token with these parts and a valid signature.
pub(crate) fn signed(header: &[u8], payload: &[u8]) -> String {
    let [header, payload] = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = format!("{header}.{payload}");
    let signature = URL_SAFE_NO_PAD.encode(SIGNING.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// JSON as an ordinary parser reads it.
pub(crate) fn lenient(json: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(json).unwrap_or_else(|error| panic!("no JSON object: {error}"))
}

/// The clock's time, for what needs one.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}
