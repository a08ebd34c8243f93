//! Every way a token can be wrong, each beside a neighbour that is right.
//!
//! The tokens carry good signatures wherever the flaw is not in the signature, so that a verifier
//! which skips one check fails here.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use oidc_core::testing::TestIssuer;
use oidc_core::{
    Algorithm, IdTokenExpectations, JwkSet, Profile, Secret, StaticKeys, TokenRefusal, Validation,
    Verifier,
};
use serde_json::{Value, json};

const AUDIENCE: &str = "hub";

struct World {
    issuer: TestIssuer,
    verifier: Verifier,
}

impl World {
    fn new() -> Self {
        Self::with(TestIssuer::new(), |validation| validation)
    }

    fn with(issuer: TestIssuer, rules: impl FnOnce(Validation) -> Validation) -> Self {
        let validation = rules(Validation::new(issuer.issuer(), AUDIENCE));
        let verifier = Verifier::new(validation, issuer.keys()).with_clock(issuer.clock());
        Self { issuer, verifier }
    }

    async fn check(&self, token: &str) -> Result<(), TokenRefusal> {
        self.verifier.access_token(token).await.map(|_| ())
    }

    async fn code(&self, token: &str) -> &'static str {
        self.check(token).await.err().map_or("accepted", |refusal| refusal.code())
    }

    /// A good access token with members changed; `null` removes one.
    fn claims(&self, changes: Value) -> String {
        self.issuer.sign(&changed(self.issuer.claims(AUDIENCE), changes))
    }

    /// A good access token under a header with members changed.
    fn header(&self, changes: Value) -> String {
        self.issuer
            .sign_with(&changed(self.issuer.header(), changes), &self.issuer.claims(AUDIENCE))
    }

    fn payload(&self) -> String {
        self.issuer.claims(AUDIENCE).to_string()
    }
}

fn changed(mut members: Value, changes: Value) -> Value {
    let object = members.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => object.remove(name),
            value => object.insert(name.clone(), value.clone()),
        };
    }
    members
}

/// `header.payload.` with a signature of one's own.
fn forged(header: &Value, payload: &str, signature: &[u8]) -> String {
    let (header, payload) = (B64.encode(header.to_string()), B64.encode(payload));
    format!("{header}.{payload}.{}", B64.encode(signature))
}

fn hmac(header: &Value, payload: &str, key: &[u8]) -> String {
    let message = format!("{}.{}", B64.encode(header.to_string()), B64.encode(payload));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", B64.encode(tag.as_ref()))
}

#[tokio::test]
async fn a_good_token_of_every_algorithm_passes() {
    for algorithm in Algorithm::ALL {
        let world = World::with(TestIssuer::with_algorithm(algorithm), |v| v);
        let token = world.issuer.access_token(AUDIENCE);
        let verified = world.verifier.access_token(&token).await.unwrap();
        assert_eq!(verified.algorithm(), algorithm);
        assert_eq!(verified.subject(), oidc_core::testing::SUBJECT);
        assert_eq!(verified.key_id(), Some(world.issuer.signing_key().id()));
    }
}

// D1, D17
#[tokio::test]
async fn unsigned_tokens_are_refused() {
    let world = World::new();
    let good = world.issuer.access_token(AUDIENCE);
    assert_eq!(world.code(&good).await, "accepted");
    for alg in ["none", "None", "NONE", "nOnE", "", "null"] {
        for signature in [&b""[..], b"x"] {
            let token = forged(&json!({"alg": alg, "typ": "JWT"}), &world.payload(), signature);
            assert!(world.check(&token).await.is_err(), "{alg}");
        }
        let token = forged(&json!({"alg": alg, "typ": "JWT"}), &world.payload(), b"x");
        assert_eq!(world.code(&token).await, "algorithm_not_allowed", "{alg}");
    }
    let (message, _) = good.rsplit_once('.').unwrap();
    assert_eq!(world.code(&format!("{message}.")).await, "malformed");
    assert_eq!(world.code(message).await, "malformed");
}

// D1, D17
#[tokio::test]
async fn an_altered_token_is_refused() {
    for algorithm in [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA] {
        let world = World::with(TestIssuer::with_algorithm(algorithm), |v| v);
        let good = world.issuer.access_token(AUDIENCE);
        let parts: Vec<&str> = good.split('.').collect();
        let mut signature = B64.decode(parts[2]).unwrap();
        for at in [0, signature.len() / 2, signature.len() - 1] {
            signature[at] ^= 1;
            let token = format!("{}.{}.{}", parts[0], parts[1], B64.encode(&signature));
            assert_eq!(world.code(&token).await, "bad_signature");
            signature[at] ^= 1;
        }
        let payload = world.payload().replace("alice", "admin");
        let token = format!("{}.{}.{}", parts[0], B64.encode(payload), parts[2]);
        assert_eq!(world.code(&token).await, "bad_signature");
        for cut in [
            vec![],
            signature[1..].to_vec(),
            [&signature[..], &[0]].concat(),
            vec![0; signature.len()],
        ] {
            let token = format!("{}.{}.{}", parts[0], parts[1], B64.encode(&cut));
            assert!(world.check(&token).await.is_err());
        }
        assert_eq!(world.code(&good).await, "accepted");
    }
}

