//! Routes whose upstream receives a token that the caller's own was exchanged for (RFC 8693).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, Dialect, Endpoint, Fault, Grant, User};
use e2e::{token_text::claims, wait};
use serde_json::{Value, json};

use crate::{browser::Browser, forger::seconds, sign_outs::sign_out, stage::Setup, stage::Stage};

const PATIENCE: Duration = Duration::from_secs(30);

const ROUTES: &str = "\
scoring:
  match: { path: /scoring }
  upstream: UPSTREAM
  access: [{ path: /scoring/open/**, allow: anyone }, { allow: signed_in }]
  identity: { access_token: { exchange: { audience: churn, scopes: [score] } } }
sales:
  match: { path: /sales }
  upstream: UPSTREAM
  access: [{ allow: signed_in }]
  identity: { access_token: { exchange: { audience: sales } } }
unknown:
  match: { path: /unknown }
  upstream: UPSTREAM
  access: [{ allow: signed_in }]
  identity: { access_token: { exchange: { audience: nowhere } } }
";

fn setup(name: &str) -> Setup {
    let users = ["carol", "dave"];
    Setup::new(name)
        .with_client(|client| client.scope("score"))
        .with_issuer(move |issuer| {
            users
                .into_iter()
                .fold(issuer, |issuer, user| issuer.user(User::new(user, user)))
                .client(DevClient::confidential("churn", "x"))
                .client(DevClient::confidential("sales", "x"))
        })
        .with_routes(ROUTES)
}

/// The claims of the token that the upstream received with the last request for this path.
fn received(stage: &Stage, path: &str) -> Result<Value> {
    let seen = stage.upstream.last(path)?;
    let [value] = seen.values("authorization").try_into().ok().context("not one Authorization")?;
    claims(value.strip_prefix("Bearer ").context("another scheme")?)
}

fn exchanges(stage: &Stage) -> u64 {
    stage.issuer.token_requests_by_grant(Grant::TokenExchange)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_gets_a_token_for_itself_about_the_caller() -> Result<()> {
    let stage = setup("exchange-for-upstream").start().await?;
    let cookies = stage.sign_in("alice").await?;
    let own = stage.issuer.log_in("bob", "gateway", "openid")?.access_token;
    let by_session = stage.get("/scoring/a").header("Cookie", &cookies);
    // The client's own field is no way to choose the token.
    let by_session = by_session.header("Authorization", "token the-applications-own");
    assert_eq!(by_session.send().await?.status, 200);
    let of_alice = received(&stage, "/scoring/a")?;
    assert_eq!(stage.get("/scoring/b").bearer(&own).send().await?.status, 200);
    let of_bob = received(&stage, "/scoring/b")?;
    for (token, user) in [(&of_alice, "alice"), (&of_bob, "bob")] {
        assert_eq!(token["aud"], "churn");
        assert_eq!(token["preferred_username"], user);
        ensure!(token["scope"].as_str().is_some_and(|scope| scope.contains("score")), "{token}");
    }
    assert_eq!(of_bob["sub"], claims(&own)?["sub"]);
    let seen = stage.upstream.last("/scoring/b")?.head;
    ensure!(!String::from_utf8_lossy(&seen).contains(&own), "the caller's own token was sent");

    // Each audience has a token of its own; the same one is not asked for twice.
    assert_eq!(stage.get("/sales/c").header("Cookie", &cookies).send().await?.status, 200);
    assert_eq!(received(&stage, "/sales/c")?["aud"], "sales");
    assert_eq!(stage.get("/scoring/d").header("Cookie", &cookies).send().await?.status, 200);
    assert_eq!(received(&stage, "/scoring/d")?["jti"], of_alice["jti"]);
    assert_eq!(exchanges(&stage), 3);

    // An anonymous caller has no token, and brings none.
    let open = stage.get("/scoring/open/e").header("Authorization", "Basic eDp5").send().await?;
    assert_eq!(open.status, 200);
    assert_eq!(stage.upstream.last("/scoring/open/e")?.value("authorization"), None);
    assert_eq!(exchanges(&stage), 3);
    stage.finish(&[&cookies, &format!("t={own}")])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_requests_make_one_exchange() -> Result<()> {
    let stage = setup("exchange-once").start().await?;
    let cookies = stage.sign_in("alice").await?;
    stage.issuer.faults().set(Fault::Slow(Duration::from_secs(1)), Endpoint::Token);
    let asking = (0..200).map(|number| {
        let path = format!("/scoring/{number}");
        let (stage, cookies) = (&stage, &cookies);
        async move { Ok(stage.get(&path).header("Cookie", cookies).send().await?.status) }
    });
    let answers: Vec<Result<u16>> = futures_util::future::join_all(asking).await;
    for status in answers {
        assert_eq!(status?, 200);
    }
    assert_eq!(exchanges(&stage), 1);
    stage.finish(&[&cookies])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_out_user_leaves_no_token_to_the_next() -> Result<()> {
    let stage = setup("exchange-sign-out").start().await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    let old = browser.cookie();
    assert_eq!(browser.open("/scoring/a").await?.status, 200);
    let of_alice = received(&stage, "/scoring/a")?;
    sign_out(&browser, &stage, "/echo").await?;
    let before = stage.reached().len();
    let again = stage.get("/scoring/b").header("Cookie", &old).send().await?;
    assert_eq!(again.status, 401, "{again:?}");
    assert_eq!(stage.reached().len(), before, "nothing was sent");

    let bob = stage.sign_in("bob").await?;
    let both = format!("{bob}; unrelated=1");
    assert_eq!(stage.get("/scoring/c").header("Cookie", &both).send().await?.status, 200);
    let of_bob = received(&stage, "/scoring/c")?;
    assert_eq!(of_bob["preferred_username"], "bob");
    assert_ne!(of_bob["sub"], of_alice["sub"]);

    // The provider ends the session behind the gateway's back: the next exchange is refused, the session stays.
    stage.issuer.end_session_for("bob").await;
    let refused = wait::until("the end of bob's session", PATIENCE, async || {
        let answer = stage.get("/sales/d").header("Cookie", &bob).send().await?;
        Ok((answer.status != 200).then_some(answer))
    })
    .await?;
    ensure!(matches!(refused.status, 401 | 403), "{refused:?}");
    stage.finish(&[&old, &bob])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_an_exchange_has_its_answer() -> Result<()> {
    let stage = setup("exchange-failures").start().await?;
    let mut cookies = Vec::new();
    for user in ["alice", "bob", "carol", "dave"] {
        cookies.push(stage.sign_in(user).await?);
    }
    let [alice, bob, carol, dave] = cookies.try_into().ok().context("four users")?;
    let refused_by = async |path: &str, cookies: &str, status: u16, code: &str| -> Result<Value> {
        let before = stage.reached().len();
        let answer = stage.get(path).header("Cookie", cookies).send().await?;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_eq!(answer.json()?["code"], code);
        assert_eq!(stage.reached().len(), before, "{path}: nothing was sent");
        wait::until("the reason", PATIENCE, async || {
            let lines = stage.gateway.audit()?;
            Ok(lines.into_iter().find(|line| line["path"] == path))
        })
        .await
    };
    let line = refused_by("/unknown/a", &alice, 403, "exchange_refused").await?;
    ensure!(line["reason"].as_str().is_some_and(|why| why.contains("invalid_target")), "{line}");

    stage.issuer.faults().set(Fault::Html, Endpoint::Token);
    refused_by("/scoring/html", &alice, 502, "exchange_invalid").await?;
    stage.issuer.faults().clear();

    let kind = "urn:ietf:params:oauth:token-type:refresh_token";
    let usual = Dialect::new;
    for (path, dialect, cookies, word) in [
        ("kind", usual().token_answer("issued_token_type", json!(kind)), &bob, "issued_token_type"),
        ("none", usual().without_token_answer("issued_token_type"), &carol, "issued_token_type"),
        ("mac", usual().token_answer("token_type", json!("mac")), &dave, "token_type"),
    ] {
        stage.issuer.set_dialect(dialect);
        let path = format!("/scoring/{path}");
        let line = refused_by(&path, cookies, 502, "exchange_invalid").await?;
        ensure!(line["reason"].as_str().is_some_and(|why| why.contains(word)), "{line}");
    }
    stage.issuer.set_dialect(usual());

    stage.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    let answer = stage.get("/sales/down").header("Cookie", &alice).send().await?;
    assert_eq!(
        (answer.status, answer.json()?["code"].as_str()),
        (503, Some("provider_unavailable"))
    );
    ensure!(!answer.header("retry-after").is_empty(), "{answer:?}");
    stage.issuer.faults().clear();
    // No user was signed out, and each exchange works again after its wait.
    for cookies in [&alice, &bob, &carol, &dave] {
        wait::until("the exchange", Duration::from_secs(60), async || {
            let answer = stage.get("/scoring/again").header("Cookie", cookies).send().await?;
            ensure!(answer.status == 200, "{answer:?}");
            Ok(Some(()))
        })
        .await?;
    }
    stage.finish(&[&alice, &bob, &carol, &dave])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_holds_a_request_for_seconds() -> Result<()> {
    let stage = setup("exchange-hangs").start().await?;
    let cookies = stage.sign_in("alice").await?;
    stage.issuer.faults().set(Fault::Slow(Duration::from_secs(120)), Endpoint::Token);
    let client = e2e::visitor::plain_client()?;
    let asking = client.get(stage.world.url("/scoring/slow")).header("Cookie", &cookies);
    let answer = asking.timeout(Duration::from_secs(60)).send().await?;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.json::<Value>().await?["code"], "provider_unavailable");
    // Requests that need no token go on meanwhile.
    assert_eq!(stage.get("/echo").header("Cookie", &cookies).send().await?.status, 200);
    stage.finish(&[&cookies])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_never_gets_an_expired_token() -> Result<()> {
    let stage = setup("exchange-expiry")
        .with_client(|client| client.access_token_lifetime(Duration::from_secs(6)))
        .start()
        .await?;
    let cookies = stage.sign_in("alice").await?;
    let end = tokio::time::Instant::now() + Duration::from_secs(15);
    let mut tokens = std::collections::BTreeSet::new();
    while tokio::time::Instant::now() < end {
        let asked = seconds();
        let answer = stage.get("/scoring/x").header("Cookie", &cookies).send().await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let token = received(&stage, "/scoring/x")?;
        ensure!(token["exp"].as_u64().is_some_and(|exp| exp >= asked), "{asked}: {token}");
        tokens.insert(token["jti"].to_string());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    ensure!(tokens.len() >= 2, "it was exchanged again");
    stage.finish(&[&cookies])
}
