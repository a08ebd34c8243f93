//! Providers that answer differently from Keycloak: users sign in, and no difference gives them more than the provider says.

use std::time::Duration;

use anyhow::{Result, ensure};
use dev_issuer::{Dialect, Endpoint, Fault, Grant, Mint};
use e2e::wait;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    browser::Browser,
    login_flow::parameter,
    stage::{Setup, Stage},
    tokens::code_of,
};

/// Lifetime of access tokens where a test waits for their end.
const SHORT: Duration = Duration::from_secs(3);

async fn refreshed(browser: &Browser<'_>, stage: &Stage) -> Result<()> {
    // The gateway does not refresh a token younger than five seconds on request.
    sleep(Duration::from_millis(5200)).await;
    let answer = browser.post("/oauth2/session/refresh", &stage.origin(), &[]).await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

/// A header of the last request that reached the upstream.
pub(crate) fn sent(stage: &Stage, name: &str) -> Result<Option<String>> {
    Ok(stage.upstream.last("/")?.value(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_issuer_is_reached_by_two_names() -> Result<()> {
    let setup = Setup::new("provider-split").reached_elsewhere();
    let stage = setup.with_issuer(|issuer| issuer.access_token_lifetime(SHORT)).start().await?;
    assert!(stage.issuer.url().starts_with("https://id.example/"));
    let browser = Browser::new(&stage);
    let at_provider = browser.begin("/echo").await?;
    assert_eq!(at_provider.host_str(), Some("id.example"), "browsers get the public name");
    assert_eq!(browser.sign_in("alice").await?.status, 302);
    assert_eq!(browser.open("/echo").await?.status, 200);
    let token = stage.issuer.mint(Mint::access("alice"))?;
    assert_eq!(stage.get("/echo").bearer(&token).send().await?.status, 200);
    sleep(SHORT + Duration::from_millis(200)).await;
    assert_eq!(browser.open("/echo").await?.status, 200, "and it is refreshed there");
    let foreign =
        Mint::access("alice").issuer(format!("http://{}/realms/dev", stage.issuer.addr()));
    let foreign = stage.issuer.mint(foreign)?;
    let answer = stage.get("/echo").bearer(&foreign).send().await?;
    assert_eq!(
        (answer.status, &*code_of(&answer)),
        (401, "wrong_issuer"),
        "the address is no issuer"
    );
    assert_eq!(stage.issuer.end_session_for("alice").await, 1);
    assert_eq!(browser.fetch("/echo").await?.status, 401);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn loosely_written_answers_sign_users_in() -> Result<()> {
    let scope = json!(["openid", "profile", "email"]);
    let dialects = [
        ("text", Dialect::new().lifetimes_as_text()),
        ("float", Dialect::new().token_answer("expires_in", json!(300.0))),
        ("no type", Dialect::new().without_token_answer("token_type")),
        ("scope list", Dialect::new().token_answer("scope", scope)),
        ("null", Dialect::new().token_answer("refresh_expires_in", json!(null))),
        (
            "empty",
            Dialect::new()
                .token_answer("refresh_expires_in", json!(""))
                .token_answer("session_state", json!(null)),
        ),
    ];
    let stage = Setup::new("provider-loose").start().await?;
    for (name, dialect) in dialects {
        stage.issuer.set_dialect(dialect);
        let browser = Browser::signed_in(&stage, "alice").await?;
        assert_eq!(browser.open("/echo").await?.status, 200, "{name}");
        refreshed(&browser, &stage).await?;
        assert_eq!(browser.open("/echo").await?.status, 200, "{name}");
    }
    // A credential of another type is refused, for good.
    stage.issuer.set_dialect(Dialect::new().token_answer("id_token", json!(7)));
    let answer = Browser::new(&stage).sign_in("alice").await?;
    assert_eq!(answer.status, 400, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_lifetime_causes_no_refresh_per_request() -> Result<()> {
    let dialect = Dialect::new().without_lifetimes().without_id_token_on_refresh();
    let setup = Setup::new("provider-undated").with_client(|client| client.opaque_access_tokens());
    let stage = setup.with_issuer(|issuer| issuer.dialect(dialect)).start().await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    refreshed(&browser, &stage).await?;
    for _ in 0..5 {
        assert_eq!(browser.open("/echo").await?.status, 200);
    }
    assert_eq!(stage.issuer.token_requests_by_grant(Grant::RefreshToken), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_without_an_id_token_keeps_its_claims() -> Result<()> {
    let dialect = Dialect::new().minimal_access_token().without_id_token_on_refresh();
    let setup = Setup::new("provider-refresh-bare").with_issuer(|issuer| issuer.dialect(dialect));
    let stage = setup.start().await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    for _ in 0..2 {
        assert_eq!(browser.open("/admin/x").await?.status, 200);
        for (name, value) in [
            ("x-forwarded-preferred-username", "alice"),
            ("x-forwarded-groups", "/lab"),
            ("x-forwarded-roles", "admin"),
        ] {
            let found = sent(&stage, name)?.unwrap_or_default();
            assert!(found.contains(value), "{name}: {found}");
        }
        assert!(sent(&stage, "x-forwarded-email")?.is_some());
        refreshed(&browser, &stage).await?;
    }
    // What the new access token says about roles holds, not what the former one said.
    stage.issuer.set_user(dev_issuer::User::new("alice", "alice"));
    refreshed(&browser, &stage).await?;
    assert_eq!(browser.open("/admin/x").await?.status, 403);
    assert_eq!(browser.open("/echo").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_never_takes_over_another_subject() -> Result<()> {
    let stage = Setup::new("provider-refresh-other").start().await?;
    let foreign = stage.issuer.mint(Mint::access("alice"))?;
    let bob = Browser::signed_in(&stage, "bob").await?;
    assert_eq!(bob.open("/admin/x").await?.status, 403);
    let dialect = Dialect::new().without_id_token_on_refresh();
    stage.issuer.set_dialect(dialect.refresh_answer("access_token", json!(foreign)));
    sleep(Duration::from_millis(5200)).await;
    let answer = bob.post("/oauth2/session/refresh", &stage.origin(), &[]).await?;
    assert_eq!(answer.status, 401, "the session ends: {answer:?}");
    assert_eq!(bob.fetch("/admin/x").await?.status, 401);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_refresh_tokens_the_configuration_decides() -> Result<()> {
    const TOKENS: &str = "\
token:
  match: { path: /token }
  upstream: UPSTREAM
  access: [{ allow: signed_in }]
  identity: { access_token: true }
";
    for cookie_sessions in [false, true] {
        for keeps in [false, true] {
            let store = if cookie_sessions { "cookie" } else { "file" };
            let mut setup = Setup::new(&format!("provider-norefresh-{store}-{keeps}"))
                .with_routes(TOKENS)
                .with_issuer(|issuer| {
                    issuer
                        .access_token_lifetime(SHORT)
                        .dialect(Dialect::new().without_refresh_tokens())
                });
            if keeps {
                setup = setup.with_plan(|plan| {
                    plan.with_issuer_setting("without_refresh: keep_identity")
                        .with_session_setting("lifetime: 9s")
                        .with_session_setting("idle: 9s")
                });
            }
            let stage = crate::sessions::store(setup, cookie_sessions).start().await?;
            let browser = Browser::signed_in(&stage, "alice").await?;
            let began = Instant::now();
            assert_eq!(browser.open("/token").await?.status, 200);
            assert!(sent(&stage, "authorization")?.is_some());
            sleep(SHORT + Duration::from_millis(400)).await;
            let expected = if keeps { 200 } else { 401 };
            assert_eq!(browser.fetch("/echo").await?.status, expected, "{store} {keeps}");
            if keeps {
                assert_eq!(
                    sent(&stage, "x-forwarded-preferred-username")?.as_deref(),
                    Some("alice")
                );
                assert_eq!(browser.fetch("/token").await?.status, 200);
                assert_eq!(sent(&stage, "authorization")?, None, "no expired token is sent");
                sleep(Duration::from_millis(9300).saturating_sub(began.elapsed())).await;
                assert_eq!(browser.fetch("/echo").await?.status, 401, "its own limits hold");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_parameters_are_in_the_login_request() -> Result<()> {
    let setup = Setup::new("provider-parameters").with_plan(|plan| {
        plan.with_issuer_setting("pushed_authorization: never").with_issuer_setting(
            "authorization: { prompt: login, kc_idp_hint: corp, max_age: \"3600\" }",
        )
    });
    let stage = setup.start().await?;
    let browser = Browser::new(&stage);
    let url = browser.begin("/echo").await?;
    for (name, value) in [("prompt", "login"), ("kc_idp_hint", "corp"), ("max_age", "3600")] {
        assert_eq!(parameter(url.as_str(), name)?, value);
    }
    assert_eq!(browser.sign_in("alice").await?.status, 302);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_goes_where_the_provider_takes_it() -> Result<()> {
    let setup = Setup::new("provider-post");
    let stage = setup
        .with_issuer(|issuer| issuer.dialect(Dialect::new().secrets_in_body_only()))
        .start()
        .await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(browser.open("/echo").await?.status, 200);
    refreshed(&browser, &stage).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_known_is_no_bad_token() -> Result<()> {
    let stage = Setup::new("provider-keys-away").start().await?;
    let old = stage.issuer.mint(Mint::access("alice"))?;
    assert_eq!(stage.get("/echo").bearer(&old).send().await?.status, 200);
    stage.issuer.faults().set(Fault::Down(503), Endpoint::Jwks);
    stage.issuer.rotate_keys().await?;
    let new = stage.issuer.mint(Mint::access("alice"))?;
    // The second refusal comes while the pause between failed fetches runs.
    for _ in 0..2 {
        let answer = stage.get("/echo").bearer(&new).send().await?;
        assert_eq!((answer.status, &*code_of(&answer)), (503, "keys_unavailable"), "{answer:?}");
        assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{answer:?}");
    }
    assert_eq!(stage.get("/echo").bearer(&old).send().await?.status, 200, "known keys still serve");
    let fetches = stage.issuer.requests(Endpoint::Jwks);
    let flooded = Instant::now();
    for _ in 0..50 {
        assert_eq!(stage.get("/echo").bearer(&new).send().await?.status, 503);
    }
    let more = stage.issuer.requests(Endpoint::Jwks) - fetches;
    assert!(more <= 1 + flooded.elapsed().as_secs(), "{more} fetches in {:?}", flooded.elapsed());
    stage.issuer.faults().clear();
    wait::until("the new key", Duration::from_secs(6), async || {
        Ok((stage.get("/echo").bearer(&new).send().await?.status == 200).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_without_names_are_rotated_at_once() -> Result<()> {
    let dialect = Dialect::new().without_key_ids();
    let setup = Setup::new("provider-nameless").with_issuer(|issuer| issuer.dialect(dialect));
    let stage = setup.start().await?;
    let old = stage.issuer.mint(Mint::access("alice"))?;
    assert_eq!(stage.get("/echo").bearer(&old).send().await?.status, 200);
    stage.issuer.rotate_keys().await?;
    stage.issuer.remove_old_keys();
    let fetches = stage.issuer.requests(Endpoint::Jwks);
    let new = stage.issuer.mint(Mint::access("alice"))?;
    let answer = stage.get("/echo").bearer(&new).send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(stage.get("/echo").bearer(&old).send().await?.status, 401, "the former key is gone");
    for _ in 0..30 {
        let forged = stage.issuer.mint(Mint::access("alice").wrong_key())?;
        assert_eq!(stage.get("/echo").bearer(&forged).send().await?.status, 401);
    }
    let more = stage.issuer.requests(Endpoint::Jwks) - fetches;
    assert!(more <= 3, "forged tokens cause {more} fetches");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_ends_sessions_that_have_no_sid() -> Result<()> {
    let setup = Setup::new("provider-no-sid");
    let stage = setup
        .with_issuer(|issuer| issuer.dialect(Dialect::new().without_id_token("sid")))
        .start()
        .await?;
    let (alice, bob) =
        (Browser::signed_in(&stage, "alice").await?, Browser::signed_in(&stage, "bob").await?);
    assert_eq!(stage.issuer.end_session_for("alice").await, 1);
    assert_eq!(alice.fetch("/echo").await?.status, 401);
    assert_eq!(bob.fetch("/echo").await?.status, 200, "another subject stays");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_during_the_code_exchange_is_not_lost() -> Result<()> {
    let stage = Setup::new("provider-logout-race").start().await?;
    let browser = Browser::new(&stage);
    let at_provider = browser.begin("/echo").await?;
    let target = crate::browser::callback(&stage, &at_provider, "alice")?;
    stage.issuer.faults().set(Fault::Slow(Duration::from_secs(2)), Endpoint::Token);
    let (answer, delivered) = tokio::join!(browser.open(&target), async {
        sleep(Duration::from_millis(700)).await;
        stage.issuer.end_session_for("alice").await
    });
    let answer = answer?;
    assert_eq!(delivered, 1);
    assert_eq!((answer.status, &*code_of(&answer)), (400, ""), "{answer:?}");
    assert_eq!(browser.fetch("/echo").await?.status, 401);
    stage.issuer.faults().clear();
    let again = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(again.open("/echo").await?.status, 200, "a later sign-in is another session");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_introspected_token_without_exp_is_good_for_the_cache_time() -> Result<()> {
    let setup = Setup::new("provider-introspection-undated")
        .with_client(|client| client.opaque_access_tokens())
        .with_issuer(|issuer| issuer.dialect(Dialect::new().without_introspection("exp")))
        .with_plan(|plan| plan.with_issuer_setting("introspection: { cache: 2s }"));
    let stage = setup.start().await?;
    let token = stage.issuer.log_in("alice", "gateway", "openid")?.access_token;
    for _ in 0..3 {
        let answer = stage.get("/echo").bearer(&token).send().await?;
        ensure!(answer.status == 200 && !answer.body.is_empty(), "the answer is whole: {answer:?}");
    }
    assert_eq!(stage.issuer.requests(Endpoint::Introspection), 1);
    stage.issuer.end_session_for("alice").await;
    wait::until("the refusal", Duration::from_secs(4), async || {
        Ok((stage.get("/echo").bearer(&token).send().await?.status == 401).then_some(()))
    })
    .await
}