// D2
#[tokio::test]
async fn a_public_key_is_never_a_password() {
    let world = World::new();
    let key = world.issuer.signing_key();
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": key.id()});
    let modulus = key.modulus().unwrap();
    let jwk = key.jwk().to_string();
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", B64.encode(&modulus));
    for password in
        [&modulus[..], jwk.as_bytes(), pem.as_bytes(), pem.trim_start().as_bytes(), b"", b"secret"]
    {
        let token = hmac(&header, &world.payload(), password);
        assert_eq!(world.code(&token).await, "algorithm_not_allowed");
        let token =
            hmac(&changed(header.clone(), json!({"alg": "RS256"})), &world.payload(), password);
        assert_eq!(world.code(&token).await, "bad_signature");
    }
}

// D3
#[tokio::test]
async fn an_algorithm_is_bound_to_its_key() {
    let world = World::new();
    let key = world.issuer.signing_key();
    let message = |alg: &str| {
        let header = changed(world.issuer.header(), json!({"alg": alg}));
        format!("{}.{}", B64.encode(header.to_string()), B64.encode(world.payload()))
    };
    // The signature is right for the algorithm that the header names; the key is for RS256.
    for algorithm in [Algorithm::PS256, Algorithm::RS384, Algorithm::RS512] {
        let message = message(algorithm.as_str());
        let token = format!("{message}.{}", B64.encode(key.sign(algorithm, message.as_bytes())));
        assert_eq!(world.code(&token).await, "unknown_key", "{algorithm}");
    }
    for alg in ["ES256", "EdDSA", "ES512"] {
        let token = format!("{}.{}", message(alg), B64.encode([1; 64]));
        assert_eq!(world.code(&token).await, "unknown_key", "{alg}");
    }
    let message = message("RS256");
    let token = format!("{message}.{}", B64.encode(key.sign(Algorithm::RS256, message.as_bytes())));
    assert_eq!(world.code(&token).await, "accepted");
}

#[tokio::test]
async fn an_algorithm_outside_the_allow_list_is_refused() {
    let es = TestIssuer::with_algorithm(Algorithm::ES256);
    let world = World::with(es, |v| v.with_algorithms([Algorithm::RS256, Algorithm::EdDSA]));
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "algorithm_not_allowed");
    let world = World::with(TestIssuer::new(), |v| v.with_algorithms([Algorithm::RS256]));
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
}

// D4
#[tokio::test]
async fn a_kid_is_only_ever_a_name() {
    let world = World::new();
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    for kid in [
        "../../../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "|sleep 10",
        "$(id)",
        "http://127.0.0.1:18999/k",
        "a\r\nSET x 1\r\n",
        "\u{1b}[31m",
        "",
    ] {
        let refusal = world.check(&world.header(json!({"kid": kid}))).await.unwrap_err();
        assert_eq!(refusal.code(), "unknown_key", "{kid}");
        let said = refusal.to_string();
        assert!(!said.chars().any(char::is_control), "{said}");
    }
    let long = world.check(&world.header(json!({"kid": "x".repeat(5000)}))).await.unwrap_err();
    assert!(long.to_string().len() < 400);
    for kid in [json!(1), json!(["a"]), json!({}), json!(true)] {
        assert_eq!(world.code(&world.header(json!({"kid": kid}))).await, "malformed");
    }
    // Whatever was asked of the provider was its discovery document and its keys.
    assert_eq!(
        world.issuer.requests(""),
        world.issuer.requests("configuration") + world.issuer.requests("jwks")
    );
}

// D4
#[tokio::test]
async fn without_a_kid_the_only_fitting_key_is_used_and_none_of_several() {
    let world = World::new();
    let token = world.header(json!({"kid": null}));
    assert_eq!(world.code(&token).await, "accepted");

    let issuer = TestIssuer::new();
    issuer.rotate();
    let world = World::with(issuer, |v| v);
    assert_eq!(world.code(&world.header(json!({"kid": null}))).await, "unknown_key");
    assert_eq!(world.code(&world.header(json!({}))).await, "accepted");
}

// D5
#[tokio::test]
async fn no_header_names_a_key_to_trust_and_nothing_is_fetched_for_it() {
    let world = World::new();
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    let before = world.issuer.requests("");
    let attacker = TestIssuer::named("https://evil.test", Algorithm::RS512);
    for changes in [
        json!({"jku": "http://127.0.0.1:18999/jwks"}),
        json!({"x5u": "http://127.0.0.1:18999/x"}),
        json!({"jwk": attacker.signing_key().jwk()}),
        json!({"jwk": {}}),
        json!({"x5c": ["MIIB"]}),
        json!({"jku": "https://issuer.test/realms/lab/jwks"}),
    ] {
        assert_eq!(world.code(&world.header(changes)).await, "header_not_allowed");
    }
    let ssrf = world.claims(json!({"iss": "http://127.0.0.1:18999/"}));
    assert_eq!(world.code(&ssrf).await, "wrong_issuer");
    assert_eq!(world.issuer.requests(""), before);
    // A thumbprint says nothing about trust and is common.
    assert_eq!(
        world.code(&world.header(json!({"x5t": "abc", "x5t#S256": "abc"}))).await,
        "accepted"
    );
}

