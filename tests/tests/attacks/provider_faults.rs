//! Faults of the provider: they sign no user in or out, and the gateway notices their end.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{Endpoint, Fault, Grant, Mint};
use e2e::{visitor::plain_client, wait};
use tokio::time::{Instant, sleep};

use crate::{
    browser::{Browser, callback, who},
    sessions::store,
    stage::{Setup, Stage},
    tokens::code_of,
};

/// Time in which the gateway notices that the provider is back.
const NOTICED: Duration = Duration::from_secs(6);
const TOKEN: Duration = Duration::from_secs(4);

async fn admin(stage: &Stage, page: &str) -> Result<(u16, String)> {
    let asking = plain_client()?.get(stage.gateway.admin_url(page)).timeout(Duration::from_secs(2));
    let answer = asking.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// Attempts a login: `true` when it ends with a session, `false` when it ends with an answer that gives the reason.
async fn login(stage: &Stage) -> Result<bool> {
    let browser = Browser::new(stage);
    let answer = stage.get("/oauth2/start?rd=/echo").navigating();
    let answer = browser.send(answer).await?;
    if answer.status != 302 {
        ensure!(answer.status == 503 && !answer.header("retry-after").is_empty(), "{answer:?}");
        return Ok(false);
    }
    let Ok(target) = callback(stage, &answer.location()?, "alice") else { return Ok(false) };
    let answer = browser.open(&target).await?;
    let signed_in = browser.who().await?.is_some();
    ensure!(signed_in == (answer.status == 302), "{answer:?}");
    ensure!(signed_in || matches!(answer.status, 400 | 502 | 503), "{answer:?}");
    Ok(signed_in)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_the_gateway_starts_and_names_it() -> Result<()> {
    let stage = Setup::new("bad-day-start").without_provider().start().await?;
    let began = Instant::now();
    wait::until("the admin listener", Duration::from_secs(5), async || {
        Ok((admin(&stage, "/healthz").await?.0 == 200).then_some(()))
    })
    .await?;
    ensure!(began.elapsed() < Duration::from_secs(4), "alive only after {:?}", began.elapsed());
    let (status, reasons) = admin(&stage, "/readyz").await?;
    ensure!(
        status == 503 && reasons.contains("main") && reasons.contains(stage.issuer.url()),
        "{status} {reasons}"
    );
    assert_eq!(stage.get("/public/page").send().await?.status, 200);
    let token = stage.issuer.mint(Mint::access("alice"))?;
    for asking in [stage.get("/echo").bearer(&token), stage.get("/oauth2/start?rd=/").navigating()]
    {
        let asked = Instant::now();
        let answer = asking.send().await?;
        ensure!(
            answer.status == 503 && answer.header("retry-after").parse::<u32>().is_ok(),
            "{answer:?}"
        );
        ensure!(asked.elapsed() < Duration::from_secs(4), "503 after {:?}", asked.elapsed());
    }
    // A page is never redirected to a provider that is away.
    let page = stage.get("/echo").navigating().send().await?;
    ensure!(page.status == 503 || page.header("location").starts_with("/oauth2/"), "{page:?}");

    stage.issuer.resume().await?;
    let back = Instant::now();
    wait::until("readiness", NOTICED, async || {
        Ok((admin(&stage, "/readyz").await?.0 == 200).then_some(()))
    })
    .await?;
    assert_eq!(stage.get("/echo").bearer(&token).send().await?.status, 200);
    ensure!(login(&stage).await?, "no login {:?} after the return", back.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_disturbs_no_signed_in_user() -> Result<()> {
    let stage = Stage::new("bad-day-away").await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let known = stage.issuer.mint(Mint::access("alice"))?;
    let unseen = stage.issuer.mint(Mint::access("bob"))?;
    let junk = stage.issuer.mint(Mint::access("bob").header("kid", "unknown"))?;
    assert_eq!(stage.get("/echo").bearer(&known).send().await?.status, 200);
    let half_way = Browser::new(&stage);
    let target = callback(&stage, &half_way.begin("/echo").await?, "bob")?;
    stage.issuer.stop().await;
    for _ in 0..50 {
        assert_eq!(alice.open("/echo").await?.status, 200);
        assert_eq!(stage.get("/echo").bearer(&known).send().await?.status, 200);
        assert_eq!(
            stage.get("/echo").bearer(&unseen).send().await?.status,
            200,
            "its key is known"
        );
        assert_eq!(stage.get("/public/x").send().await?.status, 200);
    }
    let refused = stage.get("/echo").bearer(&junk).send().await?;
    ensure!(matches!(refused.status, 401 | 503), "{refused:?}");
    let asked = Instant::now();
    ensure!(!login(&stage).await?, "a login without a provider");
    let answer = half_way.open(&target).await?;
    ensure!(answer.status == 503 && half_way.who().await?.is_none(), "{answer:?}");
    ensure!(asked.elapsed() < Duration::from_secs(6), "the answer took {:?}", asked.elapsed());
    stage.issuer.resume().await?;
    wait::until("a login", NOTICED, async || Ok(login(&stage).await?.then_some(()))).await?;
    assert_eq!(alice.open("/echo").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_never_makes_a_session() -> Result<()> {
    let faults = [
        ("garbage", Fault::Garbage),
        ("html", Fault::Html),
        ("huge", Fault::Huge),
        ("redirect", Fault::Redirect),
        ("cut", Fault::CutOff),
        ("down", Fault::Down(500)),
        ("drip", Fault::Drip),
        ("slow", Fault::Slow(Duration::from_secs(40))),
    ];
    let days = faults.map(async |(name, fault)| {
        with_fault(name, fault).await.with_context(|| format!("{fault:?}"))
    });
    futures_util::future::try_join_all(days).await.map(drop)
}

async fn with_fault(name: &str, fault: Fault) -> Result<()> {
    let stage = Stage::new(&format!("bad-day-{name}")).await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let token = stage.issuer.mint(Mint::access("bob"))?;
    for endpoint in [Endpoint::Token, Endpoint::Par, Endpoint::Jwks] {
        stage.issuer.faults().set(fault, endpoint);
        if endpoint == Endpoint::Jwks {
            // An unknown key id makes the gateway fetch the keys again.
            let junk = stage.issuer.mint(Mint::access("alice").header("kid", "another"))?;
            let answer = stage.get("/echo").bearer(&junk).send().await?;
            ensure!(matches!(answer.status, 401 | 503), "{answer:?}");
        } else {
            let asked = Instant::now();
            ensure!(!login(&stage).await?, "a session from an invalid answer of {endpoint:?}");
            ensure!(
                asked.elapsed() < Duration::from_secs(10),
                "{endpoint:?}: answered after {:?}",
                asked.elapsed()
            );
        }
        assert_eq!(alice.open("/echo").await?.status, 200, "{endpoint:?}");
        assert_eq!(stage.get("/echo").bearer(&token).send().await?.status, 200, "{endpoint:?}");
        stage.issuer.faults().clear();
    }
    assert_eq!(stage.issuer.requests(Endpoint::RedirectTarget), 0, "a redirect was followed");
    wait::until("a login", NOTICED, async || Ok(login(&stage).await?.then_some(()))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_refresh_answer_costs_one_login_at_most() -> Result<()> {
    for cookie_sessions in [false, true] {
        let setup =
            Setup::new(if cookie_sessions { "bad-day-lost-sealed" } else { "bad-day-lost" });
        let setup = if cookie_sessions {
            setup.with_plan(e2e::gateway::Plan::with_cookie_sessions)
        } else {
            setup
        };
        let stage = setup.with_issuer(|issuer| issuer.access_token_lifetime(TOKEN)).start().await?;
        let (alice, bob) =
            (Browser::signed_in(&stage, "alice").await?, Browser::signed_in(&stage, "bob").await?);
        stage.issuer.faults().set(Fault::CutOff, Endpoint::Token);
        sleep(TOKEN + Duration::from_millis(300)).await;
        // The provider used the token up, and its answer was lost.
        let first = alice.open("/echo").await?;
        ensure!(matches!(first.status, 200 | 302 | 503), "{first:?}");
        ensure!(stage.issuer.token_requests_by_grant(Grant::RefreshToken) == 1);
        stage.issuer.faults().clear();
        // In every case one login signs the user in again.
        let mut redirects = 0;
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            ensure!(Instant::now() < deadline, "neither served nor sent to sign in");
            let answer = alice.open("/echo").await?;
            match answer.status {
                302 => {
                    redirects += 1;
                    ensure!(redirects == 1, "sent to sign in again");
                    ensure!(alice.sign_in("alice").await?.status == 302);
                    ensure!(
                        alice.open("/echo").await?.status == 200,
                        "not served after signing in again"
                    );
                    break;
                }
                200 | 503 => sleep(Duration::from_millis(300)).await,
                _ => anyhow::bail!("{answer:?}"),
            }
        }
        assert_eq!(alice.open("/echo").await?.status, 200);
        assert_eq!(bob.open("/echo").await?.status, 200, "another session is untouched");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn key_changes_fail_no_request_of_signed_in_users() -> Result<()> {
    let stage = Arc::new(Stage::new("bad-day-rotation").await?);
    let alice = Browser::signed_in(&stage, "alice").await?;
    let working = {
        let (stage, cookie) = (Arc::clone(&stage), alice.cookie());
        tokio::spawn(async move {
            let (mut served, deadline) = (0_u32, Instant::now() + Duration::from_secs(4));
            while Instant::now() < deadline {
                let token = stage.issuer.mint(Mint::access("bob").claim("n", served))?;
                for asking in [
                    stage.get("/echo").bearer(&token),
                    stage.get("/echo").header("Cookie", &cookie),
                ] {
                    let answer = asking.send().await?;
                    ensure!(answer.status == 200, "{} {answer:?}", code_of(&answer));
                }
                served += 1;
            }
            anyhow::Ok(served)
        })
    };
    for _ in 0..3 {
        sleep(Duration::from_secs(1)).await;
        stage.issuer.rotate_keys().await?;
    }
    let served = working.await??;
    assert!(served > 20, "only {served} rounds");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_session_and_brings_none_back() -> Result<()> {
    let mut stage = Stage::new("bad-day-kill").await?;
    let mut cookies = Vec::new();
    let mut left = Vec::new();
    for number in 0..50 {
        let person = if number % 2 == 0 { "alice" } else { "bob" };
        let browser = Browser::signed_in(&stage, person).await?;
        if number % 10 == 9 {
            left.push(browser.cookie());
            let page = browser.open("/oauth2/sign_out").await?;
            let csrf = e2e::visitor::form_token(&page.body)?;
            let answer =
                browser.post("/oauth2/sign_out", &stage.origin(), &[("csrf", &csrf)]).await?;
            assert_eq!(answer.status, 303, "{answer:?}");
        } else {
            cookies.push((person, browser.cookie()));
        }
    }
    stage.gateway.kill_and_restart().await?;
    for (person, cookie) in &cookies {
        assert_eq!(who(&stage, cookie).await?.as_deref(), Some(*person));
    }
    for cookie in &left {
        assert_eq!(who(&stage, cookie).await?, None, "an ended session is back");
    }
    assert_eq!((cookies.len(), left.len()), (45, 5));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_within_a_refresh_costs_one_login_at_most() -> Result<()> {
    for cookie_sessions in [false, true] {
        let setup =
            Setup::new(if cookie_sessions { "bad-day-torn-sealed" } else { "bad-day-torn" });
        let setup = store(setup, cookie_sessions);
        let mut stage =
            setup.with_issuer(|issuer| issuer.access_token_lifetime(TOKEN)).start().await?;
        let cookie = Browser::signed_in(&stage, "alice").await?.cookie();
        sleep(TOKEN + Duration::from_millis(300)).await;
        // The provider has used the token up, and its answer is still on the way.
        stage.issuer.faults().set(Fault::Slow(Duration::from_secs(3)), Endpoint::Token);
        let mut wire = stage.connect().await?;
        let host = stage.host();
        wire.send(format!("GET /echo HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n")).await;
        sleep(Duration::from_secs(1)).await;
        stage.gateway.kill_and_restart().await?;
        stage.issuer.faults().clear();
        assert_eq!(stage.issuer.token_requests_by_grant(Grant::RefreshToken), 1);

        let back = Instant::now();
        wait::until("a valid answer", Duration::from_secs(10), async || {
            let asking = stage.get("/echo").navigating().header("Cookie", &cookie);
            let answer = asking.send().await?;
            ensure!(matches!(answer.status, 200 | 302 | 503), "{answer:?}");
            Ok((answer.status == 302).then_some(()))
        })
        .await?;
        ensure!(back.elapsed() < Duration::from_secs(10));
        let browser = Browser::signed_in(&stage, "alice").await?;
        assert_eq!(browser.open("/echo").await?.status, 200);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flapping_provider_disturbs_no_signed_in_user() -> Result<()> {
    let stage = Stage::new("bad-day-flapping").await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let token = stage.issuer.mint(Mint::access("bob"))?;
    for _ in 0..3 {
        stage.issuer.stop().await;
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            assert_eq!(alice.open("/echo").await?.status, 200);
            assert_eq!(stage.get("/echo").bearer(&token).send().await?.status, 200);
        }
        stage.issuer.resume().await?;
        // A login succeeds as soon as it is back: earlier failures delay nothing.
        wait::until("a login", NOTICED, async || Ok(login(&stage).await?.then_some(()))).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_end_together_are_not_refreshed_together() -> Result<()> {
    const PEOPLE: usize = 60;
    let setup = Setup::new("bad-day-thundering");
    let lifetime = Duration::from_secs(6);
    let stage = setup.with_issuer(|issuer| issuer.access_token_lifetime(lifetime)).start().await?;
    let mut cookies = Vec::new();
    for number in 0..PEOPLE {
        let person = if number % 2 == 0 { "alice" } else { "bob" };
        cookies.push(Browser::signed_in(&stage, person).await?.cookie());
    }
    let until = Instant::now() + 2 * lifetime;
    while Instant::now() < until {
        let asking =
            cookies.iter().map(|cookie| stage.get("/echo").header("Cookie", cookie).send());
        for answer in futures_util::future::try_join_all(asking).await? {
            ensure!(answer.status == 200, "{answer:?}");
        }
        sleep(Duration::from_millis(200)).await;
    }
    let grants = stage.issuer.token_requests_by_grant(Grant::RefreshToken);
    let most = u64::try_from(PEOPLE)? * 6;
    ensure!(grants <= most, "{grants} refreshes for {PEOPLE} people in two lifetimes");
    assert_eq!(stage.issuer.refresh_reuse_detected(), 0);
    Ok(())
}

/// Time for which an identity outlives its token while the provider is down.
const GRACE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn public_pages_are_served_to_users_of_a_dead_provider() -> Result<()> {
    for cookie_sessions in [false, true] {
        let name = if cookie_sessions { "bad-day-public-sealed" } else { "bad-day-public" };
        let setup = store(Setup::new(name), cookie_sessions);
        let lifetime = Duration::from_secs(2);
        let stage =
            setup.with_issuer(|issuer| issuer.access_token_lifetime(lifetime)).start().await?;
        let browser = Browser::signed_in(&stage, "alice").await?;
        stage.issuer.stop().await;
        sleep(lifetime + GRACE + Duration::from_secs(1)).await;
        assert_eq!(browser.open("/echo").await?.status, 503, "{name}: the identity is needed");
        let answer = browser.open("/public/page").await?;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let sent = stage.upstream.last("/public")?;
        assert_eq!(sent.value("x-forwarded-user"), None, "{name}: without the old identity");
        assert_eq!(sent.value("x-doorward-assertion"), None, "{name}");
        stage.issuer.resume().await?;
        wait::until("the session", Duration::from_secs(40), async || {
            Ok((browser.open("/echo").await?.status == 200).then_some(()))
        })
        .await?;
    }
    Ok(())
}
