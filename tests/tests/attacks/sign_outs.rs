//! Sign-outs: tokens that end with the session, and sessions that end with the provider's.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{Endpoint, User};
use e2e::wait;

use crate::{
    browser::Browser,
    open_streams::{closes, socket},
    stage::{Setup, Stage},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Signs out by the form of the page; the answer.
pub(crate) async fn sign_out(
    browser: &Browser<'_>,
    stage: &Stage,
    rd: &str,
) -> Result<e2e::wire::Answer> {
    let asked = browser.open("/oauth2/sign_out").await?;
    let csrf = e2e::visitor::form_token(&asked.body)?;
    browser.post("/oauth2/sign_out", &stage.origin(), &[("csrf", &csrf), ("rd", rd)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_revokes_the_refresh_token() -> Result<()> {
    let stage = Stage::new("sign-out-revokes").await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(stage.issuer.requests(Endpoint::Revocation), 0);
    sign_out(&browser, &stage, "/echo").await?;
    wait::until("the revocation", PATIENCE, async || {
        Ok((stage.issuer.requests(Endpoint::Revocation) == 1).then_some(()))
    })
    .await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_delays_no_sign_out() -> Result<()> {
    let stage = Stage::new("sign-out-provider-down").await?;
    let browser = Browser::signed_in(&stage, "alice").await?;
    stage.issuer.stop().await;
    let left = tokio::time::timeout(Duration::from_secs(2), sign_out(&browser, &stage, "/echo"));
    assert_eq!(left.await??.status, 303);
    assert_eq!(browser.who().await?, None);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_to_sign_out_at_fits_a_request_line() -> Result<()> {
    let groups = (0..200).map(|group| format!("/a/group/with/a/long/name/{group}"));
    let carol = User::new("carol", "carol").groups(groups);
    let setup = Setup::new("sign-out-hint").with_issuer(|issuer| issuer.user(carol));
    let stage = setup.start().await?;
    let long = format!("/echo?{}", "x".repeat(6000));
    for (person, rd, hint, state) in [
        ("alice", "/echo?a=b", true, "/echo?a=b"),
        ("alice", long.as_str(), true, "/"),
        ("carol", "/echo?a=b", false, "/echo?a=b"),
        ("carol", long.as_str(), false, "/"),
    ] {
        let browser = Browser::signed_in(&stage, person).await?;
        let left = sign_out(&browser, &stage, rd).await?;
        let location = left.location()?;
        ensure!(location.as_str().len() <= 4096, "{person}: {} bytes", location.as_str().len());
        let value = |name: &str| {
            location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        assert_eq!(value("id_token_hint").is_some(), hint, "{person}: {location}");
        assert_eq!(value("state").as_deref(), Some(state), "{person}: {location}");
        assert_eq!(value("client_id").as_deref(), Some("gateway"));
    }
    stage.finish(&[])
}

/// A front-channel logout as the provider's page has the browser send it: without a cookie of ours.
pub(crate) async fn framed(stage: &Stage, pairs: &[(&str, &str)]) -> Result<e2e::wire::Answer> {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let asking = stage.get(&format!("/oauth2/frontchannel_logout?{query}"));
    asking.header("Sec-Fetch-Mode", "navigate").header("Sec-Fetch-Dest", "iframe").send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frontchannel_logout_ends_the_session_and_its_streams() -> Result<()> {
    let stage = Stage::new("frontchannel-logout").await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let bob = Browser::signed_in(&stage, "bob").await?;
    let sid = stage.issuer.session_ids("alice").pop().context("no session at the provider")?;
    let other = stage.issuer.session_ids("bob").pop().context("no session at the provider")?;
    let mut open = socket(&stage, "/ws", &[("cookie", &alice.cookie())]).await?;
    let mut bobs = socket(&stage, "/ws", &[("cookie", &bob.cookie())]).await?;
    let iss = stage.issuer.url().to_owned();

    // Anything but both, once each and right, ends nothing.
    let slash = format!("{iss}/");
    for (pairs, status) in [
        (&[("iss", iss.as_str())][..], 400),
        (&[("sid", sid.as_str())], 400),
        (&[("iss", &iss), ("sid", "")], 400),
        (&[("iss", "https://evil.test"), ("sid", &sid)], 400),
        (&[("iss", slash.as_str()), ("sid", &sid)], 400),
        (&[("iss", "main"), ("sid", &sid)], 400),
        (&[("iss", &iss), ("sid", &sid), ("sid", &other)], 400),
        (&[("iss", &iss), ("iss", "https://evil.test"), ("sid", &sid)], 400),
        (&[("iss", &iss), ("sid", "unknown")], 200),
        (&[("iss", &iss), ("sid", "alice")], 200),
    ] {
        let answer = framed(&stage, pairs).await?;
        assert_eq!(answer.status, status, "{pairs:?}: {answer:?}");
        assert_eq!(alice.who().await?.as_deref(), Some("alice"), "{pairs:?}");
    }
    let posted = stage.post("/oauth2/frontchannel_logout").form(&[("iss", &iss), ("sid", &sid)]);
    assert_eq!(posted.send().await?.status, 405);

    let answer = framed(&stage, &[("iss", &iss), ("sid", &sid)]).await?;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    let origin = url::Url::parse(&iss)?.origin().ascii_serialization();
    let policy = answer.header("content-security-policy");
    assert!(policy.ends_with(&format!("frame-ancestors {origin}")), "{policy}");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(alice.who().await?, None);
    closes(&mut open, PATIENCE).await?;
    assert_eq!(bob.who().await?.as_deref(), Some("bob"), "another session stays");
    assert_eq!(bobs.ask("still").await?, "still");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frontchannel_logout_ends_sessions_in_cookies() -> Result<()> {
    let setup = Setup::new("frontchannel-logout-cookies");
    let stage = setup.with_plan(|plan| plan.with_cookie_sessions()).start().await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let copied = alice.cookie();
    let sid = stage.issuer.session_ids("alice").pop().context("no session at the provider")?;
    assert_eq!(framed(&stage, &[("iss", stage.issuer.url()), ("sid", &sid)]).await?.status, 200);
    assert_eq!(alice.who().await?, None);
    assert_eq!(crate::browser::who(&stage, copied).await?, None);
    stage.finish(&[])
}
