//! Last use of each route by each person, on the admin listener.

use std::time::Duration;

use anyhow::{Result, ensure};
use dev_issuer::Mint;
use e2e::wait;
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    open_streams::{SOON, socket},
    stage::{Setup, Stage},
};

/// Status and body of a question about activity.
async fn ask(stage: &Stage, query: &str) -> Result<(u16, String)> {
    let url = stage.gateway.admin_url(&format!("/activity{query}"));
    let answer = e2e::visitor::plain_client()?.get(url).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// User, route and open streams of each use, sorted by route.
async fn uses(stage: &Stage, query: &str) -> Result<Vec<(String, String, u64)>> {
    let (status, body) = ask(stage, query).await?;
    ensure!(status == 200, "{query}: {status} {body}");
    let body: Value = serde_json::from_str(&body)?;
    ensure!(body["since"].is_string(), "{body}");
    let text = |used: &Value, name: &str| used[name].as_str().unwrap_or_default().to_owned();
    let listed = body["activity"].as_array().cloned().unwrap_or_default();
    let mut uses: Vec<_> = listed
        .iter()
        .map(|used| {
            (text(used, "user"), text(used, "route"), used["streams"].as_u64().unwrap_or(99))
        })
        .collect();
    uses.sort_by(|one, other| one.1.cmp(&other.1));
    Ok(uses)
}

fn used(user: &str, route: &str, streams: u64) -> (String, String, u64) {
    (user.to_owned(), route.to_owned(), streams)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_knows_when_each_person_last_used_it() -> Result<()> {
    let stage = Stage::new("activity").await?;
    let alice = stage.sign_in("alice").await?;
    let bob = stage.sign_in("bob").await?;
    assert_eq!(uses(&stage, "").await?, [], "a sign-in uses no route");

    let mut ws = socket(&stage, "/ws", &[("cookie", &alice)]).await?;
    assert_eq!(stage.get("/echo").header("Cookie", &alice).send().await?.status, 200);
    // Neither what is refused, nor what an unknown caller or a program does, is the use of a person.
    assert_eq!(stage.get("/admin").header("Cookie", &bob).send().await?.status, 403);
    assert_eq!(stage.get("/public/x").send().await?.status, 200);
    let token = stage.issuer.mint(Mint::access("bob").client("gateway"))?;
    assert_eq!(stage.get("/echo").bearer(&token).send().await?.status, 200);
    assert_eq!(uses(&stage, "").await?, [used("alice", "echo", 0), used("alice", "ws", 1)]);

    // A message of the browser is activity; an hour has not passed.
    sleep(Duration::from_millis(2200)).await;
    ws.ask("still here").await?;
    assert_eq!(uses(&stage, "?idle_for=2s").await?, [used("alice", "echo", 0)]);
    assert_eq!(uses(&stage, "?idle_for=2s&route=ws").await?, []);
    assert_eq!(uses(&stage, "?idle_for=1h").await?, []);
    assert_eq!(uses(&stage, "?route=ws").await?, [used("alice", "ws", 1)]);

    drop(ws);
    wait::until("the end of the stream", SOON, async || {
        Ok((uses(&stage, "?route=ws").await? == [used("alice", "ws", 0)]).then_some(()))
    })
    .await?;
    // The session ends; when its user was last there is still known.
    let listed: Value = serde_json::from_str(&ask(&stage, "").await?.1)?;
    let subject = listed["activity"][0]["subject"].as_str().unwrap_or_default();
    let url = stage.gateway.admin_url(&format!("/sessions?user={subject}"));
    let ended = e2e::visitor::plain_client()?.delete(url).send().await?;
    ensure!(ended.status().is_success(), "{}", ended.status());
    assert_eq!(stage.get("/echo").header("Cookie", &alice).send().await?.status, 401);
    assert_eq!(uses(&stage, "").await?, [used("alice", "echo", 0), used("alice", "ws", 0)]);
    stage.finish(&[&alice, &bob])
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_events_are_activity_of_their_route() -> Result<()> {
    let stage = Stage::new("activity-bodies").await?;
    let alice = stage.sign_in("alice").await?;
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: HOST\r\nCookie: {alice}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut upload = stage.connect().await?;
    upload.send(stage.filled(head.as_bytes())).await;
    let mut events = stage.connect().await?;
    let head =
        format!("GET /echo/sse?n=40&ms=100 HTTP/1.1\r\nHost: HOST\r\nCookie: {alice}\r\n\r\n");
    for _ in 0..12 {
        upload.send("4\r\nbyte\r\n").await;
        sleep(Duration::from_millis(200)).await;
        assert_eq!(uses(&stage, "?idle_for=2s").await?, []);
    }
    upload.send("0\r\n\r\n").await;
    assert_eq!(upload.answer().await?.status, 200);
    events.send(stage.filled(head.as_bytes())).await;
    wait::until("an open stream", SOON, async || {
        Ok((uses(&stage, "").await? == [used("alice", "echo", 1)]).then_some(()))
    })
    .await?;
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(uses(&stage, "?idle_for=2s").await?, []);
    drop(events);
    wait::until("the end of the stream", SOON, async || {
        Ok((uses(&stage, "").await? == [used("alice", "echo", 0)]).then_some(()))
    })
    .await?;
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_asks_is_use_of_the_route() -> Result<()> {
    let routes = "asked:\n  match: { path: /asked }\n  access: [{ allow: signed_in }]\n";
    let setup = Setup::new("activity-asked").with_routes(routes).trusting_proxies();
    let stage = setup.start().await?;
    let alice = stage.sign_in("alice").await?;
    let asking = stage.get("/oauth2/auth").header("X-Forwarded-Uri", "/asked/x");
    assert_eq!(asking.header("Cookie", &alice).send().await?.status, 202);
    assert_eq!(uses(&stage, "").await?, [used("alice", "asked", 0)]);
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_question_about_activity_is_refused() -> Result<()> {
    let stage = Stage::new("activity-questions").await?;
    for query in [
        "?route=nowhere",
        "?route=",
        "?route=echo&route=ws",
        "?idle_for=1",
        "?idle_for=soon",
        "?idle_for=-1h",
        "?idle=1h",
        "?Route=echo",
    ] {
        let (status, body) = ask(&stage, query).await?;
        assert_eq!(status, 400, "{query}: {body}");
    }
    assert_eq!(ask(&stage, "?route=echo&idle_for=1h%2030m").await?.0, 200);
    stage.finish(&[])
}
