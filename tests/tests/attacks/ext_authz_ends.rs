//! Envoy's questions on a unix socket, and at the end of the gateway: each one gets a decision, or its request is refused.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, Endpoint, Fault};
use e2e::{
    envoy_check::{Check, Verdict},
    grpc::unix_channel,
    wait,
};
use http::Request;
use rustix::process::Signal;
use tokio::{net::UnixStream, task::JoinHandle, time::timeout};
use tonic::{Status, transport::Channel};

use crate::{
    stage::{Setup, Stage},
    stops::STOPPING,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than any test.
const STUCK: Fault = Fault::Slow(Duration::from_secs(120));

/// A gateway that Envoy asks on a unix socket. Its issuer is asked about the opaque tokens of `fleet`.
struct Asked {
    stage: Stage,
    socket: PathBuf,
    /// In a folder of its own: the path of a socket is short.
    _folder: tempfile::TempDir,
}

impl Asked {
    async fn new(name: &str, shutdown: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("envoy.sock");
        let settings =
            format!("ext_authz: {{ listen: \"unix:{}\" }}\nshutdown: {shutdown}", socket.display());
        let fleet = DevClient::public("fleet").audience("gateway").opaque_access_tokens();
        let stage = Setup::new(name)
            .with_issuer(|issuer| issuer.client(fleet))
            .with_plan(move |plan| plan.with(&settings).with_issuer_setting("introspection: {}"))
            .start()
            .await?;
        Ok(Self { stage, socket, _folder: folder })
    }

    fn get(&self, path: &str) -> Check {
        Check::get(&self.stage.host(), path)
    }

    fn channel(&self) -> Result<Channel> {
        unix_channel(&self.socket)
    }

    /// A question that waits for the issuer.
    async fn waiting(&self, channel: Channel) -> Result<JoinHandle<Result<Verdict, Status>>> {
        let tokens = self.stage.issuer.log_in("alice", "fleet", "openid").context("no token")?;
        let before = self.stage.issuer.requests(Endpoint::Introspection);
        let check =
            self.get("/echo").line("authorization", format!("Bearer {}", tokens.access_token));
        let asked = tokio::spawn(async move { check.ask_on(channel).await });
        wait::until("the question to the issuer", PATIENCE, async || {
            Ok((self.stage.issuer.requests(Endpoint::Introspection) > before).then_some(()))
        })
        .await?;
        Ok(asked)
    }

    /// Stops listening, and removes the file.
    async fn stops_listening(&self) -> Result<()> {
        wait::until("the socket to be gone", PATIENCE, async || {
            Ok((!self.socket.exists()).then_some(()))
        })
        .await?;
        ensure!(UnixStream::connect(&self.socket).await.is_err(), "something listens there");
        ensure!(self.get("/public/a").ask_on(self.channel()?).await.is_err(), "something answers");
        Ok(())
    }
}

fn stopped(verdict: &Verdict) -> bool {
    verdict.status == 503 && verdict.body.contains("\"draining\"") && !verdict.passes()
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_asks_on_a_unix_socket() -> Result<()> {
    let mut asked = Asked::new("ext-authz-unix", "{ lame_duck: 0s }").await?;
    let channel = asked.channel()?;
    let tokens = asked.stage.issuer.log_in("bob", "fleet", "openid").context("no token")?;
    let bearer = format!("Bearer {}", tokens.access_token);
    for (path, status) in [("/public/a", 0), ("/echo", 0), ("/admin", 403), ("/nowhere", 404)] {
        let check = asked.get(path).line("authorization", &bearer);
        let verdict = check.ask_on(channel.clone()).await?;
        assert_eq!(verdict.status, status, "{path}: {verdict:?}");
    }
    assert_eq!(asked.get("/echo").ask_on(channel.clone()).await?.status, 401);
    // The peer of the socket is no client: the request has the one that Envoy names.
    let verdict = asked.get("/public/a").line("x-forwarded-for", "6.6.6.6").ask_on(channel).await?;
    assert_eq!(verdict.field("x-forwarded-for"), Some("192.0.2.7"));
    let unnamed = asked.get("/public/a").from(None).ask_on(asked.channel()?).await?;
    assert_eq!(unnamed.status, 400);
    // A process that was killed leaves the file; the next one takes the address all the same.
    asked.stage.gateway.kill_and_restart().await?;
    assert!(asked.get("/public/a").ask_on(asked.channel()?).await?.passes());
    asked.stage.gateway.signal(Signal::TERM);
    asked.stops_listening().await?;
    asked.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_gateway_answers_envoy_in_the_lame_duck_time() -> Result<()> {
    let mut asked = Asked::new("ext-authz-lame-duck", "{ lame_duck: 10m }").await?;
    let channel = asked.channel()?;
    assert!(asked.get("/public/a").ask_on(channel.clone()).await?.passes());
    asked.stage.gateway.signal(Signal::TERM);
    asked.stage.gateway.logged(STOPPING).await?;
    for channel in [channel, asked.channel()?] {
        assert!(asked.get("/public/a").ask_on(channel.clone()).await?.passes());
        assert_eq!(asked.get("/admin").ask_on(channel).await?.status, 401);
    }
    asked.stage.gateway.signal(Signal::TERM);
    asked.stops_listening().await?;
    asked.stage.gateway.ended_within(PATIENCE).await?;
    asked.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_decided_within_the_grace() -> Result<()> {
    let asked = Asked::new("ext-authz-grace", "{ lame_duck: 0s, grace: 10m }").await?;
    asked.stage.issuer.faults().set(Fault::Slow(Duration::from_secs(2)), Endpoint::Introspection);
    let channel = asked.channel()?;
    let waiting = asked.waiting(channel.clone()).await?;
    asked.stage.gateway.signal(Signal::TERM);
    asked.stops_listening().await?;
    let verdict = timeout(PATIENCE, waiting).await???;
    assert!(verdict.passes(), "{verdict:?}");
    assert_eq!(verdict.field("x-forwarded-preferred-username"), Some("alice"));
    // The connection takes no further question, and its error is no decision.
    assert!(asked.get("/public/a").ask_on(channel).await.is_err());
    asked.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_waits_at_the_end_of_the_grace_is_refused() -> Result<()> {
    let mut asked =
        Asked::new("ext-authz-end", "{ lame_duck: 0s, grace: 3s, streams: 0s }").await?;
    asked.stage.issuer.faults().set(STUCK, Endpoint::Introspection);
    // One waits for the issuer, of the other the message has not come.
    let waiting = asked.waiting(asked.channel()?).await?;
    let half = asked.half_asked().await?;
    asked.stage.gateway.signal(Signal::TERM);
    let verdict = timeout(PATIENCE, waiting).await???;
    assert!(stopped(&verdict), "{verdict:?}");
    assert_eq!(verdict.field("retry-after"), Some("2"));
    let answer = timeout(PATIENCE, half).await???;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("\"draining\""), "{text}");
    asked.stops_listening().await?;
    asked.stage.gateway.ended_within(PATIENCE).await?;
    let audit = asked.stage.gateway.audit()?;
    assert_eq!(audit.iter().filter(|line| line["outcome"] == "draining").count(), 2, "{audit:?}");
    asked.stage.finish(&[])
}

impl Asked {
    /// The answer to a question of which the gateway gets the head alone.
    async fn half_asked(&self) -> Result<JoinHandle<Result<Vec<u8>>>> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (client, connection) = h2::client::handshake(stream).await?;
        tokio::spawn(connection);
        let mut client = client.ready().await?;
        let request = Request::post("http://envoy/envoy.service.auth.v3.Authorization/Check")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let (answer, sending) = client.send_request(request, false)?;
        Ok(tokio::spawn(async move {
            let mut body = answer.await?.into_body();
            let mut all = Vec::new();
            while let Some(data) = body.data().await {
                all.extend_from_slice(&data?);
            }
            let trailers = body.trailers().await?.context("no trailers")?;
            ensure!(trailers["grpc-status"] == "0", "{trailers:?}");
            drop((sending, client));
            Ok(all)
        }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_cut_off_lets_nothing_through() -> Result<()> {
    for (name, signals) in
        [("killed", &[Signal::KILL][..]), ("ended", &[Signal::TERM, Signal::TERM])]
    {
        let asked =
            Asked::new(&format!("ext-authz-{name}"), "{ lame_duck: 10m, grace: 10m }").await?;
        asked.stage.issuer.faults().set(STUCK, Endpoint::Introspection);
        let waiting = asked.waiting(asked.channel()?).await?;
        for signal in signals {
            asked.stage.gateway.signal(*signal);
            if *signal == Signal::TERM {
                asked.stage.gateway.logged(STOPPING).await?;
            }
        }
        match timeout(PATIENCE, waiting).await?? {
            Ok(verdict) => assert!(stopped(&verdict), "{name}: {verdict:?}"),
            Err(status) => assert_ne!(status.code(), tonic::Code::Ok, "{name}: {status:?}"),
        }
    }
    Ok(())
}