// D5: two issuers may use the same kid.
#[tokio::test]
async fn a_key_of_another_issuer_with_the_same_kid_does_not_verify() {
    let ours = World::with(TestIssuer::with_algorithm(Algorithm::ES256), |v| v);
    let other = TestIssuer::with_algorithm(Algorithm::ES256);
    assert_eq!(ours.issuer.signing_key().id(), other.signing_key().id());
    assert_eq!(ours.code(&other.access_token(AUDIENCE)).await, "bad_signature");
    assert_eq!(ours.code(&ours.issuer.access_token(AUDIENCE)).await, "accepted");
}

// D6
#[tokio::test]
async fn critical_extensions_and_other_encodings_are_refused() {
    let world = World::new();
    for changes in [
        json!({"crit": ["exp"], "exp": 1}),
        json!({"crit": []}),
        json!({"crit": ["b64"], "b64": true}),
        json!({"crit": "b64"}),
        json!({"crit": ["x"], "x": 1}),
        json!({"b64": false}),
        json!({"b64": true}),
        json!({"zip": "DEF"}),
        json!({"enc": "A256GCM"}),
    ] {
        assert_eq!(
            world.code(&world.header(changes.clone())).await,
            "header_not_allowed",
            "{changes}"
        );
    }
    // Private members, numeric ones too, are legal.
    let private = json!({"acme": 1, "nested": {"a": [1, 2.5]}, "flag": true});
    assert_eq!(world.code(&world.header(private)).await, "accepted");
}

// D7
#[tokio::test]
async fn a_registered_claim_of_the_wrong_type_is_refused_never_skipped() {
    let world = World::new();
    let later = world.issuer.now() + 300;
    for (claim, value) in [
        ("exp", json!(later.to_string())),
        ("exp", json!([later])),
        ("exp", json!(true)),
        ("exp", json!({})),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("nbf", json!("soon")),
        ("nbf", json!({})),
        ("iat", json!("now")),
        ("iat", json!(false)),
        ("auth_time", json!("x")),
        ("sub", json!(1)),
        ("sub", json!(["a"])),
        ("azp", json!(["gateway"])),
        ("jti", json!(1)),
        ("scope", json!(["openid"])),
        ("typ", json!(["Bearer"])),
        ("sid", json!(1)),
        ("client_id", json!(1)),
    ] {
        assert_eq!(
            world.code(&world.claims(json!({claim: value}))).await,
            "invalid_claim",
            "{claim} {value}"
        );
    }
    let null = world.payload().replace(&format!("\"exp\":{later}"), "\"exp\":null");
    assert!(null.contains("\"exp\":null"));
    let token =
        world.issuer.sign_raw(world.issuer.header().to_string().as_bytes(), null.as_bytes());
    assert_eq!(world.code(&token).await, "invalid_claim");
    assert_eq!(world.code(&world.claims(json!({"exp": later as f64 + 0.5}))).await, "accepted");
    assert_eq!(world.code(&world.claims(json!({"nbf": 0, "auth_time": 0}))).await, "accepted");
}

#[tokio::test]
async fn time_counts_with_the_leeway_and_no_more() {
    let world = World::with(TestIssuer::new(), |v| v.with_leeway(Duration::from_secs(10)));
    let now = world.issuer.now();
    for (changes, expected) in [
        (json!({"exp": now - 9}), "accepted"),
        (json!({"exp": now - 10}), "expired"),
        (json!({"exp": 0}), "expired"),
        (json!({"exp": null}), "missing_claim"),
        (json!({"nbf": now + 10}), "accepted"),
        (json!({"nbf": now + 11}), "not_yet_valid"),
        (json!({"iat": now + 10}), "accepted"),
        (json!({"iat": now + 11}), "issued_in_future"),
        (json!({"iat": null}), "accepted"),
    ] {
        assert_eq!(world.code(&world.claims(changes.clone())).await, expected, "{changes}");
    }
}

