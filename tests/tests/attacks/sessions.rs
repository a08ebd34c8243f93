//! Sessions that must end, and sessions that must not.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, Grant, Mint, User};
use e2e::wait;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    browser::{Browser, who},
    stage::{CLIENT_SECRET, Setup, Stage},
    tokens::code_of,
};

/// Lifetime of access tokens; the gateway refreshes after half of it.
const TOKEN: Duration = Duration::from_secs(4);

/// With sessions in the sealed cookie, or in the file.
pub(crate) fn store(setup: Setup, cookie_sessions: bool) -> Setup {
    if cookie_sessions { setup.with_plan(e2e::gateway::Plan::with_cookie_sessions) } else { setup }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_signs_no_user_out() -> Result<()> {
    let stage = Stage::new("attack-sign-out").await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let bob = Browser::signed_in(&stage, "bob").await?;
    let page = bob.open("/oauth2/sign_out").await?;
    let bobs = e2e::visitor::form_token(&page.body)?;
    let page = alice.open("/oauth2/sign_out").await?;
    let own = e2e::visitor::form_token(&page.body)?;
    let origin = stage.origin();
    for target in [
        "/oauth2/sign_out".to_owned(),
        format!("/oauth2/sign_out?csrf={own}"),
        "/oauth2/signed_out".to_owned(),
        "/oauth2/signed_out?state=switch:/".to_owned(),
        "/oauth2/backchannel_logout".to_owned(),
    ] {
        for method in ["GET", "HEAD"] {
            let asking = stage.ask(method, &target).navigating().header("Cookie", alice.cookie());
            let answer = asking.send().await?;
            ensure!(answer.status < 500, "{method} {target}: {answer:?}");
        }
    }
    for foreign in [
        "https://evil.test",
        "null",
        &format!("{origin}.evil.test"),
        &format!("{origin}0"),
        &origin.replace("http:", "https:"),
        "",
    ] {
        let answer = alice.post("/oauth2/sign_out", foreign, &[("csrf", &own)]).await?;
        assert_eq!(answer.status, 403, "{foreign}: {answer:?}");
    }
    for site in ["cross-site", "same-site", "none"] {
        let asking = stage
            .post("/oauth2/sign_out")
            .header("Sec-Fetch-Site", site)
            .header("Cookie", alice.cookie());
        assert_eq!(asking.form(&[("csrf", &own)]).send().await?.status, 403, "{site}");
    }
    for token in ["", "x", bobs.as_str(), &own[..own.len() - 2]] {
        let answer = alice.post("/oauth2/sign_out", &origin, &[("csrf", token)]).await?;
        assert_eq!(answer.status, 403, "{token}: {answer:?}");
    }
    assert_eq!(alice.post("/oauth2/sign_out", &origin, &[]).await?.status, 403);
    let twice = alice.post("/oauth2/sign_out", &origin, &[("csrf", &own), ("csrf", &own)]).await?;
    assert_eq!(twice.status, 400, "{twice:?}");
    assert_eq!(alice.who().await?.as_deref(), Some("alice"));

    let cookie = alice.cookie();
    let left = alice.post("/oauth2/sign_out", &origin, &[("csrf", &own)]).await?;
    assert_eq!(left.status, 303, "{left:?}");
    assert_eq!(alice.cookie(), "", "the browser keeps a cookie");
    assert_eq!(who(&stage, &cookie).await?, None, "the old cookie still opens the session");
    assert_eq!(bob.who().await?.as_deref(), Some("bob"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_provider_ends_sessions_by_logout_tokens() -> Result<()> {
    for cookie_sessions in [false, true] {
        let name = if cookie_sessions { "attack-backchannel-sealed" } else { "attack-backchannel" };
        backchannel(&store(Setup::new(name), cookie_sessions).start().await?).await?;
    }
    Ok(())
}

async fn backchannel(stage: &Stage) -> Result<()> {
    let alice = Browser::signed_in(stage, "alice").await?;
    let cookie = alice.cookie();
    let sid = stage.issuer.session_ids("alice").pop().context("no session at the provider")?;
    let send = async |token: &str| {
        stage.post("/oauth2/backchannel_logout").form(&[("logout_token", token)]).send().await
    };
    let order = || Mint::logout("alice").client("gateway").sid(sid.as_str());
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let bad = [
        order().unsigned(),
        order().wrong_key(),
        order().hmac_with_public_key(),
        order().expired(),
        order().audience(["elsewhere"]),
        order().without("aud"),
        order().issuer("https://evil.test"),
        order().without("iss"),
        order().without("events"),
        order().claim("events", json!({ "https://evil.test/event": {} })),
        order().claim("events", json!({ event: "x" })),
        order().claim("events", json!([event])),
        order().claim("nonce", "n"),
        order().without("jti"),
        order().without("iat"),
        order().without("sid").without("sub"),
        order().claim("typ", "ID"),
        order().header("typ", "at+jwt"),
        order().header("crit", json!(["x"])),
        order().header("jwk", json!({})),
        order().claim("exp", "soon"),
        order().claim("sid", 1),
        order().claim("iat", 9_999_999_999_u64),
        Mint::id("alice").client("gateway").sid(sid.as_str()),
        Mint::access("alice").client("gateway").sid(sid.as_str()).audience(["gateway"]),
        Mint::refresh("alice").client("gateway").sid(sid.as_str()).audience(["gateway"]),
    ];
    for (number, order) in bad.into_iter().enumerate() {
        let shown = format!("{number}: {order:?}");
        let answer = send(&stage.issuer.mint(order)?).await?;
        ensure!(answer.status == 400, "{shown}: {answer:?}");
    }
    for text in ["", "x", "a.b.c", &"x".repeat(20_000)] {
        assert_eq!(send(text).await?.status, 400, "{text:.20}");
    }
    let good = stage.issuer.mint(order())?;
    let twice = stage
        .post("/oauth2/backchannel_logout")
        .form(&[("logout_token", &good), ("logout_token", &good)])
        .send()
        .await?;
    assert_eq!(twice.status, 400, "{twice:?}");
    let in_query = stage
        .post(&format!("/oauth2/backchannel_logout?logout_token={good}"))
        .form(&[])
        .send()
        .await?;
    assert_eq!(in_query.status, 400, "{in_query:?}");
    let got = stage.get(&format!("/oauth2/backchannel_logout?logout_token={good}")).send().await?;
    assert_eq!(got.status, 405, "{got:?}");
    let of_another =
        stage.issuer.mint(Mint::logout("alice").client("gateway").sid("another-session"))?;
    assert_eq!(send(&of_another).await?.status, 200);
    let replayed = send(&of_another).await?;
    assert_eq!((replayed.status, code_of(&replayed).as_str()), (400, "replayed_logout_token"));
    assert_eq!(alice.who().await?.as_deref(), Some("alice"));

    let obeyed = send(&good).await?;
    assert_eq!((obeyed.status, obeyed.header("cache-control")), (200, "no-store"), "{obeyed:?}");
    assert_eq!(who(stage, &cookie).await?, None);
    // As the provider itself does; only alice's sessions end.
    let (alice, bob) =
        (Browser::signed_in(stage, "alice").await?, Browser::signed_in(stage, "bob").await?);
    ensure!(
        stage.issuer.end_session_for("alice").await > 0,
        "the gateway accepted no logout token"
    );
    assert_eq!(alice.who().await?, None);
    assert_eq!(bob.who().await?.as_deref(), Some("bob"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_on_an_expired_token_make_one_refresh() -> Result<()> {
    for cookie_sessions in [false, true] {
        let name =
            if cookie_sessions { "attack-refresh-storm-sealed" } else { "attack-refresh-storm" };
        let setup = store(Setup::new(name), cookie_sessions);
        let stage = Arc::new(
            setup.with_issuer(|issuer| issuer.access_token_lifetime(TOKEN)).start().await?,
        );
        let alice = Browser::signed_in(&stage, "alice").await?;
        let cookie = alice.cookie();
        sleep(TOKEN + Duration::from_millis(500)).await;
        let before = stage.issuer.token_requests_by_grant(Grant::RefreshToken);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..50 {
            let (stage, cookie) = (Arc::clone(&stage), cookie.clone());
            tasks.spawn(async move {
                stage.get(&format!("/echo/{number}")).header("Cookie", cookie).send().await
            });
        }
        while let Some(answer) = tasks.join_next().await {
            let answer = answer??;
            ensure!(answer.status == 200, "{name}: {answer:?}");
        }
        let grants = stage.issuer.token_requests_by_grant(Grant::RefreshToken) - before;
        assert_eq!((grants, stage.issuer.refresh_reuse_detected()), (1, 0), "{name}");
        // The browser that held on to the old cookie, and the one that took the new one, go on.
        assert_eq!(stage.get("/echo").header("Cookie", &cookie).send().await?.status, 200);
        assert_eq!(alice.open("/echo").await?.status, 200);
        sleep(TOKEN + Duration::from_millis(500)).await;
        assert_eq!(alice.open("/echo").await?.status, 200);
        assert_eq!(stage.issuer.refresh_reuse_detected(), 0, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_was_taken_away_is_gone_after_the_refresh() -> Result<()> {
    let setup = Setup::new("attack-stale-role");
    let stage = setup.with_issuer(|issuer| issuer.access_token_lifetime(TOKEN)).start().await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(alice.open("/admin/x").await?.status, 200);
    stage.issuer.set_user(User::new("alice", "alice"));
    let taken = Instant::now();
    wait::until("the refusal", TOKEN + Duration::from_secs(2), async || {
        Ok((alice.open("/admin/x").await?.status == 403).then_some(()))
    })
    .await?;
    ensure!(taken.elapsed() <= TOKEN + Duration::from_secs(2));
    assert_eq!(alice.open("/echo").await?.status, 200, "everything else goes on");
    stage.issuer.set_user(User::new("alice", "alice").roles(["admin"]));
    sleep(TOKEN).await;
    alice.open("/admin/x").await?;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(alice.open("/admin/x").await?.status, 200, "and comes back with the role");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_was_disabled_is_out_at_the_next_refresh() -> Result<()> {
    let setup = Setup::new("attack-disabled");
    let stage = setup.with_issuer(|issuer| issuer.access_token_lifetime(TOKEN)).start().await?;
    let (alice, bob) =
        (Browser::signed_in(&stage, "alice").await?, Browser::signed_in(&stage, "bob").await?);
    let cookie = alice.cookie();
    // The provider sends no logout token: the client has no logout address any more.
    stage.issuer.set_client(
        DevClient::confidential("gateway", CLIENT_SECRET)
            .audience("gateway")
            .redirect_uri(format!("{}/oauth2/callback", stage.origin())),
    );
    assert_eq!(stage.issuer.end_session_for("alice").await, 0);
    assert_eq!(alice.open("/echo").await?.status, 200, "until then the token is valid");
    sleep(TOKEN + Duration::from_millis(500)).await;
    // The first request may still be the one that starts the refresh.
    let answer = alice.fetch("/echo").await?;
    ensure!(answer.status == 401, "{answer:?}");
    assert_eq!(who(&stage, &cookie).await?, None);
    assert_eq!(bob.open("/echo").await?.status, 200);
    Ok(())
}
