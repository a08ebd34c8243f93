//! Size, nesting, duplicates, base64url: tokens that two parsers could read differently.

use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::{AUDIENCE, B64, World};

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
        // The fastest of five, so that other load on the machine does not matter.
        let mut quickest = Duration::MAX;
        for _ in 0..5 {
            let begun = elapsed(None);
            let code = world.code(token).await;
            quickest = quickest.min(elapsed(Some(begun)));
            assert_eq!(code, *expected, "{}", token.chars().take(60).collect::<String>());
        }
        assert!(quickest < Duration::from_millis(50), "{quickest:?}");
    }
    assert_eq!(world.code(&world.claims(json!({"pad": "x".repeat(8 * 1024)}))).await, "accepted");
}

#[expect(clippy::disallowed_methods, reason = "measures how long a refusal takes")]
fn elapsed(begun: Option<Duration>) -> Duration {
    use std::sync::LazyLock;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed() - begun.unwrap_or_default()
}

#[tokio::test]
async fn text_with_two_readings_is_refused() {
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
    // The last character of a 256-byte signature has two unused bits, which must be 0.
    let stray =
        format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'B' } else { 'z' });
    assert!(world.check(&stray).await.is_err());
    for outer in
        [format!("Bearer {good}"), format!(" {good}"), format!("{good} "), format!("{good}\n")]
    {
        assert_eq!(world.code(&outer).await, "malformed");
    }
}

/// A verifier without a provider: only the form is checked.
fn offline() -> oidc_core::Verifier {
    let keys = oidc_core::keys::JwkSet::parse(br#"{"keys":[]}"#).unwrap();
    let validation = oidc_core::Validation::new("https://issuer.test".parse().unwrap(), AUDIENCE);
    oidc_core::Verifier::new(
        validation,
        std::sync::Arc::new(oidc_core::keys::StaticKeys::new(keys)),
    )
}

fn refused(token: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(offline().access_token(token)).is_err()
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(token in "\\PC{0,300}") {
        proptest::prop_assert!(refused(&token));
    }

    #[test]
    fn no_parts_make_it_panic(header in "\\PC{0,80}", payload in "\\PC{0,80}", tail in ".{0,80}") {
        let token = format!("{}.{}.{tail}", B64.encode(header), B64.encode(payload));
        proptest::prop_assert!(refused(&token));
    }

    #[test]
    fn no_claims_make_it_panic(name in "(iss|sub|aud|exp|nbf|iat|scope|realm_access|groups)", value in "\\PC{0,60}") {
        let text = format!("{{\"{name}\":{value}}}");
        if let Ok(claims) = oidc_core::Claims::parse(text.as_bytes()) {
            let _ = (claims.get(&value), claims.realm_roles().is_empty(), claims.groups().is_empty());
        }
    }

    #[test]
    fn no_key_set_makes_it_panic(text in "\\PC{0,200}", member in "\\PC{0,40}") {
        let _ = oidc_core::keys::JwkSet::parse(text.as_bytes());
        let key = json!({"keys": [{"kty": "RSA", "n": member, "e": member}, {"kty": "EC", "crv": "P-256", "x": member, "y": member}]});
        let _ = oidc_core::keys::JwkSet::parse(key.to_string().as_bytes());
    }
}