// D8
#[tokio::test]
async fn the_audience_must_be_ours() {
    let world = World::new();
    for (aud, expected) in [
        (json!("hub"), "accepted"),
        (json!(["hub"]), "accepted"),
        (json!(["account", "hub"]), "accepted"),
        (json!("account"), "wrong_audience"),
        (json!("Hub"), "wrong_audience"),
        (json!("hub "), "wrong_audience"),
        (json!("hub,account"), "wrong_audience"),
        (json!("hubs"), "wrong_audience"),
        (json!(""), "wrong_audience"),
        (json!([]), "wrong_audience"),
        (json!(["*"]), "wrong_audience"),
        (json!([["hub"]]), "invalid_claim"),
        (json!({"hub": 1}), "invalid_claim"),
        (json!(["hub", 1]), "invalid_claim"),
        (json!(0), "invalid_claim"),
        (Value::Null, "wrong_audience"),
    ] {
        assert_eq!(world.code(&world.claims(json!({"aud": aud}))).await, expected, "{aud}");
    }
    // The client that asked for a token is not whom it is for.
    let azp = world.claims(json!({"aud": "account", "azp": "hub", "client_id": "hub"}));
    assert_eq!(world.code(&azp).await, "wrong_audience");
}

// D9
#[tokio::test]
async fn the_issuer_must_be_ours_byte_for_byte() {
    let world = World::new();
    let ours = world.issuer.issuer().to_string();
    for (iss, expected) in [
        (json!(ours), "accepted"),
        (json!(format!("{ours}/")), "wrong_issuer"),
        (json!(ours.to_uppercase()), "wrong_issuer"),
        (json!(format!("{ours}2")), "wrong_issuer"),
        (json!("https://evil.test"), "wrong_issuer"),
        (json!(""), "wrong_issuer"),
        (json!([ours]), "invalid_claim"),
        (json!({}), "invalid_claim"),
        (Value::Null, "missing_claim"),
    ] {
        assert_eq!(world.code(&world.claims(json!({"iss": iss}))).await, expected, "{iss}");
    }
}

// D10
#[tokio::test]
async fn ecdsa_signatures_are_of_fixed_form_and_never_zero() {
    for (algorithm, size) in
        [(Algorithm::ES256, 64), (Algorithm::ES384, 96), (Algorithm::ES512, 132)]
    {
        let world = World::with(TestIssuer::with_algorithm(algorithm), |v| v);
        let good = world.issuer.access_token(AUDIENCE);
        let (message, signature) = good.rsplit_once('.').unwrap();
        let signature = B64.decode(signature).unwrap();
        assert_eq!(signature.len(), size);
        let (r, s) = signature.split_at(size / 2);
        let integer = |part: &[u8]| {
            let part: Vec<u8> = part.iter().copied().skip_while(|octet| *octet == 0).collect();
            let part = if part.first().is_some_and(|octet| *octet > 127) {
                [&[0][..], &part].concat()
            } else {
                part
            };
            [&[2, part.len() as u8][..], &part].concat()
        };
        let body = [integer(r), integer(s)].concat();
        let der = [&[0x30, body.len() as u8][..], &body].concat();
        for bad in [
            vec![0; size],
            [&[0; 1][..], &vec![0; size - 2], &[1]].concat(),
            der,
            vec![0; 8],
            [&signature[..], &[0; 32]].concat(),
            [&[0; 16][..], r, &[0; 16], s].concat(),
            vec![0xff; size],
        ] {
            assert_eq!(
                world.code(&format!("{message}.{}", B64.encode(bad))).await,
                "bad_signature"
            );
        }
        assert_eq!(world.code(&good).await, "accepted");
    }
}

// D11
#[tokio::test]
async fn no_other_token_of_the_same_issuer_passes_for_an_access_token() {
    let world = World::new();
    assert_eq!(world.code(&world.issuer.id_token(AUDIENCE, None)).await, "wrong_type");
    assert_eq!(world.code(&world.issuer.logout_token(AUDIENCE)).await, "wrong_type");
    for typ in ["ID", "Refresh", "Offline", "Logout", "DPoP", "bearer", "Initial-Access-Token", ""]
    {
        assert_eq!(world.code(&world.claims(json!({"typ": typ}))).await, "wrong_type", "{typ}");
    }
    assert_eq!(world.code(&world.claims(json!({"typ": null}))).await, "wrong_type");
    for typ in
        ["dpop+jwt", "oauth-authz-req+jwt", "logout+jwt", "secevent+jwt", "JOSE", "kb+jwt", ""]
    {
        assert_eq!(world.code(&world.header(json!({"typ": typ}))).await, "wrong_type", "{typ}");
    }
    assert_eq!(world.code(&world.header(json!({"typ": null}))).await, "wrong_type");
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        assert_eq!(world.code(&world.header(json!({"typ": typ}))).await, "accepted", "{typ}");
    }
    let bound = world.claims(json!({"cnf": {"jkt": "x"}}));
    assert_eq!(world.code(&bound).await, "sender_constrained");
}

