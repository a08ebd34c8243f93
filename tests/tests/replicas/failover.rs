//! Another server takes the store's place: sessions go on, and a sign-out meanwhile counts.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{World, cluster::Cluster, keycloak::Realm, sentinels::Sentinels, visitor::Visitor};
use tokio::time::{Instant, sleep};

use crate::{figures::note, stage::Stage};

/// Longest time from the end of a failover to the first right answer, and to the effect of a sign-out.
const AFTERWARDS: Duration = Duration::from_secs(2);
const AT_ONCE: Duration = Duration::from_secs(1);

struct Scene {
    name: &'static str,
    stage: Stage,
    /// Goes on throughout.
    carol: Visitor,
    /// Signs out meanwhile.
    alice: Visitor,
    /// Alice's cookies from before.
    cookie: String,
}

impl Scene {
    async fn new(name: &'static str, world: World, realm: &Realm, store: &str) -> Result<Self> {
        let stage = Stage::start(world, realm, store, |plan| plan).await?;
        let (alice, carol) = (stage.sign_in("alice").await?, stage.sign_in("carol").await?);
        for replica in [0, 1] {
            assert_eq!(stage.fetch(&alice, replica, "/x").await?.status, 200);
            assert_eq!(stage.fetch(&carol, replica, "/x").await?.status, 200);
        }
        let cookie = alice.cookies(&stage.world.url("/"))?;
        Ok(Self { name, stage, carol, alice, cookie })
    }

    /// Signs Alice out at the first replica, again while it answers 503.
    async fn sign_out(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let answer = self.stage.sign_out(&self.alice, 0).await?;
            if answer.status.is_redirection() {
                return Ok(());
            }
            ensure!(answer.status == 503, "{} {}", answer.status, answer.body);
            ensure!(began.elapsed() < Duration::from_secs(30), "no sign-out in 30 s");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks until each replica knows Carol again: 503 before, never a refusal.
    async fn goes_on(&self) -> Result<()> {
        let began = Instant::now();
        for replica in [0, 1] {
            loop {
                let answer = self.stage.fetch(&self.carol, replica, "/x").await?;
                if answer.status == 200 {
                    break;
                }
                ensure!(answer.status == 503, "signed out: {} {}", answer.status, answer.body);
                ensure!(
                    began.elapsed() < AFTERWARDS,
                    "still 503 {AFTERWARDS:?} after the failover"
                );
                sleep(Duration::from_millis(20)).await;
            }
        }
        note(&format!("{}: goes on {:.1?} after the failover", self.name, began.elapsed()));
        Ok(())
    }

    /// Asks until each replica refuses the cookies of the signed-out session.
    async fn is_out(&self) -> Result<()> {
        for replica in [0, 1] {
            let took = self.stage.until_refused(&self.cookie, replica).await?;
            note(&format!("{}: signed out at {replica} after {took:.1?}", self.name));
            ensure!(took <= AT_ONCE, "signed out at {replica} after {took:?}");
        }
        Ok(())
    }

    /// A new sign-in works; the gateways end in order.
    async fn end(self) -> Result<()> {
        self.stage.sign_in("alice").await?;
        self.stage.finish(&[])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_failover_by_sentinels_keeps_sessions() -> Result<()> {
    let world = World::new("failover-planned")?;
    let realm = world.realm().await?;
    let sentinels = Sentinels::start(world.folder()).await?;
    let scene = Scene::new("planned", world, &realm, &sentinels.store()).await?;
    let (failover, signed_out) = tokio::join!(sentinels.fail_over(), scene.sign_out());
    failover?;
    signed_out?;
    scene.goes_on().await?;
    scene.is_out().await?;
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_costs_no_session() -> Result<()> {
    let world = World::new("failover-killed")?;
    let realm = world.realm().await?;
    let mut sentinels = Sentinels::start(world.folder()).await?;
    let scene = Scene::new("killed primary", world, &realm, &sentinels.store()).await?;
    let before = sentinels.kill_primary().await?;
    let began = Instant::now();
    let (promoted, signed_out) = tokio::join!(sentinels.until_promoted(before), scene.sign_out());
    promoted?;
    signed_out?;
    note(&format!("killed primary: promotion and sign-out took {:.1?}", began.elapsed()));
    scene.goes_on().await?;
    scene.is_out().await?;
    // The former primary comes back as a replica, and back again as the primary.
    sentinels.start_killed().await?;
    scene.goes_on().await?;
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_moves_slots_keeps_sessions() -> Result<()> {
    let world = World::new("failover-reshard")?;
    let realm = world.realm().await?;
    let cluster = Cluster::start(world.folder()).await?;
    let scene = Scene::new("reshard", world, &realm, &cluster.store()).await?;
    let (moved, signed_out) = tokio::join!(cluster.reshard(), scene.sign_out());
    ensure!(moved? > 0, "no key was in the cluster");
    signed_out?;
    scene.goes_on().await?;
    scene.is_out().await?;
    scene.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_replaces_primaries_keeps_sessions() -> Result<()> {
    let world = World::new("failover-cluster")?;
    let realm = world.realm().await?;
    let mut cluster = Cluster::start(world.folder()).await?;
    let scene = Scene::new("cluster", world, &realm, &cluster.store()).await?;
    let (failover, signed_out) = tokio::join!(cluster.fail_over(), scene.sign_out());
    failover?;
    signed_out?;
    scene.goes_on().await?;
    scene.is_out().await?;
    cluster.kill_a_primary().await?;
    scene.goes_on().await?;
    scene.end().await
}
