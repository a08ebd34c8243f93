//! Tokens in other places of a request, beside other credentials, and with unverified addresses.

use anyhow::Result;
use dev_issuer::Mint;
use serde_json::json;

use crate::{
    browser::Browser,
    stage::{Setup, Stage},
    tokens::code_of,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_in_the_authorization_header_only() -> Result<()> {
    let stage = Stage::new("attack-token-place").await?;
    let token = stage.issuer.mint(Mint::access("alice"))?;
    let bearer = format!("Bearer {token}");
    let form = [("access_token", token.as_str())];
    let elsewhere = [
        stage.get(&format!("/echo?access_token={token}")),
        stage.get(&format!("/echo?token={token}&jwt={token}")),
        stage.post("/echo").form(&form),
        stage.get("/echo").header(
            "Cookie",
            format!("access_token={token}; doorward={token}; Authorization={bearer}"),
        ),
        stage.get("/echo").header("X-Authorization", &bearer),
        stage.get("/echo").header("X-Forwarded-Access-Token", &token),
        stage.get("/echo").header("X-Auth-Request-Access-Token", &token),
        stage.get("/echo").header("Proxy-Authorization", &bearer),
        stage.get("/echo").header("Sec-WebSocket-Protocol", format!("bearer, {token}")),
        stage.get("/echo").header("Authorization", format!("Basic {token}")),
        stage.get("/echo").header("Authorization", &token),
    ];
    for (number, asking) in elsewhere.into_iter().enumerate() {
        let answer = asking.send().await?;
        assert_eq!(
            (answer.status, code_of(&answer).as_str()),
            (401, "login_needed"),
            "{number}: {answer:?}"
        );
    }
    assert_eq!(stage.reached(), Vec::<String>::new());
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let answer =
            stage.get("/echo").header("Authorization", format!("{scheme} {token}")).send().await?;
        assert_eq!(answer.status, 200, "{scheme}: {answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_address_identifies_no_user() -> Result<()> {
    const ROUTE: &str = "mail:\n  match: { path: /mail }\n  upstream: UPSTREAM\n  access: [{ allow: { emails: [alice@example.test] } }]\n";
    let stage = Setup::new("attack-token-email").with_routes(ROUTE).start().await?;
    let ask = async |order: Mint| {
        let token = stage.issuer.mint(order)?;
        anyhow::Ok(stage.get("/mail").bearer(&token).send().await?.status)
    };
    let mallory = || Mint::access("bob").claim("email", "alice@example.test");
    for unverified in [
        json!(false),
        json!("false"),
        json!("True"),
        json!("1"),
        json!(1),
        json!(null),
        json!(["true"]),
    ] {
        let status = ask(mallory().claim("email_verified", unverified.clone())).await?;
        assert_ne!(status, 200, "email_verified {unverified}");
    }
    assert_ne!(ask(mallory().without("email_verified")).await?, 200);
    for address in [
        "alice@example.test@evil.test",
        "evil@evil.test alice@example.test",
        "alice@example.test\0",
        "ALICE@example.test.evil.test",
    ] {
        let order = Mint::access("bob").claim("email", address).claim("email_verified", true);
        assert_ne!(ask(order).await?, 200, "{address:?}");
    }
    assert_eq!(stage.reached(), Vec::<String>::new());
    assert_eq!(ask(Mint::access("alice")).await?, 200);
    // Some providers write the boolean as a text.
    assert_eq!(ask(Mint::access("alice").claim("email_verified", "true")).await?, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_token_is_refused_even_beside_a_session() -> Result<()> {
    let stage = Stage::new("attack-token-beside").await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    let bad = stage.issuer.mint(Mint::access("alice").wrong_key())?;
    let answer = stage.get("/echo").bearer(&bad).header("Cookie", browser.cookie()).send().await?;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(stage.reached(), Vec::<String>::new());
    assert_eq!(browser.open("/echo").await?.status, 200);
    Ok(())
}
