//! Session cookies that are not what they seem, sessions that should be over, and sessions that must not be.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, Grant, Mint, User};
use e2e::wait;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    browser::{Browser, callback, who},
    stage::{CLIENT_SECRET, Setup, Stage},
    tokens::code_of,
};

/// Short enough to be waited for; the gateway refreshes at half of it.
const TOKEN: Duration = Duration::from_secs(4);

/// A stage that people know by https, so that its cookies are `__Host-`.
async fn secure(name: &str) -> Result<Stage> {
    Setup::new(name)
        .with_client(|client| client.redirect_uri("https://localhost/oauth2/callback"))
        .with_plan(|plan| plan.with_public_url("https://localhost"))
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_counts_by_its_exact_name_and_once() -> Result<()> {
    let stage = secure("attack-cookie-names").await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let bob = Browser::signed_in(&stage, "bob").await?;
    let ((name, good), (_, other)) = (alice.session()?, bob.session()?);
    assert_eq!(name, "__Host-doorward");
    let tricks: Vec<Vec<u8>> = [
        "\u{2000}__Host-doorward=GOOD", "\u{a0}__Host-doorward=GOOD", "\u{feff}__Host-doorward=GOOD", "\u{85}__Host-doorward=GOOD",
        "\u{3000}__Host-doorward=GOOD", "$Version=1,__Host-doorward=GOOD", "$__Host-doorward=GOOD", "\"__Host-doorward\"=GOOD",
        "__Host-doorward=\"GOOD\"", "=__Host-doorward=GOOD", "__Host-doorward", "GOOD", "=GOOD", "__host-doorward=GOOD",
        "__HOST-DOORWARD=GOOD", "doorward=GOOD", "__Secure-doorward=GOOD", "__Host-__Host-doorward=GOOD", "__Host-doorward%20=GOOD",
        "%5f_Host-doorward=GOOD", "__Host-doorward =GOOD", "__Host-doorward==GOOD", "__Host-doorward=GOOD=", "__Host-doorward=GOOD,x",
        "__Host-doorward=GOOD; __Host-doorward=GOOD", "__Host-doorward=GOOD; __Host-doorward=OTHER", "__Host-doorward=OTHER; __Host-doorward=GOOD",
        "__Host-doorward=x; __Host-doorward=GOOD", "__Host-doorward=; __Host-doorward=GOOD", "__Host-doorward=GOOD; __Host-doorward.0=1OTHER",
        "__Host-doorward.0=9GOOD", "__Host-doorward.0=0GOOD", "__Host-doorward.0=99999999GOOD", "__Host-doorward.1=GOOD",
        "__Host-doorward.0=2GOOD", "__Host-doorward.4=GOOD", "__Host-doorward.00=1GOOD", "__Host-doorward_chunks=99999999",
        "__Host-doorward-login-AAAAAAAA=GOOD", "__Host-doorward=", "__Host-doorward=GOODGOOD", "__Host-doorward=../../../etc/passwd",
    ]
    .iter()
    .map(|trick| trick.replace("GOOD", &good).replace("OTHER", &other).into_bytes())
    .collect();
    let raw = [b"\x0b", b"\x0c", b"\xa0", b"\x85"].map(|blank| [&blank[..], format!("__Host-doorward={good}").as_bytes()].concat());
    for trick in tricks.into_iter().chain(raw) {
        let shown = String::from_utf8_lossy(&trick).into_owned();
        let answer = stage.get("/echo").header("Cookie", &trick).send().await.with_context(|| shown.clone())?;
        ensure!(matches!(answer.status, 400 | 401), "{shown}: {answer:?}");
    }
    // Two headers are one list (RFC 9113 §8.2.3), so the same holds.
    let twice = stage.get("/echo").header("Cookie", format!("{name}={good}")).header("Cookie", format!("{name}={other}"));
    ensure!(matches!(twice.send().await?.status, 400 | 401));
    assert_eq!(stage.reached(), Vec::<String>::new());
    for cookie in [
        format!("{name}={good}"), format!("a=b; {name}={good}; c=\"d e\""), format!("a=b;{name}={good};$Version=1"),
        format!("doorward=planted; {name}={good}; __Secure-doorward=planted"),
    ] {
        assert_eq!(who(&stage, &cookie).await?.as_deref(), Some("alice"), "{cookie}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_of_cookies_costs_little_and_shows_nothing() -> Result<()> {
    let stage = secure("attack-cookie-bombs").await?;
    let many: String = (0..2000).map(|number| format!("c{number}=x; ")).collect();
    let logins: String = (0..400).map(|number| format!("__Host-doorward-login-{number:08}=AAAA; ")).collect();
    let chunks: String = (0..900).map(|number| format!("__Host-doorward.{number}=9AAAA; ")).collect();
    let ours: String = std::iter::repeat_n("__Host-doorward=x; ", 900).collect();
    for bomb in [many, logins, chunks, ours, format!("__Host-doorward={}", "A".repeat(30_000)), ";".repeat(20_000), "=;".repeat(10_000)] {
        for target in ["/echo", "/oauth2/start?rd=/", "/public/x"] {
            let began = Instant::now();
            let answer = stage.get(target).header("Cookie", &bomb).send().await?;
            ensure!(answer.status < 500, "{target}: {answer:?}");
            ensure!(began.elapsed() < Duration::from_secs(1), "{target} took {:?}", began.elapsed());
            let back: usize = answer.headers("set-cookie").iter().map(|cookie| cookie.len()).sum();
            ensure!(back < 16_000, "{target} answers with {back} octets of cookies");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_abandoned_logins_leave_room_for_the_next() -> Result<()> {
    let stage = Stage::new("attack-abandoned").await?;
    let browser = Browser::new(&stage);
    for number in 0..40 {
        browser.begin(&format!("/echo/{number}?{}", "x".repeat(500))).await?;
        ensure!(browser.cookie().len() < 8_000, "{} octets after {number} logins", browser.cookie().len());
    }
    let answer = browser.sign_in_to("alice", "/echo/at-last").await?;
    assert_eq!(answer.header("location"), "/echo/at-last");
    assert_eq!(browser.open("/echo/at-last").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flipped_bit_of_a_cookie_is_nobody() -> Result<()> {
    for cookie_sessions in [false, true] {
        let name = if cookie_sessions { "attack-flips-sealed" } else { "attack-flips" };
        let stage = store(Setup::new(name), cookie_sessions).start().await?;
        let alice = Browser::signed_in(&stage, "alice").await?;
        let cookie = alice.cookie();
        let start = cookie.find('=').context("no cookie")? + 1;
        let step = ((cookie.len() - start) / 60).max(1);
        let mut wire = stage.connect().await?;
        let mut asked = 0;
        for at in (start..cookie.len()).step_by(step).chain([cookie.len() - 1]) {
            for bit in 0..7 {
                let mut flipped = cookie.clone().into_bytes();
                flipped[at] ^= 1 << bit;
                // Between two chunks the cookie's own syntax stands.
                if !flipped[at].is_ascii_graphic() || flipped[at] == b';' || matches!(cookie.as_bytes()[at], b'=' | b';' | b' ') {
                    continue;
                }
                let head = format!("GET /echo HTTP/1.1\r\nHost: {}\r\nCookie: ", stage.host());
                wire.send([head.as_bytes(), &flipped, b"\r\n\r\n"].concat()).await;
                let answer = wire.answer().await?;
                let renamed = flipped[..at].iter().rev().take_while(|octet| **octet != b';').all(|octet| *octet != b'=');
                ensure!(answer.status == 401 || renamed, "bit {bit} of octet {at}: {answer:?}");
                asked += 1;
            }
        }
        assert!(asked > 150, "only {asked} flips were tried");
        assert_eq!(stage.reached(), Vec::<String>::new());
        assert_eq!(alice.open("/echo").await?.status, 200);
        // Two seals of one person's session differ.
        let again = Browser::signed_in(&stage, "alice").await?;
        assert_ne!(again.cookie(), cookie);
    }
    Ok(())
}

fn store(setup: Setup, cookie_sessions: bool) -> Setup {
    if cookie_sessions { setup.with_plan(e2e::gateway::Plan::with_cookie_sessions) } else { setup }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_value_opens_under_its_own_name_only() -> Result<()> {
    let stage = store(Setup::new("attack-cookie-purpose"), true).start().await?;
    let browser = Browser::new(&stage);
    let at_provider = browser.begin("/echo").await?;
    let login = browser.cookie();
    let (login_name, login_value) = login.split_once('=').context("no login cookie")?;
    let swapped = format!("doorward={login_value}");
    assert_eq!(who(&stage, &swapped).await?, None, "a login cookie passed for a session");
    assert_eq!(who(&stage, format!("doorward.0=1{login_value}")).await?, None);
    // Another login's cookie under this one's name.
    let other = Browser::new(&stage);
    other.begin("/echo").await?;
    let other = other.cookie();
    let (_, other_value) = other.split_once('=').context("no login cookie")?;
    let target = callback(&stage, &at_provider, "alice")?;
    let answer = stage.get(&target).header("Cookie", format!("{login_name}={other_value}")).as_navigation().send().await?;
    ensure!(answer.status == 400 && answer.cookies().is_empty(), "{answer:?}");
    // A session, and the token of a sign-out form, under a login's name.
    let alice = Browser::signed_in(&stage, "alice").await?;
    let page = alice.open("/oauth2/sign_out").await?;
    let form = e2e::visitor::attribute(&page.body, "name=\"csrf\"", "value").context("no token")?;
    let session = alice.cookie();
    let session = session.split_once('=').context("no session")?.1;
    for value in [session, form.as_str()] {
        let answer = stage.get(&target).header("Cookie", format!("{login_name}={value}")).as_navigation().send().await?;
        ensure!(answer.status == 400 && answer.cookies().is_empty(), "{answer:?}");
    }
    assert_eq!(who(&stage, format!("doorward={form}")).await?, None, "a form's token passed for a session");
    assert_eq!(browser.open(&target).await?.status, 302);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_signed_out_by_another_site() -> Result<()> {
    let stage = Stage::new("attack-sign-out").await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let bob = Browser::signed_in(&stage, "bob").await?;
    let page = bob.open("/oauth2/sign_out").await?;
    let bobs = e2e::visitor::attribute(&page.body, "name=\"csrf\"", "value").context("no token")?;
    let page = alice.open("/oauth2/sign_out").await?;
    let own = e2e::visitor::attribute(&page.body, "name=\"csrf\"", "value").context("no token")?;
    let origin = stage.origin();
    for target in [
        "/oauth2/sign_out".to_owned(), format!("/oauth2/sign_out?csrf={own}"), "/oauth2/signed_out".to_owned(),
        "/oauth2/signed_out?state=switch:/".to_owned(), "/oauth2/backchannel_logout".to_owned(),
    ] {
        for method in ["GET", "HEAD"] {
            let asking = stage.ask(method, &target).as_navigation().header("Cookie", alice.cookie());
            let answer = asking.send().await?;
            ensure!(answer.status < 500, "{method} {target}: {answer:?}");
        }
    }
    for foreign in ["https://evil.test", "null", &format!("{origin}.evil.test"), &format!("{origin}0"), &origin.replace("http:", "https:"), ""] {
        let answer = alice.post("/oauth2/sign_out", foreign, &[("csrf", &own)]).await?;
        assert_eq!(answer.status, 403, "{foreign}: {answer:?}");
    }
    for site in ["cross-site", "same-site", "none"] {
        let asking = stage.post("/oauth2/sign_out").header("Sec-Fetch-Site", site).header("Cookie", alice.cookie());
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
async fn only_the_provider_ends_sessions_from_behind() -> Result<()> {
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
    let tell = async |token: &str| stage.post("/oauth2/backchannel_logout").form(&[("logout_token", token)]).send().await;
    let order = || Mint::logout("alice").client("gateway").sid(sid.as_str());
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let bad = [
        order().unsigned(), order().wrong_key(), order().hmac_with_public_key(), order().expired(), order().audience(["elsewhere"]),
        order().without("aud"), order().issuer("https://evil.test"), order().without("iss"), order().without("events"),
        order().claim("events", json!({ "https://evil.test/event": {} })), order().claim("events", json!({ event: "x" })),
        order().claim("events", json!([event])), order().claim("nonce", "n"), order().without("jti"), order().without("iat"),
        order().without("sid").without("sub"), order().claim("typ", "ID"), order().header("typ", "at+jwt"), order().header("crit", json!(["x"])),
        order().header("jwk", json!({})), order().claim("exp", "soon"), order().claim("sid", 1), order().claim("iat", 9_999_999_999_u64),
        Mint::id("alice").client("gateway").sid(sid.as_str()), Mint::access("alice").client("gateway").sid(sid.as_str()).audience(["gateway"]),
        Mint::refresh("alice").client("gateway").sid(sid.as_str()).audience(["gateway"]),
    ];
    for (number, order) in bad.into_iter().enumerate() {
        let shown = format!("{number}: {order:?}");
        let answer = tell(&stage.issuer.mint(order)?).await?;
        ensure!(answer.status == 400, "{shown}: {answer:?}");
    }
    for text in ["", "x", "a.b.c", &"x".repeat(20_000)] {
        assert_eq!(tell(text).await?.status, 400, "{text:.20}");
    }
    let good = stage.issuer.mint(order())?;
    let twice = stage.post("/oauth2/backchannel_logout").form(&[("logout_token", &good), ("logout_token", &good)]).send().await?;
    assert_eq!(twice.status, 400, "{twice:?}");
    let in_query = stage.post(&format!("/oauth2/backchannel_logout?logout_token={good}")).form(&[]).send().await?;
    assert_eq!(in_query.status, 400, "{in_query:?}");
    let got = stage.get(&format!("/oauth2/backchannel_logout?logout_token={good}")).send().await?;
    assert_eq!(got.status, 405, "{got:?}");
    let of_another = stage.issuer.mint(Mint::logout("alice").client("gateway").sid("another-session"))?;
    assert_eq!(tell(&of_another).await?.status, 200);
    let replayed = tell(&of_another).await?;
    assert_eq!((replayed.status, code_of(&replayed).as_str()), (400, "replayed_logout_token"));
    assert_eq!(alice.who().await?.as_deref(), Some("alice"));

    let obeyed = tell(&good).await?;
    assert_eq!((obeyed.status, obeyed.header("cache-control")), (200, "no-store"), "{obeyed:?}");
    assert_eq!(who(stage, &cookie).await?, None);
    // As the provider does it itself; and only alice's sessions end.
    let (alice, bob) = (Browser::signed_in(stage, "alice").await?, Browser::signed_in(stage, "bob").await?);
    ensure!(stage.issuer.end_session_for("alice").await > 0, "the gateway took no logout token");
    assert_eq!(alice.who().await?, None);
    assert_eq!(bob.who().await?.as_deref(), Some("bob"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_on_an_expired_token_make_one_refresh() -> Result<()> {
    for cookie_sessions in [false, true] {
        let name = if cookie_sessions { "attack-refresh-storm-sealed" } else { "attack-refresh-storm" };
        let setup = store(Setup::new(name), cookie_sessions);
        let stage = Arc::new(setup.with_issuer(|issuer| issuer.access_token_lifetime(TOKEN)).start().await?);
        let alice = Browser::signed_in(&stage, "alice").await?;
        let cookie = alice.cookie();
        sleep(TOKEN + Duration::from_millis(500)).await;
        let before = stage.issuer.token_requests_by_grant(Grant::RefreshToken);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..50 {
            let (stage, cookie) = (Arc::clone(&stage), cookie.clone());
            tasks.spawn(async move { stage.get(&format!("/echo/{number}")).header("Cookie", cookie).send().await });
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
    let (alice, bob) = (Browser::signed_in(&stage, "alice").await?, Browser::signed_in(&stage, "bob").await?);
    let cookie = alice.cookie();
    // The provider does not tell: the client has no logout address any more.
    stage.issuer.set_client(DevClient::confidential("gateway", CLIENT_SECRET).audience("gateway").redirect_uri(format!("{}/oauth2/callback", stage.origin())));
    assert_eq!(stage.issuer.end_session_for("alice").await, 0);
    assert_eq!(alice.open("/echo").await?.status, 200, "until then the token is good");
    sleep(TOKEN + Duration::from_millis(500)).await;
    // The first request may still be the one that finds out.
    let answer = alice.fetch("/echo").await?;
    ensure!(answer.status == 401, "{answer:?}");
    assert_eq!(who(&stage, &cookie).await?, None);
    assert_eq!(bob.open("/echo").await?.status, 200);
    Ok(())
}
