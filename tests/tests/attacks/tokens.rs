//! Invalid bearer tokens of the provider: each is 401 with its cause, and nothing reaches the upstream.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dev_issuer::{Algorithm, Mint};
use e2e::wire::Answer;
use serde_json::{Value, json};

use crate::{
    forger::{Members, seconds, signing_input},
    stage::Stage,
};

/// An attack's name, its token, and the code of the refusal it must meet.
pub(crate) type Attack = (String, String, &'static str);

/// Asserts that every attack is refused with its code and does not reach the upstream; reports all failures at once.
pub(crate) async fn all_refused(stage: &Stage, attacks: Vec<Attack>) -> Result<()> {
    let before = stage.upstream.requests().len();
    let mut wrong = Vec::new();
    for (name, token, code) in attacks {
        let answer = stage.get("/echo").bearer(&token).send().await;
        let answer = answer.with_context(|| name.clone())?;
        let found = code_of(&answer);
        let challenged = answer.header("www-authenticate").contains("error=\"invalid_token\"");
        if answer.status != 401 || found != code || !challenged {
            wrong.push(format!("{name}: {} {found:?}, wanted 401 {code:?}", answer.status));
        }
        if answer.body.contains("\"target\"") {
            wrong.push(format!("{name}: the upstream's answer came through"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let reached = stage.upstream.requests().len() - before;
    ensure!(reached == 0, "{reached} requests reached the upstream: {:?}", stage.reached());
    Ok(())
}

/// Asserts that valid tokens pass.
pub(crate) async fn all_pass(stage: &Stage, tokens: Vec<(&str, String)>) -> Result<()> {
    for (name, token) in tokens {
        let answer = stage.get("/echo").bearer(&token).send().await?;
        ensure!(answer.status == 200, "{name}: {answer:?}");
    }
    Ok(())
}

/// `code` of the problem document; empty when it is none.
pub(crate) fn code_of(answer: &Answer) -> String {
    let problem = answer.json().unwrap_or_default();
    problem["code"].as_str().unwrap_or_default().to_owned()
}

fn attack(name: impl Into<String>, token: impl Into<String>, code: &'static str) -> Attack {
    (name.into(), token.into(), code)
}

/// Header and claims of a token.
fn opened(token: &str) -> Result<(Members, Members)> {
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part)?;
        anyhow::Ok(serde_json::from_slice::<Members>(&bytes)?)
    });
    let header = parts.next().context("no header")??;
    Ok((header, parts.next().context("no claims")??))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_proves_nothing_is_refused() -> Result<()> {
    let stage = Stage::new("attack-token-signature").await?;
    let mint = |order: Mint| stage.issuer.mint(order);
    let good = mint(Mint::access("alice"))?;
    let (unsigned, signature) = good.rsplit_once('.').context("no signature")?;
    let (_, claims) = opened(&good)?;
    let mut attacks = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", "", "RS256 ", "rs256", "HS256", "RSA-OAEP", "dir"] {
        let forged = mint(Mint::access("alice").header("alg", alg))?;
        attacks.push(attack(
            format!("alg {alg:?} over a valid signature"),
            forged,
            "algorithm_not_allowed",
        ));
        let empty = mint(Mint::access("alice").header("alg", alg).unsigned())?;
        attacks.push(attack(format!("alg {alg:?}, no signature"), empty, "algorithm_not_allowed"));
    }
    attacks.push(attack("no signature", format!("{unsigned}."), "malformed"));
    attacks.push(attack("no third part", unsigned, "malformed"));
    let mut changed = claims.clone();
    changed.insert("sub".into(), json!("mallory"));
    let (header, _) = opened(&good)?;
    let forged = signing_input(&serde_json::to_vec(&header)?, &serde_json::to_vec(&changed)?);
    attacks.push(attack(
        "another subject under the same signature",
        format!("{forged}.{signature}"),
        "bad_signature",
    ));
    attacks.push(attack("another key", mint(Mint::access("alice").wrong_key())?, "bad_signature"));
    attacks.push(attack(
        "HS256 with the public key's PEM",
        mint(Mint::access("alice").hmac_with_public_key())?,
        "algorithm_not_allowed",
    ));
    // A sound algorithm that is neither announced nor fits this key.
    attacks.push(attack(
        "PS256 with the RS256 key",
        mint(Mint::access("alice").algorithm(Algorithm::PS256))?,
        "algorithm_not_allowed",
    ));
    attacks.push(attack(
        "RS512 with the RS256 key",
        mint(Mint::access("alice").algorithm(Algorithm::RS512))?,
        "algorithm_not_allowed",
    ));
    attacks.push(attack(
        "ES256 under the RSA key's name",
        mint(Mint::access("alice").header("alg", "ES256"))?,
        "algorithm_not_allowed",
    ));
    attacks.extend(confused(&stage, &claims).await?);
    for place in [0, signature.len() / 2, signature.len() - 3] {
        let mut bytes = signature.as_bytes().to_vec();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(bytes)?;
        attacks.push(attack(
            format!("signature changed at {place}"),
            format!("{unsigned}.{flipped}"),
            "bad_signature",
        ));
    }
    all_refused(&stage, attacks).await?;
    let at_jwt = mint(Mint::access("alice").header("typ", "at+jwt"))?;
    let numeric = mint(Mint::access("alice").header("x-private", 5))?;
    all_pass(&stage, vec![("good", good), ("at+jwt", at_jwt), ("a private header member", numeric)])
        .await
}

/// HS256 tokens, keyed with every form of the public key that an attacker can fetch.
async fn confused(stage: &Stage, claims: &Members) -> Result<Vec<Attack>> {
    let url = format!("{}/protocol/openid-connect/certs", stage.issuer.url());
    let document = e2e::visitor::plain_client()?.get(url).send().await?.text().await?;
    let keys: Value = serde_json::from_str(&document)?;
    let kid = stage.issuer.signing_key_id();
    let key =
        keys["keys"].as_array().and_then(|keys| keys.iter().find(|key| key["kid"] == kid.as_str()));
    let key = key.context("the signing key is not published")?;
    let modulus = URL_SAFE_NO_PAD.decode(key["n"].as_str().context("no modulus")?)?;
    let jwk = key.to_string().into_bytes();
    let text = key["n"].as_str().unwrap_or_default().as_bytes().to_vec();
    let secrets = [
        ("modulus", modulus),
        ("JWK", jwk),
        ("modulus as text", text),
        ("whole key set", document.into_bytes()),
        ("nothing", Vec::new()),
        ("client secret", b"secret".to_vec()),
    ];
    let mut attacks = Vec::new();
    for (name, secret) in secrets {
        for (alg, algorithm) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
        ] {
            let header = json!({ "alg": alg, "typ": "JWT", "kid": kid });
            let input = signing_input(header.to_string().as_bytes(), &serde_json::to_vec(claims)?);
            let tag = hmac::sign(&hmac::Key::new(algorithm, &secret), input.as_bytes());
            let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
            attacks.push(attack(format!("{alg} with the {name}"), token, "algorithm_not_allowed"));
        }
    }
    Ok(attacks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_or_from_another_party_is_refused() -> Result<()> {
    let stage = Stage::new("attack-token-audience").await?;
    let with =
        |name: &str, value: Value| stage.issuer.mint(Mint::access("alice").claim(name, value));
    let mut attacks = Vec::new();
    for audience in [
        "",
        "account",
        "Gateway",
        "gateway ",
        " gateway",
        "gateway2",
        "gatewa",
        "gateway\0",
        "gateway,x",
        "*",
    ] {
        attacks.push(attack(
            format!("aud {audience:?}"),
            with("aud", json!(audience))?,
            "wrong_audience",
        ));
        attacks.push(attack(
            format!("aud [{audience:?}]"),
            with("aud", json!([audience]))?,
            "wrong_audience",
        ));
    }
    let empty = stage.issuer.mint(Mint::access("alice").without("aud"))?;
    attacks.push(attack("no aud", empty, "wrong_audience"));
    attacks.push(attack("aud []", with("aud", json!([]))?, "wrong_audience"));
    for audience in [
        json!(1),
        json!(null),
        json!(true),
        json!({ "gateway": 1 }),
        json!([["gateway"]]),
        json!(["gateway", 1]),
    ] {
        attacks.push(attack(format!("aud {audience}"), with("aud", audience)?, "invalid_claim"));
    }
    let own = stage.issuer.url().to_owned();
    for issuer in [
        format!("{own}/"),
        own.to_uppercase(),
        own.replace("http:", "https:"),
        format!("{own} "),
        format!("{own}#"),
        format!("{own}.evil.test"),
        own.replace("127.0.0.1", "localhost"),
        "https://evil.test".into(),
        String::new(),
    ] {
        let code = "wrong_issuer";
        attacks.push(attack(format!("iss {issuer:?}"), with("iss", json!(issuer))?, code));
    }
    for issuer in [json!([own]), json!({ "iss": own }), json!(null), json!(0)] {
        attacks.push(attack(format!("iss {issuer}"), with("iss", issuer)?, "invalid_claim"));
    }
    let nameless = stage.issuer.mint(Mint::access("alice").without("iss"))?;
    attacks.push(attack("no iss", nameless, "missing_claim"));
    for subject in [json!(""), json!(null), json!(7), json!(["alice"]), json!({})] {
        attacks.push(attack(format!("sub {subject}"), with("sub", subject)?, "invalid_claim"));
    }
    let no_subject = stage.issuer.mint(Mint::access("alice").without("sub"))?;
    attacks.push(attack("no sub", no_subject, "missing_claim"));
    attacks.push(attack(
        "bound to a key",
        with("cnf", json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }))?,
        "proof_missing",
    ));
    attacks.push(attack(
        "bound to a certificate",
        with("cnf", json!({ "x5t#S256": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }))?,
        "certificate_missing",
    ));
    attacks.push(attack("no key", with("cnf", json!({ "jkt": "x" }))?, "invalid_claim"));
    all_refused(&stage, attacks).await?;
    let several = with("aud", json!(["account", "gateway"]))?;
    all_pass(&stage, vec![("one audience", with("aud", json!("gateway"))?), ("several", several)])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_time_is_refused_and_never_skipped() -> Result<()> {
    let stage = Stage::new("attack-token-times").await?;
    let now = seconds();
    let with =
        |name: &str, value: Value| stage.issuer.mint(Mint::access("alice").claim(name, value));
    let mut attacks = Vec::new();
    for claim in ["exp", "nbf", "iat"] {
        for value in [
            json!(format!("{}", now + 300)),
            json!("soon"),
            json!(null),
            json!(true),
            json!([now + 300]),
            json!({}),
            json!(1e300),
            json!(-1e300),
            json!(u64::MAX),
            json!("2030-01-01T00:00:00Z"),
        ] {
            attacks.push(attack(format!("{claim} {value}"), with(claim, value)?, "invalid_claim"));
        }
    }
    let mint = |order: Mint| stage.issuer.mint(order);
    attacks.push(attack("expired", mint(Mint::access("alice").expired())?, "expired"));
    attacks.push(attack("exp 0", with("exp", json!(0))?, "expired"));
    attacks.push(attack("no exp", mint(Mint::access("alice").without("exp"))?, "missing_claim"));
    let later = mint(Mint::access("alice").not_before_in(Duration::from_secs(600)))?;
    attacks.push(attack("not yet", later, "not_yet_valid"));
    attacks.push(attack("issued tomorrow", with("iat", json!(now + 86_400))?, "issued_in_future"));
    all_refused(&stage, attacks).await?;
    let fraction = with("exp", json!(now as f64 + 300.5))?;
    let begun = with("nbf", json!(now - 5))?;
    all_pass(&stage, vec![("a fraction of a second", fraction), ("begun already", begun)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_kind_of_token_is_not_an_access_token() -> Result<()> {
    let stage = Stage::new("attack-token-kinds").await?;
    let mint = |order: Mint| stage.issuer.mint(order);
    let set = stage.issuer.log_in("alice", "gateway", "openid")?;
    let for_gateway = |order: Mint| mint(order.audience(["gateway"]));
    let mut attacks = vec![
        attack("ID token", set.id_token.context("no ID token")?, "wrong_type"),
        attack(
            "refresh token",
            set.refresh_token.context("no refresh token")?,
            "algorithm_not_allowed",
        ),
        attack("ID token for the gateway", for_gateway(Mint::id("alice"))?, "wrong_type"),
        attack(
            "refresh token signed as others are",
            for_gateway(Mint::refresh("alice"))?,
            "wrong_type",
        ),
        attack("logout token", for_gateway(Mint::logout("alice"))?, "wrong_type"),
        attack(
            "logout token with the typ JWT",
            for_gateway(Mint::logout("alice").header("typ", "JWT"))?,
            "wrong_type",
        ),
        attack(
            "no typ in the header",
            mint(Mint::access("alice").without_header("typ"))?,
            "wrong_type",
        ),
        attack("no typ in the body", mint(Mint::access("alice").without("typ"))?, "wrong_type"),
        attack(
            "typ of the wrong type",
            mint(Mint::access("alice").claim("typ", 1))?,
            "invalid_claim",
        ),
    ];
    for typ in [
        "dpop+jwt",
        "oauth-authz-req+jwt",
        "logout+jwt",
        "secevent+jwt",
        "JOSE",
        "token-introspection+jwt",
        "client-authentication+jwt",
        "",
    ] {
        attacks.push(attack(
            format!("header typ {typ:?}"),
            mint(Mint::access("alice").header("typ", typ))?,
            "wrong_type",
        ));
    }
    for (typ, code) in [
        ("ID", "wrong_type"),
        ("Refresh", "wrong_type"),
        ("Offline", "wrong_type"),
        ("Logout", "wrong_type"),
        ("bearer", "wrong_type"),
        // A bound token without its binding.
        ("DPoP", "missing_claim"),
        ("", "wrong_type"),
    ] {
        attacks.push(attack(
            format!("typ {typ:?}"),
            mint(Mint::access("alice").claim("typ", typ))?,
            code,
        ));
    }
    for text in [
        "x",
        "x.y",
        "....",
        "alice",
        "eyJhbGciOiJub25lIn0.e30.",
        "0123456789abcdef0123456789abcdef",
    ] {
        let code = if text.starts_with("eyJ") { "algorithm_not_allowed" } else { "malformed" };
        attacks.push(attack(format!("{text:?}"), text, code));
    }
    all_refused(&stage, attacks).await?;
    let typed = mint(Mint::access("alice").header("typ", "application/at+jwt"))?;
    all_pass(&stage, vec![("access token", set.access_token), ("its full media type", typed)]).await
}