// D11
#[tokio::test]
async fn an_access_token_passes_neither_for_an_id_token_nor_for_a_logout_token() {
    let world = World::new();
    let expected = IdTokenExpectations::default();
    let access = world.issuer.access_token(AUDIENCE);
    let logout = world.issuer.logout_token(AUDIENCE);
    let id = world.issuer.id_token(AUDIENCE, None);
    for wrong in [&access, &logout] {
        assert_eq!(
            world.verifier.id_token(wrong, &expected).await.unwrap_err().code(),
            "wrong_type"
        );
    }
    for wrong in [&access, &id] {
        assert_eq!(world.verifier.logout_token(wrong).await.unwrap_err().code(), "wrong_type");
    }
    let untyped = changed(world.issuer.logout_claims(AUDIENCE), json!({"typ": null}));
    let untyped = world.issuer.sign(&untyped);
    assert_eq!(
        world.verifier.id_token(&untyped, &expected).await.unwrap_err().code(),
        "forbidden_claim"
    );
    assert!(world.verifier.id_token(&id, &expected).await.is_ok());
    assert!(world.verifier.logout_token(&logout).await.is_ok());
    assert!(world.verifier.logout_token(&untyped).await.is_ok());
}

#[tokio::test]
async fn the_strict_profile_wants_all_of_rfc_9068() {
    let world = World::with(TestIssuer::new(), |v| v.with_profile(Profile::Rfc9068));
    let header = changed(world.issuer.header(), json!({"typ": "at+jwt"}));
    let claims =
        changed(world.issuer.claims(AUDIENCE), json!({"typ": null, "client_id": "gateway"}));
    let sign = |changes| world.issuer.sign_with(&header, &changed(claims.clone(), changes));
    assert_eq!(world.code(&sign(json!({}))).await, "accepted");
    for claim in ["iss", "sub", "exp", "iat", "jti", "client_id"] {
        assert_eq!(world.code(&sign(json!({claim: null}))).await, "missing_claim", "{claim}");
    }
    assert_eq!(world.code(&sign(json!({"aud": null}))).await, "wrong_audience");
    assert_eq!(world.code(&world.issuer.sign(&claims)).await, "wrong_type");
}

// D12, D13
#[tokio::test]
async fn bombs_are_refused_before_they_cost_anything() {
    let world = World::new();
    assert_eq!(world.code(&world.issuer.access_token(AUDIENCE)).await, "accepted");
    let part = |value: Value| B64.encode(value.to_string());
    let nested = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    let raw = |payload: &str| {
        world.issuer.sign_raw(world.issuer.header().to_string().as_bytes(), payload.as_bytes())
    };
    let bombs = [
        (".".repeat(50_000), "too_large"),
        ("..".to_owned(), "malformed"),
        (".".repeat(10_000), "malformed"),
        (String::new(), "malformed"),
        ("a".repeat(1 << 20), "too_large"),
        (format!("{}.{}.{}", "a".repeat(1 << 20), "b".repeat(1 << 20), "c"), "too_large"),
        (raw(&nested), "malformed"),
        (raw(&format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000))), "too_large"),
        (format!("{}.e30.e30", B64.encode(nested)), "malformed"),
        (
            format!("{}.a.b.c.d", part(json!({"alg": "dir", "enc": "A128GCM", "zip": "DEF"}))),
            "malformed",
        ),
        (format!("{}.....", part(json!({"alg": "dir", "enc": "A128GCM"}))), "malformed"),
        (
            format!(
                "{}.a.b.c.d",
                part(json!({"alg": "PBES2-HS256+A128KW", "p2c": 2_000_000_000, "enc": "A128GCM"}))
            ),
            "malformed",
        ),
        (world.claims(json!({"pad": "x".repeat(16 * 1024)})), "too_large"),
    ];
    for (token, expected) in &bombs {
        let begun = elapsed(None);
        let code = world.code(token).await;
        assert_eq!(code, *expected, "{}", token.chars().take(60).collect::<String>());
        assert!(elapsed(Some(begun)) < Duration::from_millis(50));
    }
    assert_eq!(world.code(&world.claims(json!({"pad": "x".repeat(8 * 1024)}))).await, "accepted");
}

#[expect(clippy::disallowed_methods, reason = "measures how long a refusal takes")]
fn elapsed(begun: Option<Duration>) -> Duration {
    use std::sync::LazyLock;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed() - begun.unwrap_or_default()
}

