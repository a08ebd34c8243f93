//! One refresh of an access token for all replicas, although each refresh token works only once.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    World,
    counter::Counter,
    gateway::Plan,
    keycloak::{GATEWAY_CLIENT, Realm},
    tools,
    valkey::Valkey,
    visitor::Visitor,
};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use crate::stage::Stage;

const TOGETHER: usize = 100;

fn plan(plan: Plan) -> Plan {
    plan.with_issuer_setting("leeway: 1s")
}

/// Signs a user in with an access token of five seconds and waits until it is over; later tokens live five minutes.
async fn with_expired_token(stage: &Stage, realm: &Realm) -> Result<Visitor> {
    realm.access_tokens_live(5).await?;
    let visitor = Visitor::new()?;
    let form = visitor.arrive(&stage.world.url("/first")).await?;
    let back = visitor.submit_login(&form, "alice").await?;
    let home = visitor.open(back.location()?.as_str()).await?;
    ensure!(home.status.is_redirection(), "the callback sends on: {}", home.body);
    realm.access_tokens_live(300).await?;
    sleep(Duration::from_secs(7)).await;
    Ok(visitor)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_at_two_replicas_make_one_refresh() -> Result<()> {
    let world = World::new("replicas-refresh")?;
    let realm = world.realm().await?;
    let valkey = Valkey::start(world.folder()).await?;
    let stage = Stage::start(world, &realm, &valkey.store(), plan).await?;
    let rounds = if tools::long_form() { 20 } else { 3 };
    for round in 0..rounds {
        let visitor = with_expired_token(&stage, &realm).await?;
        let before = realm.events("REFRESH_TOKEN").await?.len();
        let asking = (0..TOGETHER).map(|i| stage.fetch(&visitor, i % 2, "/burst"));
        let answers = try_join_all(asking).await?;
        let statuses: Vec<u16> = answers.iter().map(|a| a.status.as_u16()).collect();
        assert_eq!(statuses, vec![200; TOGETHER], "round {round}");
        let upstreams: BTreeSet<&str> = answers.iter().map(|a| a.header("x-upstream")).collect();
        assert_eq!(upstreams.len(), 2, "both replicas answered: {upstreams:?}");
        let refreshes = realm.events("REFRESH_TOKEN").await?.len() - before;
        assert_eq!(refreshes, 1, "round {round}: one refresh at Keycloak");
        assert_eq!(realm.events("REFRESH_TOKEN_ERROR").await?.len(), 0, "round {round}");
        for replica in [0, 1] {
            assert_eq!(stage.fetch(&visitor, replica, "/after").await?.status, 200);
        }
        realm.log_out("alice").await?;
    }
    stage.finish(&[])
}

/// The replica that refreshes is killed while the provider takes its time.
async fn holder_is_killed(name: &str, reaches_the_provider: bool) -> Result<()> {
    let world = World::new(name)?;
    let realm = world.realm().await?;
    let slow = Counter::before(realm.address()).await?;
    let issuer = realm.issuer_at(&slow.url());
    let valkey = Valkey::start(world.folder()).await?;
    let secret = Realm::secret(GATEWAY_CLIENT);
    let mut stage = Stage::with_issuer(world, &issuer, &secret, &valkey.store(), plan).await?;
    let visitor = with_expired_token(&stage, &realm).await?;

    // The request line is counted before the delay.
    let token = "/protocol/openid-connect/token";
    let before = slow.count(token);
    slow.delay(Duration::from_secs(if reaches_the_provider { 1 } else { 60 }));
    let began = Instant::now();
    let waiting = async {
        // The holder dies under this request.
        let _ = stage.fetch(&visitor, 0, "/waits").await;
    };
    let asked = e2e::wait::until("the refresh to begin", Duration::from_secs(5), async || {
        Ok((slow.count(token) > before).then_some(()))
    });
    tokio::select! {
        () = waiting => anyhow::bail!("the request was answered before the refresh"),
        asked = asked => asked?,
    }
    if reaches_the_provider {
        sleep(Duration::from_millis(200)).await;
    }
    stage.replicas.gateway_mut(0)?.kill();
    if reaches_the_provider {
        // The request that the dead replica has sent arrives and uses the refresh token.
        e2e::wait::until("the grant", Duration::from_secs(10), async || {
            Ok((!realm.events("REFRESH_TOKEN").await?.is_empty()).then_some(()))
        })
        .await?;
    }
    slow.delay(Duration::ZERO);

    let mut sign_ins = 0;
    let healed = loop {
        let answer = stage.fetch(&visitor, 1, "/goes-on").await?;
        match answer.status.as_u16() {
            200 => break began.elapsed(),
            401 => {
                let url = stage.world.url("/again");
                let arrived = visitor.log_in(&url, "alice").await?;
                ensure!(arrived.status == 200, "{} {}", arrived.status, arrived.body);
                sign_ins += 1;
            }
            503 => ensure!(!answer.header("retry-after").is_empty(), "503 without Retry-After"),
            other => anyhow::bail!("{other} {}", answer.body),
        }
        ensure!(began.elapsed() < Duration::from_secs(30), "the session does not go on");
        sleep(Duration::from_millis(50)).await;
    };
    ensure!(healed <= Duration::from_secs(12), "it took {healed:?}");
    ensure!(sign_ins <= 1, "{sign_ins} sign-ins");
    if !reaches_the_provider {
        assert_eq!(sign_ins, 0, "the refresh token was not used, so the other replica refreshes");
    }
    crate::figures::note(&format!("{name}: goes on after {healed:.1?}, sign-ins {sign_ins}"));
    stage.replicas.gateway_mut(0)?.start_again().await?;
    for _ in 0..5 {
        assert_eq!(stage.fetch(&visitor, 0, "/back").await?.status, 200);
        assert_eq!(stage.fetch(&visitor, 1, "/back").await?.status, 200);
    }
    stage.finish(&[&visitor])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_killed_before_the_grant_signs_no_user_out() -> Result<()> {
    holder_is_killed("replicas-holder-before", false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_killed_during_the_grant_costs_one_sign_in() -> Result<()> {
    holder_is_killed("replicas-holder-during", true).await.context("killed during the grant")
}
