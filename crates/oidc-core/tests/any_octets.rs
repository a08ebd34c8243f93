//! Any bytes as a token or as headers get an answer and cause no panic: random bytes, random bytes
//! in the form of a token, and random claims under a valid signature.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use oidc_core::dpop::DpopPolicy;
use oidc_core::keys::{JwkSet, StaticKeys};
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use oidc_core::verify::Presented;
use oidc_core::{AccessToken, TokenRefusal, Validation, Verified, Verifier};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof};
use serde_json::{Map, Value, json};
use url::Url;

struct World {
    issuer: TestIssuer,
    verifier: Verifier,
    uri: Url,
}

/// The keys are static, so nothing waits.
static WORLD: LazyLock<World> = LazyLock::new(|| {
    let issuer = TestIssuer::with_algorithm(Algorithm::EdDSA);
    let keys = Arc::new(StaticKeys::new(JwkSet::parse(issuer.jwks().as_bytes()).unwrap()));
    let verifier = Verifier::new(Validation::new(issuer.issuer(), "hub"), keys)
        .with_clock(issuer.clock())
        .with_dpop(DpopPolicy::default());
    World { issuer, verifier, uri: "https://api.test/here".parse().unwrap() }
});

fn verdict(token: &str) -> Result<Arc<Verified<AccessToken>>, TokenRefusal> {
    WORLD.verifier.access_token(token).now_or_never().unwrap()
}

/// The refusal's texts are built too, because they quote the token.
fn refused(token: &str) -> bool {
    verdict(token).is_err_and(|refusal| !refusal.to_string().is_empty())
}

/// Calls each accessor of a token that was accepted.
fn read(token: &AccessToken) {
    let _ = (token.client(), token.verified_email(), token.name(), token.preferred_username());
    let _ = (token.realm_roles().is_empty(), token.client_roles("hub").is_empty());
    let _ = (token.groups().is_empty(), token.actors().count(), token.confirmation().is_ok());
    for name in token.members().keys() {
        let _ = (token.get(name), token.get(&format!("/{name}/0")), token.get("a.b.c"));
    }
}

/// Any JSON value, with more values near the limits of a time.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (253_402_300_000_u64..253_402_301_000).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Names with a meaning in a header or among the claims, and any other.
fn name() -> impl Strategy<Value = String> {
    let known = "(alg|kid|typ|cty|crit|jwk|iss|sub|aud|exp|nbf|iat|auth_time|jti|azp|client_id|sid|nonce|acr|scope|cnf|act|may_act|realm_access|resource_access|groups|email|email_verified)";
    prop_oneof![4 => known, 1 => ".{0,12}"]
}

fn changes() -> impl Strategy<Value = Map<String, Value>> {
    btree_map(name(), value(), 1..4).prop_map(|members| members.into_iter().collect())
}

fn changed(mut good: Value, changes: Map<String, Value>) -> Vec<u8> {
    good.as_object_mut().unwrap().extend(changes);
    good.to_string().into_bytes()
}

/// A header value: any bytes that a header may have, with or without a scheme.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let octets = || vec(prop_oneof![Just(b'\t'), 0x20_u8..0x7f, 0x80_u8..=0xff], 0..60);
    let scheme = "(Bearer|bEARER|DPoP|dpop|Basic) {0,3}";
    prop_oneof![
        octets(),
        (scheme, octets()).prop_map(|(scheme, rest)| [scheme.into_bytes(), rest].concat()),
        "(Bearer|DPoP) [A-Za-z0-9._~+/-]{1,60}={0,2}".prop_map(String::into_bytes),
        Just(format!("DPoP {}", bound_token()).into_bytes()),
    ]
}

/// A valid token whose sender must prove that it holds a key.
fn bound_token() -> String {
    let binding = [("cnf".to_owned(), json!({"jkt": B64.encode([7; 32])}))];
    let header = changed(WORLD.issuer.header(), Map::new());
    WORLD
        .issuer
        .sign_raw(&header, &changed(WORLD.issuer.claims("hub"), binding.into_iter().collect()))
}

#[test]
fn the_neighbours_of_the_noise_are_accepted() {
    let claims = changed(WORLD.issuer.claims("hub"), Map::new());
    let header = changed(WORLD.issuer.header(), Map::new());
    read(&verdict(&WORLD.issuer.sign_raw(&header, &claims)).unwrap());
    assert_eq!(verdict(&bound_token()).unwrap_err().code(), "sender_constrained");
}

proptest::proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_octets_are_a_token(octets in vec(any::<u8>(), 0..400)) {
        proptest::prop_assert!(refused(&String::from_utf8_lossy(&octets)));
    }

    #[test]
    fn no_octets_in_the_form_of_a_token_are_one(
        header in vec(any::<u8>(), 0..80),
        payload in vec(any::<u8>(), 0..80),
        signature in vec(any::<u8>(), 0..80),
    ) {
        let encoded = [header, payload, signature].map(|part| B64.encode(part));
        proptest::prop_assert!(refused(&encoded.join(".")));
    }

    #[test]
    fn any_octets_may_be_signed(header in vec(any::<u8>(), 0..80), payload in vec(any::<u8>(), 0..200)) {
        let good = changed(WORLD.issuer.header(), Map::new());
        proptest::prop_assert!(refused(&WORLD.issuer.sign_raw(&good, &payload)));
        proptest::prop_assert!(refused(&WORLD.issuer.sign_raw(&header, &payload)));
    }

    #[test]
    fn any_json_may_be_signed(header in changes(), claims in changes()) {
        let good = changed(WORLD.issuer.header(), Map::new());
        let claims = changed(WORLD.issuer.claims("hub"), claims);
        for header in [good, changed(WORLD.issuer.header(), header)] {
            match verdict(&WORLD.issuer.sign_raw(&header, &claims)) {
                Ok(token) => read(&token),
                Err(refusal) => drop(refusal.to_string()),
            }
        }
    }

    #[test]
    fn any_headers_may_be_presented(
        authorizations in vec(line(), 0..3),
        proofs in vec(line(), 0..3),
        proof in (changes(), changes()),
        dpop in any::<bool>(),
    ) {
        let signed = WORLD.issuer.sign_raw(
            &changed(json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": {}}), proof.0),
            &changed(json!({"htm": "GET", "htu": "https://api.test/here"}), proof.1),
        );
        let proofs = proofs.into_iter().chain([signed.into_bytes()]).take(if dpop { 1 } else { 3 });
        let mut headers = HeaderMap::new();
        for (name, lines) in [("authorization", authorizations), ("dpop", proofs.collect())] {
            for line in lines {
                let line = HeaderValue::from_bytes(&line).unwrap();
                headers.append(HeaderName::from_static(name), line);
            }
        }
        let uri = dpop.then_some(&WORLD.uri);
        match Presented::from_headers(&headers, &Method::GET, uri) {
            Ok(Some(presented)) => {
                let verdict = WORLD.verifier.presented(&presented).now_or_never().unwrap();
                proptest::prop_assert!(verdict.is_err_and(|refusal| !refusal.to_string().is_empty()));
            }
            Ok(None) => {}
            Err(refusal) => drop(refusal.to_string()),
        }
    }
}