// D14
#[tokio::test]
async fn what_two_parsers_could_read_differently_is_refused() {
    let world = World::new();
    let header = world.issuer.header().to_string();
    let payload = world.payload();
    let sign = |header: &str, payload: &[u8]| world.issuer.sign_raw(header.as_bytes(), payload);
    assert_eq!(world.code(&sign(&header, payload.as_bytes())).await, "accepted");
    let add = |text: &str, more: &str| format!("{},{more}}}", text.strip_suffix('}').unwrap());
    for more in [
        r#""sub":"admin""#,
        r#""\u0073ub":"admin""#,
        r#""aud":"hub""#,
        r#""exp":9999999999"#,
        r#""x":{"a":1,"a":2}"#,
        r#""x":[{"a":1,"a":1}]"#,
    ] {
        assert_eq!(
            world.code(&sign(&header, add(&payload, more).as_bytes())).await,
            "malformed",
            "{more}"
        );
    }
    for more in [r#""alg":"RS256""#, r#""kid":"x""#, r#""x":{"a":1,"a":2}"#] {
        assert_eq!(
            world.code(&sign(&add(&header, more), payload.as_bytes())).await,
            "malformed",
            "{more}"
        );
    }
    for tail in ["{}", "x", "\0", ",", "}"] {
        assert_eq!(
            world.code(&sign(&header, format!("{payload}{tail}").as_bytes())).await,
            "malformed"
        );
        assert_eq!(
            world.code(&sign(&format!("{header}{tail}"), payload.as_bytes())).await,
            "malformed"
        );
    }
    let bad_utf8 = [payload.trim_end_matches('}').as_bytes(), b",\"x\":\"\xff\"}"].concat();
    assert_eq!(world.code(&sign(&header, &bad_utf8)).await, "malformed");
    for not_an_object in ["[]", "\"a\"", "1", "null", "", " ", "{"] {
        assert_eq!(world.code(&sign(&header, not_an_object.as_bytes())).await, "malformed");
        assert_eq!(world.code(&sign(not_an_object, payload.as_bytes())).await, "malformed");
    }
}

// D14
#[tokio::test]
async fn base64url_has_one_spelling() {
    let world = World::new();
    let good = world.issuer.access_token(AUDIENCE);
    let parts: Vec<&str> = good.split('.').collect();
    for at in 0..3 {
        for change in [
            |part: &str| format!("{part}="),
            |part: &str| format!("{part}=="),
            |part: &str| format!(" {part}"),
            |part: &str| format!("{part}\n"),
            |part: &str| format!("{part}?"),
            |part: &str| format!("{}+{}", &part[..4], &part[5..]),
            |part: &str| format!("{}/{}", &part[..4], &part[5..]),
            |part: &str| part.replacen(|_: char| true, "\u{ff25}", 1),
        ] {
            let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            parts[at] = change(&parts[at]);
            let refusal = world.check(&parts.join(".")).await.unwrap_err();
            assert!(["malformed", "bad_signature"].contains(&refusal.code()), "{refusal}");
        }
    }
    // The last character of a 256-octet signature holds two bits that mean nothing: they must be 0.
    let stray =
        format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'B' } else { 'z' });
    assert!(world.check(&stray).await.is_err());
    for outer in
        [format!("Bearer {good}"), format!(" {good}"), format!("{good} "), format!("{good}\n")]
    {
        assert_eq!(world.code(&outer).await, "malformed");
    }
}

// D15
#[tokio::test]
async fn an_email_counts_only_when_verified_and_plain() {
    let world = World::new();
    let email = async |changes: Value| {
        let token = world.verifier.access_token(&world.claims(changes)).await.unwrap();
        token.verified_email().map(str::to_owned)
    };
    assert_eq!(email(json!({})).await.as_deref(), Some("alice@example.org"));
    for changes in [
        json!({"email": "alice@evil.test@example.org"}),
        json!({"email_verified": false}),
        json!({"email_verified": "true"}),
        json!({"email_verified": 1}),
        json!({"email_verified": null}),
        json!({"email": ["alice@example.org"]}),
    ] {
        assert_eq!(email(changes.clone()).await, None, "{changes}");
    }
}

// D16
#[tokio::test]
async fn a_token_about_nobody_is_refused() {
    let world = World::new();
    assert_eq!(world.code(&world.claims(json!({"sub": ""}))).await, "invalid_claim");
    assert_eq!(world.code(&world.claims(json!({"sub": " "}))).await, "invalid_claim");
    assert_eq!(world.code(&world.claims(json!({"sub": null}))).await, "missing_claim");
    let empty = world.issuer.sign(&json!({}));
    assert!(world.check(&empty).await.is_err());
    assert_eq!(world.code(&world.claims(json!({"sub": "0"}))).await, "accepted");
}

