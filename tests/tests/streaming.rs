//! Streams arrive as they are made, in both directions, for as long as they take.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{
    World,
    gateway::Plan,
    visitor::{Manner, Visitor, plain_client},
};
use futures_util::StreamExt as _;
use reqwest::Method;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_server_sent_events_arrives_event_by_event() -> Result<()> {
    const EVENTS: usize = 61;
    let world = World::new("streaming")?;
    let (realm, api) = (world.realm().await?, world.model_api().await?);
    // Shorter than the stream: these time-outs apply to the response's head and to silence only.
    let routes = format!(
        "churn:
  match: {{ path: /models/churn }}
  upstream: {}
  access: [{{ allow: signed_in }}]
  timeouts: {{ connect: 5s, response_head: 10s, idle: 10s }}",
        api.url()
    );
    let gateway = Plan::new(&world, &realm, &routes)?.start().await?;
    let visitor = Visitor::new()?;
    visitor.log_in(&world.url("/models/churn/health"), "alice").await?;

    let url = world.url(&format!("/models/churn/answers?n={EVENTS}&ms=1000"));
    let cookie = visitor.cookies(&url)?;
    let answer = plain_client()?
        .get(&url)
        .header("cookie", cookie)
        .header("accept", "text/event-stream")
        .header("sec-fetch-mode", "cors")
        .send()
        .await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    assert_eq!(
        answer.headers()["content-type"].to_str()?.split(';').next(),
        Some("text/event-stream")
    );
    let began = Instant::now();
    let mut arrivals = Vec::new();
    let mut text = String::new();
    let mut stream = answer.bytes_stream();
    while let Some(chunk) = stream.next().await {
        text.push_str(std::str::from_utf8(&chunk?)?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            assert_eq!(event, format!("id: {0}\ndata: token {0}", arrivals.len()));
            arrivals.push(began.elapsed());
            text = rest.to_owned();
        }
    }
    assert_eq!(arrivals.len(), EVENTS);
    assert!(began.elapsed() >= Duration::from_secs(60));
    assert!(arrivals[0] < Duration::from_secs(5), "the first at once: {:?}", arrivals[0]);
    let mut together = 0;
    for (index, pair) in arrivals.windows(2).enumerate() {
        let gap = pair[1] - pair[0];
        assert!(gap < Duration::from_secs(8), "event {} came {gap:?} late", index + 1);
        together += usize::from(gap < Duration::from_millis(200));
    }
    // A machine with other work lets a few come together; a buffer on the way lets most.
    assert!(together < EVENTS / 4, "{together} events came with the one before");
    gateway.finish(&visitor.cookie_values())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_arrives_whole() -> Result<()> {
    let world = World::new("streaming-upload")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let routes = format!(
        "files:\n  match: {{ path: / }}\n  upstream: {}\n  access: [{{ allow: signed_in }}]\n  limits: {{ body: 30MiB }}",
        echo.url()
    );
    let gateway = Plan::new(&world, &realm, &routes)?.start().await?;
    let token = realm.client_credentials("airflow-run", None).await?;
    let piece: Vec<u8> = (0..1 << 20).map(|index: u32| (index % 251) as u8).collect();
    let pieces = 20;
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(
        std::iter::repeat_n(piece.clone(), pieces).map(Ok::<_, std::io::Error>),
    ));
    let url = world.url("/upload");
    let answer = plain_client()?.put(&url).bearer_auth(&token).body(body).send().await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    // Closes the connection: a client that neither reads nor closes delays the gateway's end.
    drop(answer);
    let seen = echo.last("/upload")?;
    assert_eq!(seen.method(), "PUT");
    assert!(seen.body == piece.repeat(pieces), "{} bytes arrived", seen.body.len());

    let too_large = "x".repeat(31 << 20);
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    let visitor = Visitor::new()?;
    // The gateway may close while the client still writes: then there is no answer to read.
    let sent = visitor.send(Method::PUT, &url, Manner::Program, &headers, Some(too_large)).await;
    if let Ok(answer) = sent.context("closed") {
        assert_eq!(answer.status, 413, "{}", answer.body);
    }
    gateway.finish(&[token])
}
