//! Tokens with a valid signature in a form that must be refused: some verifier has accepted each of them.
//!
//! The gateway fetches nothing from an address or key URL in a token.

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    forger::{Forger, KEY, Trap, signing_input},
    stage::{Setup, Stage},
    tokens::{Attack, all_pass, all_refused},
};

/// A stage that trusts the forger: alone, or beside another issuer, so that `iss` must be read to choose.
pub(crate) async fn stage(name: &str, forger: &Forger, alone: bool) -> Result<Stage> {
    let url = forger.url();
    let setup = Setup::new(name);
    let setup = if alone {
        setup.with_plan(move |plan| plan.with_issuer(&url))
    } else {
        setup.with_plan(move |plan| plan.with_other_issuer("forger", &url))
    };
    setup.start().await
}

/// A valid token whose header has one more member, or another one.
fn with_header(forger: &Forger, name: &str, value: Value) -> Result<String> {
    let mut header = Forger::header();
    header.insert(name.to_owned(), value);
    forger.token(&header, &forger.claims())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_header_names_the_key_to_trust() -> Result<()> {
    let (forger, trap) = (Forger::start().await?, Trap::set().await?);
    let stage = stage("attack-header", &forger, true).await?;
    let mut attacks: Vec<Attack> = Vec::new();
    for (name, value) in [
        ("jku", json!(trap.url("/keys"))),
        ("x5u", json!(trap.url("/certificate"))),
        ("jwk", forger.public_key()),
        ("x5c", json!(["MIIB"])),
        ("jku", json!("file:///etc/passwd")),
        ("jku", json!(null)),
        ("jwk", json!({})),
        ("crit", json!(["exp"])),
        ("crit", json!(["b64"])),
        ("crit", json!(["x"])),
        ("crit", json!([])),
        ("crit", json!("exp")),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
    ] {
        let shown = format!("{name} {value}");
        attacks.push((shown, with_header(&forger, name, value)?, "header_not_allowed"));
    }
    for kid in [
        "../../../../../../dev/null",
        "/etc/passwd",
        "..\\..\\windows\\win.ini",
        "x' OR '1'='1",
        "x' UNION SELECT 'a'--",
        "| sleep 5",
        "$(sleep 5)",
        "`sleep 5`",
        "\r\nFLUSHALL\r\n",
        "forged-key\0",
        " forged-key",
        "FORGED-KEY",
        "forged-key/",
        "",
        "http://127.0.0.1/",
        "\u{1b}[31mred",
        "*",
        "forged-ke",
    ] {
        attacks.push((
            format!("kid {kid:?}"),
            with_header(&forger, "kid", json!(kid))?,
            "unknown_key",
        ));
    }
    attacks.push((
        "kid that is a URL".into(),
        with_header(&forger, "kid", json!(trap.url("/kid")))?,
        "unknown_key",
    ));
    attacks.push((
        "a kid of 8,000 bytes".into(),
        with_header(&forger, "kid", json!("k".repeat(8000)))?,
        "unknown_key",
    ));
    for kid in [json!(1), json!(null), json!([KEY]), json!({ "kid": KEY }), json!(true)] {
        attacks.push((format!("kid {kid}"), with_header(&forger, "kid", kid)?, "malformed"));
    }
    for (name, value) in
        [("typ", json!(1)), ("alg", json!(["ES256"])), ("alg", json!(null)), ("cty", json!({}))]
    {
        let shown = format!("{name} {value}");
        attacks.push((shown, with_header(&forger, name, value)?, "malformed"));
    }
    let mut claims = forger.claims();
    claims.insert("iss".into(), json!(trap.url("")));
    attacks.push((
        "iss of another server".into(),
        forger.token(&Forger::header(), &claims)?,
        "wrong_issuer",
    ));
    claims.insert("jku".into(), json!(trap.url("/keys")));
    claims.insert("_claim_sources".into(), json!({ "src": { "endpoint": trap.url("/claims") } }));
    attacks.push((
        "addresses among the claims".into(),
        forger.token(&Forger::header(), &claims)?,
        "wrong_issuer",
    ));
    let fetched = forger.asked("/jwks");
    all_refused(&stage, attacks).await?;
    assert_eq!(trap.visits().await, 0, "the gateway fetched an address from a token");
    let more = forger.asked("/jwks") - fetched;
    assert!(more <= 4, "unknown key ids caused {more} fetches");
    // Each refusal has a log line that is JSON, whatever was in the token.
    assert!(stage.gateway.log_lines()?.len() > 10);

    let mut nameless = Forger::header();
    nameless.remove("kid");
    let nameless = forger.token(&nameless, &forger.claims())?;
    let private = with_header(&forger, "x-private", json!({ "deep": [1] }))?;
    let good = forger.token(&Forger::header(), &forger.claims())?;
    all_pass(
        &stage,
        vec![("good", good), ("no kid, one key", nameless), ("a private member", private)],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_zeros_signs_nothing() -> Result<()> {
    let forger = Forger::start().await?;
    let stage = stage("attack-ecdsa", &forger, true).await?;
    let good = forger.token(&Forger::header(), &forger.claims())?;
    let (input, signature) = good.rsplit_once('.').context("no signature")?;
    let signature = URL_SAFE_NO_PAD.decode(signature)?;
    let (r, s) = signature.split_at(32);
    let order: Vec<u8> = (0..32)
        .map(|at| {
            u8::from_str_radix(
                &"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
                    [2 * at..2 * at + 2],
                16,
            )
        })
        .collect::<Result<_, _>>()?;
    let (zero, high) = (vec![0; 32], vec![0xff; 32]);
    let one: Vec<u8> = std::iter::repeat_n(0, 31).chain([1]).collect();
    let der = [&[0x30, 0x46, 0x02, 0x21, 0x00][..], r, &[0x02, 0x21, 0x00], s].concat();
    let forged = [
        ("r = s = 0", [zero.clone(), zero.clone()].concat()),
        ("r = 0", [zero.clone(), s.to_vec()].concat()),
        ("s = 0", [r.to_vec(), zero.clone()].concat()),
        ("r = s = order", [order.clone(), order.clone()].concat()),
        ("r = 1, s = order", [one.clone(), order].concat()),
        ("r = s = 1", [one.clone(), one].concat()),
        ("all ones", [high.clone(), high].concat()),
        ("s and r exchanged", [s, r].concat()),
        ("DER", der),
        ("48 bytes each", [&[0; 16], r, &[0; 16], s].concat()),
        ("63 bytes", signature[..63].to_vec()),
        ("65 bytes", [&signature[..], &[0]].concat()),
        ("one byte", vec![0]),
    ];
    let attacks = forged
        .into_iter()
        .map(|(name, forged)| {
            (
                name.to_owned(),
                format!("{input}.{}", URL_SAFE_NO_PAD.encode(forged)),
                "bad_signature",
            )
        })
        .collect();
    all_refused(&stage, attacks).await?;
    all_pass(&stage, vec![("good", good)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_two_readings_is_refused() -> Result<()> {
    for alone in [true, false] {
        let forger = Forger::start().await?;
        let stage =
            stage(if alone { "attack-ambiguous" } else { "attack-ambiguous-two" }, &forger, alone)
                .await?;
        let good = forger.token(&Forger::header(), &forger.claims())?;
        all_refused(&stage, ambiguous(&forger, &good)?).await?;
        all_pass(&stage, vec![("good", good)]).await?;
    }
    Ok(())
}

fn ambiguous(forger: &Forger, good: &str) -> Result<Vec<Attack>> {
    let header = serde_json::to_string(&Forger::header())?;
    let claims = serde_json::to_string(&forger.claims())?;
    let inside = claims.strip_prefix('{').context("no object")?;
    let mut attacks: Vec<Attack> = Vec::new();
    let mut payload = |name: &str, bytes: &[u8]| -> Result<()> {
        attacks.push((name.to_owned(), forger.sign(header.as_bytes(), bytes)?, "malformed"));
        Ok(())
    };
    let iss = forger.url();
    for double in [
        r#""sub":"mallory""#,
        r#""aud":"elsewhere""#,
        r#""exp":9999999999"#,
        r#""su\u0062":"mallory""#,
        r#""typ":"ID""#,
        r#""preferred_username":"root""#,
        r#""realm_access":{"roles":["admin"]}"#,
        r#""x":{"a":1,"a":2}"#,
    ] {
        payload(&format!("twice: {double}"), format!("{{{double},{inside}").as_bytes())?;
    }
    payload("iss twice", format!(r#"{{"iss":"{iss}",{inside}"#).as_bytes())?;
    payload("trailing object", format!("{claims}{{}}").as_bytes())?;
    payload("trailing NUL", format!("{claims}\0").as_bytes())?;
    payload("byte order mark", format!("\u{feff}{claims}").as_bytes())?;
    payload("trailing comma", claims.replace('}', ",}").as_bytes())?;
    payload("comment", format!("/*x*/{claims}").as_bytes())?;
    payload("lone surrogate", format!(r#"{{"x":"\ud800",{inside}"#).as_bytes())?;
    payload("not a number", format!(r#"{{"x":NaN,{inside}"#).as_bytes())?;
    payload("too large a number", format!(r#"{{"x":1e999,{inside}"#).as_bytes())?;
    payload("an array", format!("[{claims}]").as_bytes())?;
    payload("nothing", b"")?;
    payload("a text", b"\"alice\"")?;
    payload("not UTF-8", &[br#"{"x":""#, &[0xff, 0xfe][..], br#"","#, inside.as_bytes()].concat())?;
    payload(
        "overlong UTF-8",
        &[br#"{"x":""#, &[0xc0, 0xaf][..], br#"","#, inside.as_bytes()].concat(),
    )?;
    for nested in ["[", "{\"a\":"] {
        let close = if nested == "[" { "]" } else { "}" };
        let deep = format!(r#"{{"x":{}1{},{inside}"#, nested.repeat(1500), close.repeat(1500));
        payload(&format!("1,500 times {nested}"), deep.as_bytes())?;
    }
    for double in [
        r#"{"alg":"none",ALL"#,
        r#"{"kid":"other",ALL"#,
        r#"{"typ":"ID",ALL"#,
        r#"{"\u0061lg":"none",ALL"#,
    ] {
        let twice = double.replace("ALL", header.strip_prefix('{').context("no object")?);
        attacks.push((
            format!("header {double}"),
            forger.sign(twice.as_bytes(), claims.as_bytes())?,
            "malformed",
        ));
    }
    for (name, text) in [
        ("a trailing byte", format!("{header}x")),
        ("an array", format!("[{header}]")),
        ("nothing", String::new()),
    ] {
        attacks.push((
            format!("header: {name}"),
            forger.sign(text.as_bytes(), claims.as_bytes())?,
            "malformed",
        ));
    }
    let (input, signature) = good.rsplit_once('.').context("no signature")?;
    let (head, body) = input.split_once('.').context("no payload")?;
    for (name, text) in [
        ("padded signature", format!("{input}.{signature}==")),
        ("padded header", format!("{head}=.{body}.{signature}")),
        ("four parts", format!("{good}.x")),
        ("empty fourth part", format!("{good}.")),
        ("a leading dot", format!(".{good}")),
        ("a comma behind it", format!("{good},x")),
        ("a semicolon", format!("{good};x=y")),
        ("the other alphabet", good.replace(['-', '_'], "+")),
        ("blank inside", format!("{head} .{body}.{signature}")),
    ] {
        // A token without `-` and `_` is unchanged.
        if text != good {
            attacks.push((name.to_owned(), text, "malformed"));
        }
    }
    Ok(attacks)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_algorithm_that_does_not_fit_the_key_is_refused() -> Result<()> {
    let forger = Forger::start().await?;
    let stage = stage("attack-key-binding", &forger, true).await?;
    let claims = serde_json::to_vec(&forger.claims())?;
    let mut attacks: Vec<Attack> = Vec::new();
    for alg in ["ES384", "ES512", "EdDSA", "RS256", "PS256"] {
        let header = json!({ "alg": alg, "typ": "JWT", "kid": KEY }).to_string();
        let input = signing_input(header.as_bytes(), &claims);
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(forger.signature(&input)?));
        attacks.push((alg.to_owned(), token, "unknown_key"));
    }
    for alg in ["ES256K", "HS256", "none", "Ed25519", "ES256\0"] {
        let header = json!({ "alg": alg, "typ": "JWT", "kid": KEY }).to_string();
        attacks.push((
            alg.to_owned(),
            forger.sign(header.as_bytes(), &claims)?,
            "algorithm_not_allowed",
        ));
    }
    all_refused(&stage, attacks).await?;
    all_pass(&stage, vec![("ES256", forger.token(&Forger::header(), &forger.claims())?)]).await
}