#[tokio::test]
async fn keys_that_must_not_verify_are_not_admitted() {
    let issuer = TestIssuer::new();
    let good = issuer.signing_key().jwk();
    let modulus = issuer.signing_key().modulus().unwrap();
    let even: Vec<u8> = modulus.iter().copied().take(255).chain([0]).collect();
    for (changes, reason) in [
        (json!({"use": "enc"}), "it is for encryption (use)"),
        (json!({"use": "x"}), "its use is not sig"),
        (json!({"use": 1}), "a member that must be a string is not"),
        (json!({"key_ops": ["encrypt"]}), "its key_ops do not include verify"),
        (json!({"alg": "RSA-OAEP"}), "its alg is not a signature known here"),
        (json!({"alg": "HS256"}), "its alg is not a signature known here"),
        (json!({"alg": "ES256"}), "its alg does not fit its kty and crv"),
        (json!({"kty": "oct", "k": "AAAA"}), "symmetric keys never verify here"),
        (json!({"kty": "XYZ"}), "its kty is not known here"),
        (json!({"kty": null}), "it has no kty"),
        (json!({"n": B64.encode(&modulus[..128])}), "its RSA modulus is shorter than 2048 bits"),
        (
            json!({"n": B64.encode([&[0; 128][..], &modulus[..128]].concat())}),
            "its RSA modulus is shorter than 2048 bits",
        ),
        (json!({"n": B64.encode([255; 1025])}), "its RSA modulus is longer than 8192 bits"),
        (json!({"n": B64.encode(&even)}), "its RSA modulus is even"),
        (json!({"e": "AQ"}), "its RSA exponent is not between 65537 and 2^33"),
        (json!({"e": "Aw"}), "its RSA exponent is not between 65537 and 2^33"),
        (json!({"e": "AQAA"}), "its RSA exponent is even"),
        (json!({"e": ""}), "its RSA exponent is even"),
        (json!({"n": null}), "a member of the key is missing"),
        (json!({"n": "%%%"}), "a member of the key is not base64url"),
        (json!({"kty": "EC", "crv": "secp256k1"}), "its crv is not known here"),
        (
            json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
            "its coordinates do not have the curve's length",
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": B64.encode([1; 32]), "y": B64.encode([1; 32])}),
            "its point is not on the curve",
        ),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}), "its x is not an Ed25519 public key"),
        (
            json!({"kty": "OKP", "crv": "X25519", "x": B64.encode([9; 32])}),
            "its crv is not known here",
        ),
    ] {
        let document = json!({"keys": [changed(good.clone(), changes.clone()), null, 1]});
        let set = JwkSet::parse(document.to_string().as_bytes()).unwrap();
        assert!(set.is_empty(), "{changes}");
        assert_eq!(set.skipped()[0].reason, reason, "{changes}");
    }
    // A private member beside the public ones is ignored, as is a leading zero octet.
    let padded = json!({"d": "AAAA", "n": B64.encode([&[0][..], &modulus].concat())});
    let document = json!({"keys": [changed(good, padded)]});
    let set = JwkSet::parse(document.to_string().as_bytes()).unwrap();
    let verifier =
        Verifier::new(Validation::new(issuer.issuer(), AUDIENCE), Arc::new(StaticKeys::new(set)))
            .with_clock(issuer.clock());
    assert!(verifier.access_token(&issuer.access_token(AUDIENCE)).await.is_ok());
}

