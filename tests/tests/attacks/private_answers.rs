//! Answers that carry a session's cookie: private, at once, and sufficient for another replica.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{
    World,
    gateway::{Gateway, Plan},
    wire::Answer,
};
use tokio::time::sleep;

use crate::stage::{CLIENT_SECRET, Setup, Stage};

/// Lifetime of access tokens: a refresh is due after half of it.
const LIFETIME: Duration = Duration::from_secs(8);
/// After this a refresh is due and the token is still valid.
const DUE: Duration = Duration::from_secs(5);

/// Sessions in sealed cookies, short access tokens, and a provider that takes each refresh token once.
async fn stage(name: &str) -> Result<Stage> {
    Setup::new(name)
        .with_issuer(|issuer| issuer.access_token_lifetime(LIFETIME).refresh_token_rotation(true))
        .with_plan(|plan| plan.with_cookie_sessions().with("trusted_proxies: [127.0.0.0/8]"))
        .start()
        .await
}

/// A second gateway with the same issuer, upstream and session key.
async fn replica(stage: &Stage, world: &World) -> Result<Gateway> {
    let upstream = stage.upstream.url();
    let routes = format!(
        "echo:\n  match: {{ path: /echo }}\n  upstream: {upstream}\n  access: [{{ allow: signed_in }}]"
    );
    let plan = Plan::with_client(world, stage.issuer.url(), CLIENT_SECRET, &routes)?;
    plan.with_cookie_sessions().start().await
}

/// The cookie that an answer gives in the place of the one the request came with.
fn renewed(answer: &Answer) -> Result<String> {
    let cookies = answer.cookies().join("; ");
    ensure!(!cookies.is_empty(), "no cookie came with {answer:?}");
    Ok(cookies)
}

