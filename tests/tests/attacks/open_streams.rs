//! Open streams: judged again when roles, groups or rules change, and closed when they would now be refused.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevIssuerBuilder, Mint, User};
use e2e::{
    websocket::{WebSocket, connect},
    wire::Wire,
};
use tokio::time::{Instant, sleep, timeout};

use crate::stage::{Setup, Stage};

/// Time in which a stream must be closed once the change is known.
pub(crate) const SOON: Duration = Duration::from_secs(6);
const POLICY_VIOLATION: Option<u16> = Some(1008);

const ROUTES: &str = "\
lab:
  match: { path: /lab }
  upstream: UPSTREAM
  access: [{ allow: { groups: [/lab] } }]
";

fn alice(groups: &[&str]) -> User {
    User::new("alice", "alice").roles(["admin"]).groups(groups.iter().copied())
}

fn short_tokens(issuer: DevIssuerBuilder) -> DevIssuerBuilder {
    issuer.access_token_lifetime(Duration::from_secs(8))
}

pub(crate) async fn socket(
    stage: &Stage,
    path: &str,
    fields: &[(&str, &str)],
) -> Result<WebSocket> {
    let origin = stage.origin();
    let fields = [&[("origin", &*origin)], fields].concat();
    let mut socket = connect(stage.world.public_port(), path, &fields).await?.open()?;
    ensure!(socket.ask("hello").await? == "hello", "{path} does not answer");
    Ok(socket)
}

/// An event stream of `path`, whose head has come.
async fn events(stage: &Stage, path: &str, field: (&str, &str)) -> Result<Wire> {
    let head = format!(
        "GET {path}/sse?n=600&ms=100 HTTP/1.1\r\nHost: HOST\r\n{}: {}\r\n\r\n",
        field.0, field.1
    );
    let mut wire = stage.connect().await?;
    wire.send(stage.filled(head.as_bytes())).await;
    Ok(wire)
}

pub(crate) async fn closes(socket: &mut WebSocket, within: Duration) -> Result<()> {
    let code = timeout(within, socket.closing_code()).await.context("it stays open")?;
    ensure!(code == POLICY_VIOLATION, "closed with {code:?}");
    Ok(())
}

/// Replaces a text of the configuration and reloads it.
pub(crate) async fn reload(stage: &Stage, old: &str, new: &str) -> Result<()> {
    let text = std::fs::read_to_string(stage.gateway.config())?;
    ensure!(text.contains(old), "{old} is not in the configuration");
    reconfigure(stage, &text.replace(old, new)).await
}