#[tokio::test]
async fn two_different_keys_under_one_kid_are_both_unusable() {
    let issuer = TestIssuer::new();
    let first = issuer.signing_key().jwk();
    issuer.rotate();
    let second = changed(issuer.signing_key().jwk(), json!({"kid": first["kid"]}));
    let parse = |keys: Value| JwkSet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap();
    assert!(parse(json!([first, second])).is_empty());
    assert_eq!(parse(json!([first, first])).len(), 1);
    let encryption = changed(second.clone(), json!({"use": "enc", "alg": "RSA-OAEP"}));
    assert_eq!(parse(json!([encryption, first])).len(), 1);
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[]}x"#] {
        assert!(JwkSet::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn id_tokens_are_held_to_the_login_they_belong_to() {
    let world = World::new();
    let expected = IdTokenExpectations::default().with_nonce(Secret::from("n"));
    let check = async |changes: Value, expected: &IdTokenExpectations| {
        let token =
            world.issuer.sign(&changed(world.issuer.id_claims(AUDIENCE, Some("n")), changes));
        world
            .verifier
            .id_token(&token, expected)
            .await
            .err()
            .map_or("accepted", |refusal| refusal.code())
    };
    for (changes, result) in [
        (json!({}), "accepted"),
        (json!({"nonce": "N"}), "wrong_nonce"),
        (json!({"nonce": null}), "wrong_nonce"),
        (json!({"aud": "other"}), "wrong_audience"),
        (json!({"aud": null}), "wrong_audience"),
        (json!({"aud": [AUDIENCE]}), "accepted"),
        (json!({"aud": [AUDIENCE, "other"]}), "accepted"),
        (json!({"aud": [AUDIENCE, "other"], "azp": null}), "missing_claim"),
        (json!({"azp": "other"}), "wrong_authorized_party"),
        (json!({"azp": null}), "accepted"),
        (json!({"iss": "https://evil.test"}), "wrong_issuer"),
        (json!({"sub": null}), "missing_claim"),
        (json!({"exp": null}), "missing_claim"),
        (json!({"iat": null}), "missing_claim"),
        (json!({"exp": world.issuer.now() - 60}), "expired"),
        (json!({"typ": null}), "accepted"),
    ] {
        assert_eq!(check(changes.clone(), &expected).await, result, "{changes}");
    }
    // OpenID Connect Core 1.0 §A.3 shows this pair of access token and at_hash.
    let over = IdTokenExpectations::default()
        .with_access_token(Secret::from("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"));
    assert_eq!(check(json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}), &over).await, "accepted");
    assert_eq!(check(json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RA"}), &over).await, "wrong_hash");
    assert_eq!(check(json!({"at_hash": 1}), &over).await, "wrong_hash");
    assert_eq!(check(json!({}), &over).await, "accepted");
    // §A.4: code and c_hash.
    let over = IdTokenExpectations::default()
        .with_code(Secret::from("Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk"));
    assert_eq!(check(json!({"c_hash": "LDktKdoQak3Pk0cnXxCltA"}), &over).await, "accepted");
    assert_eq!(check(json!({"c_hash": "x"}), &over).await, "wrong_hash");
    let same = IdTokenExpectations::default().with_subject("somebody else");
    assert_eq!(check(json!({}), &same).await, "wrong_subject");
    let recent = IdTokenExpectations::default().with_max_age(Duration::from_secs(60));
    let now = world.issuer.now();
    assert_eq!(check(json!({"auth_time": now - 60}), &recent).await, "accepted");
    assert_eq!(check(json!({"auth_time": now - 91}), &recent).await, "authentication_too_old");
    assert_eq!(check(json!({"auth_time": null}), &recent).await, "missing_claim");
    let ever = IdTokenExpectations::default().with_max_age(Duration::MAX);
    assert_eq!(check(json!({}), &ever).await, "accepted");
}

#[tokio::test]
async fn logout_tokens_are_held_to_back_channel_logout() {
    let world = World::new();
    let check = async |changes: Value| {
        let token = world.issuer.sign(&changed(world.issuer.logout_claims(AUDIENCE), changes));
        world.verifier.logout_token(&token).await.err().map_or("accepted", |refusal| refusal.code())
    };
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let now = world.issuer.now();
    for (changes, result) in [
        (json!({}), "accepted"),
        (json!({"sid": null}), "accepted"),
        (json!({"sub": null}), "accepted"),
        (json!({"sub": null, "sid": null}), "missing_claim"),
        (json!({"events": null}), "missing_claim"),
        (json!({"events": {}}), "invalid_claim"),
        (json!({"events": {"http://schemas.openid.net/event/other": {}}}), "invalid_claim"),
        (json!({"events": {event: true}}), "invalid_claim"),
        (json!({"events": event}), "invalid_claim"),
        (json!({"events": [event]}), "invalid_claim"),
        (json!({"nonce": "n"}), "forbidden_claim"),
        (json!({"aud": "other"}), "wrong_audience"),
        (json!({"aud": null}), "wrong_audience"),
        (json!({"iss": "https://evil.test"}), "wrong_issuer"),
        (json!({"iat": null}), "missing_claim"),
        (json!({"jti": null}), "missing_claim"),
        (json!({"exp": now - 60}), "expired"),
        (json!({"exp": null}), "accepted"),
        (json!({"exp": null, "iat": now - 3600}), "expired"),
        (json!({"typ": null}), "accepted"),
        (json!({"typ": "ID"}), "wrong_type"),
    ] {
        assert_eq!(check(changes.clone()).await, result, "{changes}");
    }
    let header = changed(world.issuer.header(), json!({"typ": "logout+jwt"}));
    let token = world.issuer.sign_with(&header, &world.issuer.logout_claims(AUDIENCE));
    let token = world.verifier.logout_token(&token).await.unwrap();
    assert_eq!(token.session_id(), Some("sid-1"));
    let none =
        forged(&json!({"alg": "none"}), &world.issuer.logout_claims(AUDIENCE).to_string(), b"");
    assert_eq!(
        world.verifier.logout_token(&none).await.unwrap_err().code(),
        "algorithm_not_allowed"
    );
}

#[tokio::test]
async fn a_remembered_token_is_still_held_to_time_and_keys() {
    let world = World::with(TestIssuer::with_algorithm(Algorithm::ES256), |v| v);
    let token = world.issuer.access_token(AUDIENCE);
    assert!(world.verifier.cached(&token).is_none());
    let first = world.verifier.access_token(&token).await.unwrap();
    let again = world.verifier.access_token(&token).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(world.verifier.cache_stats().hits, 1);

    world.issuer.clock().advance(Duration::from_secs(331));
    assert!(world.verifier.cached(&token).is_none());
    assert_eq!(world.code(&token).await, "expired");

    let token = world.issuer.access_token(AUDIENCE);
    world.verifier.access_token(&token).await.unwrap();
    assert!(world.verifier.cached(&token).is_some());
    world.verifier.forget_all();
    assert!(world.verifier.cached(&token).is_none());

    // One octet more is another token.
    world.verifier.access_token(&token).await.unwrap();
    assert!(world.verifier.cached(&format!("{token}A")).is_none());
}

// E1: the same token is another matter to a verifier with other rules.
#[tokio::test]
async fn what_one_verifier_remembers_says_nothing_to_another() {
    let world = World::new();
    let other = Verifier::new(Validation::new(world.issuer.issuer(), "other"), world.issuer.keys())
        .with_clock(world.issuer.clock());
    let token = world.issuer.access_token(AUDIENCE);
    assert_eq!(world.code(&token).await, "accepted");
    assert_eq!(other.access_token(&token).await.unwrap_err().code(), "wrong_audience");
}
