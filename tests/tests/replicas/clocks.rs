//! The time of day is set by an hour while the gateway runs: it ends no session and causes no storm of refreshes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{DevClient, DevIssuer, Grant, Mint, User};
use e2e::{
    World,
    clock::MovableClock,
    gateway::{Gateway, Plan},
    upstream::Echo,
    visitor::{Visitor, plain_client},
};
use futures_util::future::try_join_all;
use oidc_core::{Clock as _, SystemClock};
use tokio::time::sleep;

const SECRET: &str = "the gateway's secret under a moved clock";
const HOUR: i64 = 3_600;

struct Scene {
    world: World,
    issuer: DevIssuer,
    /// Seconds by which the provider's clock is wrong.
    provider: Arc<AtomicI64>,
    clock: MovableClock,
    gateway: Gateway,
    _echo: Echo,
    alice: Visitor,
}

impl Scene {
    async fn new(name: &str) -> Result<Self> {
        let world = World::new(name)?;
        let provider = Arc::new(AtomicI64::new(0));
        let client = DevClient::confidential("gateway", SECRET)
            .audience("gateway")
            .redirect_uri(world.url("/oauth2/callback"));
        let moved = Arc::clone(&provider);
        let issuer = DevIssuer::builder()
            .user(User::new("alice", "alice"))
            .client(client)
            .access_token_lifetime(Duration::from_secs(300))
            .refresh_token_lifetime(Duration::from_secs(6 * 3_600))
            .clock(Arc::new(move || {
                let wrong = moved.load(Ordering::Relaxed);
                let by = Duration::from_secs(wrong.unsigned_abs());
                let now = SystemClock.now();
                if wrong < 0 { now - by } else { now + by }
            }))
            .start("127.0.0.1:0")
            .await?;
        let (echo, clock) = (world.echo().await?, MovableClock::new(world.folder())?);
        let routes = format!(
            "all:\n  match: {{ path: / }}\n  upstream: {}\n  access: [{{ allow: signed_in }}]",
            echo.url()
        );
        let plan = Plan::with_client(&world, issuer.url(), SECRET, &routes)?
            .with_session_setting("idle: 6h")
            .with_session_setting("lifetime: 12h");
        let gateway = clock.given_to(plan).start().await?;
        let alice = Visitor::new()?;
        let scene = Self { world, issuer, provider, clock, gateway, _echo: echo, alice };
        scene.sign_in(&scene.alice).await?;
        Ok(scene)
    }

    async fn sign_in(&self, visitor: &Visitor) -> Result<u16> {
        let start = visitor.open(&self.world.url("/oauth2/start?rd=/home")).await?;
        let back = self.issuer.sign_in(start.location()?.as_str(), "alice");
        let answer = visitor.open(&back.context("at the provider")?).await?;
        Ok(answer.status.as_u16())
    }

    async fn statuses(&self, count: usize) -> Result<Vec<u16>> {
        let url = self.world.url("/x");
        let answers = try_join_all((0..count).map(|_| self.alice.fetch(&url))).await?;
        Ok(answers.iter().map(|answer| answer.status.as_u16()).collect())
    }

    async fn call(&self, token: &str) -> Result<u16> {
        let request = plain_client()?.get(self.world.url("/api")).bearer_auth(token);
        Ok(request.send().await?.status().as_u16())
    }

    fn refreshes(&self) -> u64 {
        self.issuer.token_requests_by_grant(Grant::RefreshToken)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_back_ends_no_session() -> Result<()> {
    let scene = Scene::new("clock-back").await?;
    let token = scene.issuer.mint(Mint::access("alice"))?;
    assert_eq!(scene.call(&token).await?, 200);
    scene.clock.set(-HOUR)?;
    for _ in 0..10 {
        assert_eq!(scene.statuses(5).await?, [200; 5]);
        // The token was issued in the future; it may be refused, with a reason, but nothing breaks.
        ensure!(matches!(scene.call(&token).await?, 200 | 401));
        sleep(Duration::from_millis(200)).await;
    }
    // The provider's clock is set back too, as after a correction of both: new tokens and sign-ins are right.
    scene.provider.store(-HOUR, Ordering::Relaxed);
    let token = scene.issuer.mint(Mint::access("alice"))?;
    assert_eq!(scene.call(&token).await?, 200);
    assert_eq!(scene.sign_in(&Visitor::new()?).await?, 302);
    assert_eq!(scene.statuses(5).await?, [200; 5]);
    ensure!(scene.refreshes() <= 1, "{} refreshes", scene.refreshes());
    scene.gateway.finish(&scene.alice.cookie_values())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_ahead_makes_one_refresh() -> Result<()> {
    let scene = Scene::new("clock-ahead").await?;
    scene.clock.set(HOUR)?;
    scene.provider.store(HOUR, Ordering::Relaxed);
    assert_eq!(scene.statuses(50).await?, [200; 50]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.statuses(50).await?, [200; 50]);
    assert_eq!(scene.refreshes(), 1);
    assert_eq!(scene.issuer.refresh_reuse_detected(), 0);
    let token = scene.issuer.mint(Mint::access("alice"))?;
    assert_eq!(scene.call(&token).await?, 200);
    scene.gateway.finish(&scene.alice.cookie_values())
}

/// The provider's new tokens are over by this clock. They are not accepted, and the refresh token is spent: the session ends,
/// with the reason in the log. It ends once, not in a storm of refreshes.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_ahead_of_its_provider_logs_the_refusal() -> Result<()> {
    let scene = Scene::new("clock-alone").await?;
    scene.clock.set(HOUR)?;
    for _ in 0..20 {
        for status in scene.statuses(5).await? {
            ensure!(matches!(status, 401 | 503), "{status}");
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(scene.refreshes(), 1);
    let said = |line: &serde_json::Value| line["msg"] == "tokens not refreshed";
    ensure!(scene.gateway.log_lines()?.iter().any(said), "the log does not say why");
    scene.clock.set(0)?;
    let alice = Visitor::new()?;
    assert_eq!(scene.sign_in(&alice).await?, 302);
    assert_eq!(alice.fetch(&scene.world.url("/x")).await?.status, 200);
    scene.gateway.finish(&alice.cookie_values())
}
