//! A session is one session at every replica, from the sign-in to the sign-out.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{
    World,
    keycloak::{GATEWAY_CLIENT, Realm},
    replicas::CHOICE,
    tools,
    valkey::Valkey,
    visitor::{Visitor, plain_client},
    websocket,
};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::{figures::Figures, stage::Stage};

/// Longest time from a sign-out to its effect at each replica.
const AT_ONCE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    SignOut,
    BackChannel,
    Admin,
}

async fn stage(
    name: &str,
    store: impl AsyncFnOnce(&World) -> Result<Valkey>,
) -> Result<(Stage, Realm, Valkey)> {
    let world = World::new(name)?;
    let realm = world.realm().await?;
    let back_channel = json!({
        "backchannel.logout.url": world.url("/oauth2/backchannel_logout"),
        "backchannel.logout.session.required": "true",
    });
    realm.set_client_attributes(GATEWAY_CLIENT, &back_channel).await?;
    let valkey = store(&world).await?;
    let stage = Stage::start(world, &realm, &valkey.store(), |plan| plan).await?;
    Ok((stage, realm, valkey))
}

async fn end(stage: &Stage, realm: &Realm, visitor: &Visitor, way: Way) -> Result<()> {
    match way {
        Way::SignOut => {
            let answer = stage.sign_out(visitor, 0).await?;
            ensure!(answer.status.is_redirection(), "{} {}", answer.status, answer.body);
            Ok(())
        }
        Way::BackChannel => realm.log_out("alice").await,
        Way::Admin => {
            stage.end_by_admin("alice", 0).await?;
            // Else the next sign-in shows no form.
            visitor.forget("127.0.0.1");
            Ok(())
        }
    }
}

/// Signs in and ends the session `rounds` times; measures the time to the refusal at each replica.
async fn ends_everywhere(name: &str, way: Way) -> Result<()> {
    let (stage, realm, _valkey) =
        stage(name, async |world| Valkey::start(world.folder()).await).await?;
    let rounds = if tools::long_form() { 1_000 } else { 50 };
    let mut figures = [Figures::default(), Figures::default()];
    for round in 0..rounds {
        let visitor = stage.sign_in("alice").await?;
        for replica in [0, 1] {
            let answer = stage.fetch(&visitor, replica, "/at-once").await?;
            assert_eq!(answer.status, 200, "round {round}, replica {replica}: {}", answer.body);
        }
        let cookie = visitor.cookies(&stage.world.url("/"))?;
        end(&stage, &realm, &visitor, way).await?;
        let (there, here) =
            tokio::join!(stage.until_refused(&cookie, 1), stage.until_refused(&cookie, 0));
        figures[0].add(here?);
        figures[1].add(there?);
    }
    figures[0].within(&format!("{way:?}, same replica"), AT_ONCE)?;
    figures[1].within(&format!("{way:?}, other replica"), AT_ONCE)?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_ends_the_session_at_both_replicas() -> Result<()> {
    ends_everywhere("replicas-sign-out", Way::SignOut).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_ends_the_session_at_both_replicas() -> Result<()> {
    ends_everywhere("replicas-back-channel", Way::BackChannel).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_ends_the_session_at_both_replicas() -> Result<()> {
    ends_everywhere("replicas-admin", Way::Admin).await
}

async fn streams_close(name: &str, way: Way) -> Result<()> {
    let (stage, realm, _valkey) =
        stage(name, async |world| Valkey::start(world.folder()).await).await?;
    let (alice, carol) = (stage.sign_in("alice").await?, stage.sign_in("carol").await?);
    let origin = stage.world.public_url();
    let mut sockets = Vec::new();
    for visitor in [&alice, &carol] {
        let cookie = visitor.cookies(&stage.world.url("/ws"))?;
        let headers = [("origin", origin.as_str()), ("cookie", cookie.as_str()), (CHOICE, "1")];
        let socket = websocket::connect(stage.world.public_port(), "/ws", &headers).await?;
        sockets.push(socket.open()?);
    }
    for socket in &mut sockets {
        assert_eq!(socket.ask("before").await?, "before");
    }
    let mut events = plain_client()?
        .get(stage.world.url("/sse?n=3000&ms=50"))
        .header("cookie", alice.cookies(&stage.world.url("/sse"))?)
        .header(CHOICE, "1")
        .send()
        .await?;
    assert_eq!(events.status(), 200);
    ensure!(events.chunk().await?.is_some(), "no event came");

    end(&stage, &realm, &alice, way).await?;
    let began = Instant::now();
    let socket = sockets.first_mut().context("no socket")?;
    let closed = timeout(AT_ONCE, socket.next_text()).await;
    assert_eq!(closed.context("the web socket outlived the session")??, None);
    let rest = AT_ONCE.saturating_sub(began.elapsed());
    let ended = async { while let Ok(Some(_)) = events.chunk().await {} };
    timeout(rest, ended).await.context("the event stream outlived the session")?;
    let other = sockets.last_mut().context("no socket")?;
    assert_eq!(other.ask("after").await?, "after", "no other user's socket closes");
    drop(sockets);
    stage.finish(&[&alice, &carol])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_closes_streams_at_the_other_replica() -> Result<()> {
    streams_close("replicas-streams-sign-out", Way::SignOut).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_token_closes_streams_at_the_other_replica() -> Result<()> {
    streams_close("replicas-streams-back-channel", Way::BackChannel).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_closes_streams_at_the_other_replica() -> Result<()> {
    streams_close("replicas-streams-admin", Way::Admin).await
}