/// Writes a configuration and reloads it.
pub(crate) async fn reconfigure(stage: &Stage, text: &str) -> Result<()> {
    let config: &Path = stage.gateway.config();
    // The file may be found changed before the signal comes.
    let before = reloads(stage)?;
    std::fs::write(config, text)?;
    stage.gateway.hang_up();
    let deadline = Instant::now() + SOON;
    while reloads(stage)? == before {
        ensure!(Instant::now() < deadline, "not reloaded");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn reloads(stage: &Stage) -> Result<usize> {
    let lines = stage.gateway.log_lines()?;
    Ok(lines.iter().filter(|line| line["msg"] == "configuration reloaded").count())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_close_when_a_refresh_takes_the_group_away() -> Result<()> {
    let stage = Setup::new("attack-stream-group")
        .with_issuer(short_tokens)
        .with_routes(ROUTES)
        .start()
        .await?;
    let cookie = stage.sign_in("alice").await?;
    let mut lab = socket(&stage, "/lab/ws", &[("cookie", &cookie)]).await?;
    let mut admin = socket(&stage, "/admin/ws", &[("cookie", &cookie)]).await?;
    let mut stream = events(&stage, "/lab", ("Cookie", &cookie)).await?;
    stage.issuer.set_user(alice(&[]));
    // The change is known once the tokens are refreshed: here by a request, at the latest before they expire.
    let refreshed = async {
        loop {
            sleep(Duration::from_millis(500)).await;
            if stage.get("/lab/x").header("Cookie", &cookie).send().await?.status == 403 {
                return anyhow::Ok(());
            }
        }
    };
    timeout(Duration::from_secs(20), refreshed).await.context("the group is never lost")??;
    closes(&mut lab, SOON).await?;
    stream.closed_within(SOON).await?;
    assert_eq!(admin.ask("still").await?, "still", "a stream opened by the role goes on");
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_alone_is_refreshed_and_judged_again() -> Result<()> {
    let stage = Setup::new("attack-stream-alone")
        .with_issuer(short_tokens)
        .with_routes(ROUTES)
        .start()
        .await?;
    let cookie = stage.sign_in("alice").await?;
    let mut lab = socket(&stage, "/lab/ws", &[("cookie", &cookie)]).await?;
    stage.issuer.set_user(alice(&["/other"]));
    // Without a request, sessions with open streams are checked every 15 s.
    closes(&mut lab, Duration::from_secs(40)).await?;
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_close_when_a_reload_makes_the_rule_stricter() -> Result<()> {
    let stage = Setup::new("attack-stream-reload").with_routes(ROUTES).start().await?;
    let cookie = stage.sign_in("alice").await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let bearer = format!("Bearer {token}");
    let mut by_session = socket(&stage, "/lab/ws", &[("cookie", &cookie)]).await?;
    let mut by_token = socket(&stage, "/lab/ws", &[("authorization", &bearer)]).await?;
    let mut by_anyone = socket(&stage, "/public/ws", &[]).await?;
    let mut stream = events(&stage, "/lab", ("Authorization", &bearer)).await?;
    let mut elsewhere = socket(&stage, "/admin/ws", &[("authorization", &bearer)]).await?;
    // A reload that changes nothing for them leaves them open.
    reload(&stage, "groups: [/lab]", "groups: [/lab, /other]").await?;
    sleep(Duration::from_secs(2)).await;
    for socket in [&mut by_session, &mut by_token, &mut by_anyone, &mut elsewhere] {
        assert_eq!(socket.ask("still").await?, "still");
    }
    reload(&stage, "groups: [/lab, /other]", "groups: [/other]").await?;
    closes(&mut by_session, SOON).await?;
    closes(&mut by_token, SOON).await?;
    stream.closed_within(SOON).await?;
    assert_eq!(by_anyone.ask("open").await?, "open");
    reload(&stage, "{ path: /public/**, allow: anyone }", "{ path: /public/**, allow: signed_in }")
        .await?;
    closes(&mut by_anyone, SOON).await?;
    assert_eq!(elsewhere.ask("admin").await?, "admin");
    // The configuration no longer accepts tokens of its issuer.
    reload(&stage, "audience: [gateway]", "audience: [other]").await?;
    closes(&mut elsewhere, SOON).await?;
    let revoked = stage.gateway.log_lines()?;
    let revoked: Vec<_> =
        revoked.iter().filter(|line| line["msg"] == "open stream no longer permitted").collect();
    ensure!(revoked.len() == 5, "{revoked:?}");
    ensure!(revoked.iter().all(|line| line["reason"].is_string()), "{revoked:?}");
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_close_when_their_route_is_gone() -> Result<()> {
    let stage = Setup::new("attack-stream-route").with_routes(ROUTES).start().await?;
    let cookie = stage.sign_in("alice").await?;
    let mut lab = socket(&stage, "/lab/ws", &[("cookie", &cookie)]).await?;
    let mut other = socket(&stage, "/ws", &[("cookie", &cookie)]).await?;
    reload(&stage, "match: { path: /lab }", "match: { path: /moved }").await?;
    closes(&mut lab, SOON).await?;
    assert_eq!(other.ask("still").await?, "still");
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_under_way_is_judged_again() -> Result<()> {
    let stage = Setup::new("attack-stream-upload").with_routes(ROUTES).start().await?;
    let cookie = stage.sign_in("alice").await?;
    let head = format!(
        "POST /lab/up HTTP/1.1\r\nHost: HOST\r\nCookie: {cookie}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let mut upload = stage.connect().await?;
    upload.send(stage.filled(head.as_bytes())).await;
    for _ in 0..5 {
        upload.send("400\r\n").await;
        upload.send("x".repeat(0x400)).await;
        upload.send("\r\n").await;
        sleep(Duration::from_millis(500)).await;
    }
    reload(&stage, "groups: [/lab]", "groups: [/other]").await?;
    let answer = timeout(SOON, upload.answer()).await.context("the upload goes on")??;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(stage.reached().is_empty(), "the upstream never got a whole request");
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn with_cookie_sessions_a_request_has_streams_judged() -> Result<()> {
    let stage = Setup::new("attack-stream-cookie")
        .with_issuer(|issuer| short_tokens(issuer).refresh_token_rotation(true))
        .with_routes(ROUTES)
        .with_plan(|plan| plan.with_cookie_sessions())
        .start()
        .await?;
    let mut cookie = stage.sign_in("alice").await?;
    let mut lab = socket(&stage, "/lab/ws", &[("cookie", &cookie)]).await?;
    let mut admin = socket(&stage, "/admin/ws", &[("cookie", &cookie)]).await?;
    stage.issuer.set_user(alice(&[]));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(lab.ask("still").await?, "still", "nothing is refreshed beside requests");
    let answer = stage.get("/lab/x").header("Cookie", &cookie).send().await?;
    assert_eq!(answer.status, 403);
    cookie = answer.cookies().join("; ");
    closes(&mut lab, SOON).await?;
    assert_eq!(admin.ask("still").await?, "still");
    assert_eq!(stage.get("/admin/x").header("Cookie", &cookie).send().await?.status, 200);
    assert_eq!(stage.issuer.refresh_reuse_detected(), 0);
    stage.finish(&[&cookie])
}
