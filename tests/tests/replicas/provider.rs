//! Faults of the provider while two replicas serve: killed and restarted under load, and slow.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer, Endpoint, Fault, Mint, User};
use e2e::{
    World,
    keycloak::Keycloak,
    replicas::CHOICE,
    valkey::Valkey,
    visitor::{Visitor, plain_client},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    figures::{Figures, note},
    stage::Stage,
};

/// Steady requests with one field, such as a token or a cookie, at both replicas; ends when `stop` changes.
fn steady(
    url: String,
    name: &'static str,
    value: String,
    stop: &watch::Receiver<bool>,
) -> JoinHandle<Result<Figures>> {
    let stop = stop.clone();
    tokio::spawn(async move {
        let (client, mut figures) = (plain_client()?, Figures::default());
        while !*stop.borrow() {
            for replica in ["0", "1"] {
                let asked = Instant::now();
                let request = client.get(&url).header(name, &value).header(CHOICE, replica);
                let answer = request.header("sec-fetch-mode", "cors").send().await?;
                ensure!(answer.status() == 200, "{} from {replica}", answer.status());
                figures.add(asked.elapsed());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(figures)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_keycloak_disturbs_no_signed_in_user() -> Result<()> {
    let world = World::new("provider-killed")?;
    let keycloak = Keycloak::alone(world.folder()).await?;
    let realm = keycloak.realm("platform", &world.public_url()).await?;
    let valkey = Valkey::start(world.folder()).await?;
    let stage = Stage::start(world, &realm, &valkey.store(), |plan| plan).await?;
    let alice = stage.sign_in("alice").await?;
    let token = realm.client_credentials("airflow-run", None).await?;
    // Keycloak writes its file a moment later.
    sleep(Duration::from_secs(2)).await;
    let (stop, stopped) = watch::channel(false);
    let cookie = alice.cookies(&stage.world.url("/"))?;
    let url = stage.world.url("/x");
    let sessions = steady(url.clone(), "cookie", cookie, &stopped);
    let programs = steady(url, "authorization", format!("Bearer {token}"), &stopped);

    sleep(Duration::from_secs(1)).await;
    keycloak.kill();
    let killed = Instant::now();
    let bob = Visitor::new()?;
    let refused = bob.arrive(&stage.world.url("/y")).await?;
    ensure!(refused.status == 503, "{} {}", refused.status, refused.body);
    ensure!(killed.elapsed() < Duration::from_secs(4), "answered after {:?}", killed.elapsed());
    sleep(Duration::from_secs(2)).await;
    keycloak.start_again().await?;
    let back = Instant::now();
    e2e::wait::until("a sign-in", Duration::from_secs(10), async || {
        let form = bob.arrive(&stage.world.url("/y")).await?;
        Ok((form.status == 200).then_some(()))
    })
    .await?;
    note(&format!(
        "Keycloak was away for {:.1?}; sign-ins {:.1?} after",
        back - killed,
        back.elapsed()
    ));
    let home = bob.log_in(&stage.world.url("/y"), "bob").await?;
    assert_eq!(home.status, 200, "{}", home.body);
    stop.send_replace(true);
    sessions.await?.context("sessions")?.print("sessions while Keycloak was killed")?;
    programs.await?.context("programs")?.print("programs while Keycloak was killed")?;
    keycloak.kill();
    stage.finish(&[&alice, &bob])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_thirty_seconds_slow_disturbs_no_signed_in_user() -> Result<()> {
    const SECRET: &str = "the gateway's secret at a slow provider";
    let world = World::new("provider-slow")?;
    let client = DevClient::confidential("gateway", SECRET)
        .audience("gateway")
        .redirect_uri(world.url("/oauth2/callback"));
    let issuer = DevIssuer::builder().user(User::new("alice", "alice")).client(client);
    let issuer = Arc::new(issuer.start("127.0.0.1:0").await?);
    let valkey = Valkey::start(world.folder()).await?;
    let store = valkey.store();
    let stage = Stage::with_issuer(world, issuer.url(), SECRET, &store, |plan| plan).await?;
    let alice = Visitor::new()?;
    let start = alice.open(&stage.world.url("/oauth2/start?rd=/home")).await?;
    let back = issuer.sign_in(start.location()?.as_str(), "alice").context("at the provider")?;
    assert_eq!(alice.open(&back).await?.status, 302);
    let (stop, stopped) = watch::channel(false);
    let url = stage.world.url("/x");
    let token = issuer.mint(Mint::access("alice"))?;
    let begin = || {
        let cookie = alice.cookies(&stage.world.url("/"))?;
        anyhow::Ok((
            steady(url.clone(), "cookie", cookie, &stopped),
            steady(url.clone(), "authorization", format!("Bearer {token}"), &stopped),
        ))
    };
    let (sessions, programs) = begin()?;
    sleep(Duration::from_secs(3)).await;
    for endpoint in [Endpoint::Token, Endpoint::Par, Endpoint::Jwks, Endpoint::Discovery] {
        issuer.faults().set(Fault::Slow(Duration::from_secs(30)), endpoint);
    }
    // Sign-ins meanwhile end with an answer, each in time.
    let mut waiting = Vec::new();
    for number in 0..20 {
        let url = stage.world.url("/oauth2/start?rd=/home");
        waiting.push(tokio::spawn(async move {
            let visitor = Visitor::new()?;
            let asked = Instant::now();
            let answer = visitor.open(&url).await?;
            ensure!(answer.status == 503, "{number}: {} {}", answer.status, answer.body);
            ensure!(!answer.header("retry-after").is_empty(), "503 without Retry-After");
            anyhow::Ok(asked.elapsed())
        }));
    }
    let mut figures = Figures::default();
    for waiting in waiting {
        figures.add(waiting.await??);
    }
    figures.within("sign-ins while the provider is slow", Duration::from_secs(10))?;
    sleep(Duration::from_secs(3)).await;
    stop.send_replace(true);
    let (sessions, programs) = (sessions.await??, programs.await??);
    sessions.within("sessions while the provider is slow", Duration::from_secs(2))?;
    programs.within("programs while the provider is slow", Duration::from_secs(2))?;
    issuer.faults().clear();
    stage.finish(&[&alice])
}