fn assert_private(answer: &Answer) {
    assert_eq!(answer.headers("cache-control"), ["private, no-store"], "{answer:?}");
    let vary = answer.headers("vary").join(",").to_ascii_lowercase();
    assert!(vary.split(',').any(|name| name.trim() == "cookie"), "{answer:?}");
    for name in ["expires", "cdn-cache-control", "surrogate-control", "x-accel-expires"] {
        assert!(answer.headers(name).is_empty(), "{name}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_a_session_cookie_is_private() -> Result<()> {
    let stage = stage("attack-private").await?;
    let mut cookies = vec![stage.sign_in("alice").await?];
    // Without a gateway cookie the upstream's fields stay, except for shared caches where not anyone may call.
    for (target, expected) in [
        ("/echo/cacheable", "private, max-age=86400"),
        ("/public/cacheable", "public, max-age=86400"),
    ] {
        let plain = stage.get(target).header("Cookie", &cookies[0]).send().await?;
        assert_eq!(plain.header("cache-control"), expected, "{target}");
        assert!(plain.headers("set-cookie").is_empty(), "{plain:?}");
    }
    for target in ["/echo/cacheable", "/public/cacheable", "/oauth2/userinfo", "/oauth2/auth"] {
        sleep(DUE).await;
        let current = cookies.last().cloned().unwrap_or_default();
        let ask = stage.get(target).header("Cookie", &current);
        let answer = ask.header("X-Forwarded-Uri", "/echo").send().await?;
        assert!(matches!(answer.status, 200 | 202), "{target}: {answer:?}");
        assert_private(&answer);
        cookies.push(renewed(&answer)?);
    }
    assert_eq!(stage.issuer.refresh_reuse_detected(), 0);
    let cookies: Vec<&str> = cookies.iter().map(String::as_str).collect();
    stage.finish(&cookies)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_cookie_is_on_that_very_answer() -> Result<()> {
    let mut stage = stage("attack-refresh-answer").await?;
    let mut cookies = vec![stage.sign_in("bob").await?];
    // A page, a refusal, a refused question, and a WebSocket: each carries the new cookie.
    for (target, status) in [("/echo", 200), ("/admin/x", 403), ("/oauth2/auth", 403), ("/ws", 101)]
    {
        sleep(DUE).await;
        let current = cookies.last().cloned().unwrap_or_default();
        let ask = stage.get(target).header("Cookie", &current);
        let ask = match status {
            101 => ask
                .header("Origin", stage.origin())
                .header("Connection", "Upgrade")
                .header("Upgrade", "websocket")
                .header("Sec-WebSocket-Version", "13")
                .header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
            _ => ask.header("X-Forwarded-Uri", "/admin/x"),
        };
        let answer = ask.send().await?;
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        assert_private(&answer);
        cookies.push(renewed(&answer)?);
        // Nothing but the cookie survives: the next refresh uses the refresh token that is in it.
        stage.gateway.kill_and_restart().await?;
    }
    sleep(DUE).await;
    let last = cookies.last().cloned().unwrap_or_default();
    assert_eq!(stage.get("/echo").header("Cookie", &last).send().await?.status, 200);
    assert_eq!(stage.issuer.refresh_reuse_detected(), 0, "a spent refresh token was used again");
    let cookies: Vec<&str> = cookies.iter().map(String::as_str).collect();
    stage.finish(&cookies)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_cookie_is_valid_at_another_replica() -> Result<()> {
    let stage = stage("attack-refresh-replica").await?;
    let world = World::new("attack-refresh-replica-2")?;
    let replica = replica(&stage, &world).await?;
    let other = format!("http://localhost:{}/echo", world.public_port());
    let client = e2e::visitor::plain_client()?;

    let mut cookies = vec![stage.sign_in("alice").await?];
    for _ in 0..2 {
        sleep(DUE).await;
        let current = cookies.last().cloned().unwrap_or_default();
        let answer = stage.get("/echo").header("Cookie", &current).send().await?;
        assert_eq!(answer.status, 200);
        cookies.push(renewed(&answer)?);
        sleep(DUE).await;
        let current = cookies.last().cloned().unwrap_or_default();
        let answer = client.get(&other).header("cookie", &current).send().await?;
        assert_eq!(answer.status().as_u16(), 200);
        let values = answer.headers().get_all("set-cookie").iter();
        let pairs: Vec<&str> = values
            .filter_map(|value| value.to_str().ok()?.split(';').next())
            .filter(|pair| !pair.ends_with('='))
            .collect();
        assert!(!pairs.is_empty(), "the replica refreshed and did not send the cookie");
        cookies.push(pairs.join("; "));
    }
    assert_eq!(stage.issuer.refresh_reuse_detected(), 0, "a spent refresh token was used again");
    let values: Vec<&str> = cookies.iter().map(String::as_str).collect();
    replica.finish(&cookies)?;
    stage.finish(&values)
}

#[tokio::test(flavor = "multi_thread")]
async fn refreshing_on_demand_gives_the_new_cookie() -> Result<()> {
    let mut stage = stage("attack-refresh-demand").await?;
    let first = stage.sign_in("alice").await?;
    sleep(DUE).await;
    let ask = stage.post("/oauth2/session/refresh").header("Cookie", &first);
    let answer = ask.header("Origin", stage.origin()).send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_private(&answer);
    let second = renewed(&answer)?;
    stage.gateway.kill_and_restart().await?;
    sleep(DUE).await;
    assert_eq!(stage.get("/echo").header("Cookie", &second).send().await?.status, 200);
    assert_eq!(stage.issuer.refresh_reuse_detected(), 0);
    stage.finish(&[&first, &second])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_cache_keeps_no_protected_answer() -> Result<()> {
    let stage = Stage::new("attack-shared-cache").await?;
    let cookie = stage.sign_in("alice").await?;
    let token = stage.issuer.mint(dev_issuer::Mint::access("alice").client("gateway"))?;
    let bearer = format!("Bearer {token}");
    for (name, value) in [("Cookie", cookie.as_str()), ("Authorization", bearer.as_str())] {
        let answer = stage.get("/echo/cacheable").header(name, value).send().await?;
        assert_eq!(answer.headers("cache-control"), ["private, max-age=86400"], "{name}");
        for name in ["cdn-cache-control", "surrogate-control", "x-accel-expires"] {
            assert!(answer.headers(name).is_empty(), "{name}: {answer:?}");
        }
        // Without fields of the upstream the cache could choose.
        let answer = stage.get("/echo").header(name, value).send().await?;
        assert_eq!(answer.headers("cache-control"), ["private"], "{name}");
    }
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_cookie_ends_no_session_at_another_replica() -> Result<()> {
    let stage = stage("attack-old-cookie").await?;
    let world = World::new("attack-old-cookie-2")?;
    let replica = replica(&stage, &world).await?;
    let other = format!("http://localhost:{}/echo", world.public_port());
    let client = e2e::visitor::plain_client()?;
    let there = async |cookie: &str| -> Result<u16> {
        Ok(client.get(&other).header("cookie", cookie).send().await?.status().as_u16())
    };

    let old = stage.sign_in("alice").await?;
    sleep(DUE).await;
    let answer = stage.get("/echo").header("Cookie", &old).send().await?;
    assert_eq!(answer.status, 200);
    let new = renewed(&answer)?;
    // Its refresh token is spent: the provider refuses it.
    assert_eq!(there(&old).await?, 401);
    assert_eq!(there(&new).await?, 200, "the session lives");
    assert_eq!(there(&old).await?, 401);
    assert_eq!(stage.get("/echo").header("Cookie", &new).send().await?.status, 200);
    replica.finish(&[old.clone(), new.clone()])?;
    stage.finish(&[&old, &new])
}
