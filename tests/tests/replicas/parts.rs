//! The parts without the gateway: when one of these tests fails, check the installation first.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{
    World,
    authority::Authority,
    cluster::Cluster,
    resp,
    sentinels::Sentinels,
    toxiproxy::Toxiproxy,
    valkey::{self, Valkey},
};
use tokio::time::{Instant, timeout};

#[tokio::test(flavor = "multi_thread")]
async fn valkey_keeps_what_it_acknowledged_over_kill_9() -> Result<()> {
    let world = World::new("parts-valkey")?;
    let mut valkey = Valkey::start(world.folder()).await?;
    valkey.ask(&["SET", "kept", "value"]).await?;
    valkey.kill();
    ensure!(valkey.ask(&["GET", "kept"]).await.is_err());
    valkey.start_again().await?;
    assert_eq!(valkey.ask(&["GET", "kept"]).await?.text(), "value");
    valkey.freeze();
    let frozen = timeout(Duration::from_millis(300), valkey.ask(&["GET", "kept"])).await;
    ensure!(frozen.is_err(), "a frozen server answers");
    valkey.thaw();
    assert_eq!(valkey.ask(&["GET", "kept"]).await?.text(), "value");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_serves_tls_and_users_with_passwords() -> Result<()> {
    let world = World::new("parts-redis")?;
    let authority = Authority::new(&world.folder().join("authority"))?;
    let redis = valkey::Setup::new(world.folder(), "redis")?.with_tls(&authority)?;
    let redis = redis.with_user("the password of this test")?.start().await?;
    ensure!(tokio::net::TcpStream::connect(("127.0.0.1", redis.tls_port()?)).await.is_ok());
    let user = redis.ask(&["ACL", "GETUSER", valkey::USER]).await?;
    ensure!(!matches!(user, resp::Reply::Nil), "the user is missing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_promote_the_replica() -> Result<()> {
    let world = World::new("parts-sentinels")?;
    let sentinels = Sentinels::start(world.folder()).await?;
    let first = sentinels.primary().await?;
    resp::ask(first, &["SET", "kept", "value"]).await?;
    sentinels.fail_over().await?;
    let second = sentinels.primary().await?;
    ensure!(second != first);
    assert_eq!(resp::ask(second, &["GET", "kept"]).await?.text(), "value");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_moves_slots_and_replaces_primaries() -> Result<()> {
    let world = World::new("parts-cluster")?;
    let mut cluster = Cluster::start(world.folder()).await?;
    for index in 0..20 {
        let key = format!("key:{index}");
        let mut set = Vec::new();
        for node in cluster.ports() {
            set.extend(resp::ask(node, &["SET", &key, "value"]).await);
        }
        assert_eq!(set.len(), 1, "one primary has the slot of {key}");
    }
    assert_eq!(cluster.keys().await?.len(), 20);
    ensure!(cluster.reshard().await? > 15);
    assert_eq!(cluster.keys().await?.len(), 20);
    cluster.fail_over().await?;
    cluster.kill_a_primary().await?;
    assert_eq!(cluster.keys().await?.len(), 20);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn toxiproxy_makes_the_way_to_a_store_bad() -> Result<()> {
    let world = World::new("parts-toxiproxy")?;
    let valkey = Valkey::start(world.folder()).await?;
    let wire = Toxiproxy::before(world.folder(), &valkey.address()).await?;
    let ping = async || resp::ask(wire.port(), &["PING"]).await;
    ping().await?;
    wire.slow(Duration::from_millis(400)).await?;
    let began = Instant::now();
    ping().await?;
    ensure!(began.elapsed() > Duration::from_millis(390), "{:?}", began.elapsed());
    wire.heal().await?;
    wire.half_open().await?;
    ensure!(timeout(Duration::from_millis(300), ping()).await.is_err(), "an answer came");
    wire.heal().await?;
    ping().await?;
    wire.close().await?;
    ensure!(ping().await.is_err());
    wire.heal().await?;
    ping().await?;
    Ok(())
}
