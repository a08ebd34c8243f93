//! Floods from unknown callers, counted at the provider; and the busy neighbours that must pass.

use std::time::Duration;

use anyhow::{Context as _, Result};
use dev_issuer::{DevClient, Endpoint, Fault, Grant, Mint};
use e2e::{gateway::Plan, wait, wire::Answer};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use crate::stage::{Asking, Setup, Stage};

/// Requests that one address may make at once, and those that it regains each second.
const BURST: u64 = 100;
const RATE: u64 = 10;

/// The most requests that one address can have made since `begun`.
fn allowed(begun: Instant) -> u64 {
    BURST + RATE * (begun.elapsed().as_secs() + 1)
}

/// The usual stage, where the provider is asked about opaque tokens; the client `fleet` gets such tokens.
fn asking(name: &str) -> Setup {
    let fleet = DevClient::public("fleet").audience("gateway").opaque_access_tokens();
    Setup::new(name)
        .with_issuer(|issuer| issuer.client(fleet))
        .with_plan(|plan: Plan| plan.with_issuer_setting("introspection: { cache: 1m }"))
}

fn is_too_many(answer: &Answer) -> bool {
    let seconds = answer.header("retry-after").parse::<u64>().unwrap_or(0);
    answer.status == 503 && (1..=10).contains(&seconds) && answer.body.contains("too_many_requests")
}

fn from_flooder(asking: Asking<'_>) -> Asking<'_> {
    asking.header("X-Forwarded-For", "192.0.2.1")
}

/// `count` requests, twenty at a time.
async fn flood<'s, F>(count: usize, ask: impl Fn(usize) -> F) -> Result<Vec<Answer>>
where
    F: Future<Output = Result<Answer>> + 's,
{
    let mut answers = Vec::with_capacity(count);
    let numbers: Vec<usize> = (0..count).collect();
    for some in numbers.chunks(20) {
        answers.extend(try_join_all(some.iter().map(|number| ask(*number))).await?);
    }
    Ok(answers)
}

impl Stage {
    /// The log lines about an address that is bounded.
    fn bounded(&self) -> Result<Vec<serde_json::Value>> {
        let mut lines = self.gateway.log_lines()?;
        lines.retain(|line| line["msg"] == "refusing requests beyond the limit");
        Ok(lines)
    }

    /// Uses a token on a route where every known caller is let in.
    async fn with_token(&self, token: &str) -> Result<Answer> {
        self.get("/echo").bearer(token).send().await
    }

    /// A valid opaque access token.
    fn opaque(&self, user: &str) -> Result<String> {
        let tokens = self.issuer.log_in(user, "fleet", "openid").context("at the issuer")?;
        Ok(tokens.access_token)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_starts_reaches_the_provider_at_a_bounded_rate() -> Result<()> {
    let stage = asking("flood-starts").trusting_proxies().start().await?;
    let alice = stage.sign_in("alice").await?;
    let before = stage.issuer.requests(Endpoint::Par);
    let begun = Instant::now();
    let answers = flood(1_200, async |_| {
        stage.get("/oauth2/start?rd=/echo").header("X-Forwarded-For", "192.0.2.1").send().await
    })
    .await?;
    let pushed = stage.issuer.requests(Endpoint::Par) - before;
    let most = allowed(begun);
    assert!((BURST..=most).contains(&pushed), "{pushed} pushed requests of at most {most}");
    let served = answers.iter().filter(|answer| answer.status == 302).count();
    assert_eq!(served as u64, pushed);
    let refused = answers.iter().filter(|answer| is_too_many(answer)).count();
    assert_eq!(served + refused, 1_200, "each is served or gets a time to retry");
    // Other callers are served: another address, a session, a JWT.
    let other = stage.get("/oauth2/start").header("X-Forwarded-For", "192.0.2.2").send().await?;
    assert_eq!(other.status, 302);
    let mine = from_flooder(stage.get("/echo").header("Cookie", &alice));
    assert_eq!(mine.send().await?.status, 200);
    let jwt = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    assert_eq!(from_flooder(stage.get("/echo").bearer(&jwt)).send().await?.status, 200);
    // A person at the flooding address sees a page.
    let page = from_flooder(stage.get("/oauth2/start").navigating()).send().await?;
    assert!(page.status == 302 || page.body.contains("Too many requests at once"), "{page:?}");
    // And is served when the pause is over.
    wait::until("a login after the pause", Duration::from_secs(20), async || {
        let asking = stage.get("/oauth2/start").header("X-Forwarded-For", "192.0.2.1");
        Ok((asking.send().await?.status == 302).then_some(()))
    })
    .await?;
    let lines = stage.bounded()?;
    let most = 1 + usize::try_from(begun.elapsed().as_secs() / 10)?;
    assert!((1..=most).contains(&lines.len()), "{lines:?}");
    assert!(lines.iter().all(|line| line["address"] == "192.0.2.1/32"), "{lines:?}");
    let metrics = stage.gateway.metrics().await?;
    assert!(metrics.contains(r#"outcome="too_many_requests""#), "{metrics}");
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_cookie_makes_one_token_request() -> Result<()> {
    let stage = Stage::new("flood-callback").await?;
    let (location, cookies) = stage.begin_login("/echo").await?;
    let callback = stage.issuer.sign_in(location.as_str(), "alice")?;
    let callback: url::Url = callback.parse()?;
    let with_code = |code: &str| {
        let mut junk = callback.clone();
        let pairs: Vec<(String, String)> = callback.query_pairs().into_owned().collect();
        junk.query_pairs_mut().clear().extend_pairs(pairs.iter().map(|(name, value)| {
            (name.as_str(), if name == "code" { code } else { value.as_str() })
        }));
        format!("{}?{}", junk.path(), junk.query().unwrap_or_default())
    };
    let redeemed = || stage.issuer.token_requests_by_grant(Grant::AuthorizationCode);
    let answers = flood(300, async |number| {
        let target = with_code(&format!("junk-{number}"));
        stage.get(&target).header("Cookie", &cookies).send().await
    })
    .await?;
    assert!(answers.iter().all(|answer| answer.status == 400 && answer.cookies().is_empty()));
    assert_eq!(redeemed(), 1, "one token request for one login");
    // The valid code comes too late and is refused as well; another login succeeds.
    let good = format!("{}?{}", callback.path(), callback.query().unwrap_or_default());
    let late = stage.get(&good).header("Cookie", &cookies).send().await?;
    assert_eq!((late.status, redeemed()), (400, 1), "{late:?}");
    let alice = stage.sign_in("alice").await?;
    assert_eq!(redeemed(), 2);
    stage.finish(&[&alice, &cookies])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_was_away_takes_the_same_code_again() -> Result<()> {
    let stage = Stage::new("flood-callback-away").await?;
    let (location, cookies) = stage.begin_login("/echo").await?;
    let callback: url::Url = stage.issuer.sign_in(location.as_str(), "alice")?.parse()?;
    let target = format!("{}?{}", callback.path(), callback.query().unwrap_or_default());
    stage.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    let away = stage.get(&target).header("Cookie", &cookies).send().await?;
    assert_eq!(away.status, 503, "{away:?}");
    stage.issuer.faults().clear();
    let back = stage.get(&target).header("Cookie", &cookies).send().await?;
    assert_eq!(back.status, 302, "{back:?}");
    stage.finish(&[&cookies])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_tokens_is_asked_about_at_a_bounded_rate() -> Result<()> {
    let stage = asking("flood-tokens").start().await?;
    let familiar = stage.opaque("alice")?;
    assert_eq!(stage.with_token(&familiar).await?.status, 200);
    let before = stage.issuer.requests(Endpoint::Introspection);
    let begun = Instant::now();
    let answers =
        flood(1_500, async |number| stage.with_token(&format!("junk-token-number-{number}")).await)
            .await?;
    let asked = stage.issuer.requests(Endpoint::Introspection) - before;
    let most = allowed(begun);
    assert!((BURST..=most).contains(&asked), "{asked} questions of at most {most}");
    let refused = answers.iter().filter(|answer| answer.status == 401).count();
    let bounded = answers.iter().filter(|answer| is_too_many(answer)).count();
    assert_eq!((refused as u64, refused + bounded), (asked, 1_500));
    assert!(stage.reached().iter().all(|target| target == "/echo") && stage.reached().len() == 1);
    // From the same address: a token known to be valid, a JWT, a login.
    assert_eq!(stage.with_token(&familiar).await?.status, 200);
    let jwt = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    assert_eq!(stage.with_token(&jwt).await?.status, 200);
    let alice = stage.sign_in("alice").await?;
    // A new valid one is served after the pause.
    let fresh = stage.opaque("bob")?;
    wait::until("a new token after the pause", Duration::from_secs(20), async || {
        Ok((stage.with_token(&fresh).await?.status == 200).then_some(()))
    })
    .await?;
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_unknown_token_is_asked_about_once() -> Result<()> {
    let stage = asking("flood-one-token").start().await?;
    let before = stage.issuer.requests(Endpoint::Introspection);
    let answers = flood(500, async |_| stage.with_token("the-same-junk-token").await).await?;
    assert!(
        answers.iter().all(|answer| answer.status == 401),
        "the token is refused, not the rate"
    );
    assert_eq!(stage.issuer.requests(Endpoint::Introspection) - before, 1);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_jwts_cost_the_provider_nothing() -> Result<()> {
    let stage = asking("flood-jwts").start().await?;
    let good = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let before = stage.issuer.requests(Endpoint::All);
    let (signed, _) = good.rsplit_once('.').context("no JWT")?;
    let answers =
        flood(500, async |number| stage.with_token(&format!("{signed}.{number:086}")).await)
            .await?;
    assert!(answers.iter().all(|answer| answer.status == 401));
    assert_eq!(stage.issuer.requests(Endpoint::All) - before, 0);
    assert_eq!(stage.with_token(&good).await?.status, 200);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_with_valid_tokens_passes_at_once() -> Result<()> {
    let stage = asking("flood-fleet").start().await?;
    // More than the unknown tokens of one address, and few enough that a busy machine serves them within the time to wait for a
    // call.
    let tokens: Vec<String> =
        (0..200).map(|_| stage.opaque("alice")).collect::<Result<Vec<_>>>()?;
    let answers = try_join_all(tokens.iter().map(|token| stage.with_token(token))).await?;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    // They use up nothing: as many unknown tokens as before are introspected.
    let answers =
        flood(90, async |number| stage.with_token(&format!("junk-token-number-{number}")).await)
            .await?;
    assert!(answers.iter().all(|answer| answer.status == 401));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_tabs_begin_to_sign_in_at_once() -> Result<()> {
    let stage = Stage::new("flood-tabs").await?;
    try_join_all((0..20).map(|_| stage.begin_login("/echo"))).await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_office_of_sixty_signs_in_at_once() -> Result<()> {
    let stage = Stage::new("flood-office").await?;
    let people = try_join_all((0..60).map(|_| stage.finish_login("bob", "/echo"))).await?;
    let statuses: Vec<u16> = people.iter().map(|answer| answer.status).collect();
    assert!(statuses.iter().all(|status| *status == 302), "{statuses:?}");
    assert!(people.iter().all(|answer| !answer.cookies().is_empty()));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_provider_sees_so_many_logins_at_once() -> Result<()> {
    let stage = Setup::new("flood-slow").trusting_proxies().start().await?;
    stage.begin_login("/echo").await?;
    let before = stage.issuer.requests(Endpoint::Par);
    stage.issuer.faults().set(Fault::Slow(Duration::from_secs(4)), Endpoint::Par);
    let begun = Instant::now();
    let answers = try_join_all((0..60).map(|number| {
        let address = format!("198.51.100.{number}");
        stage.get("/oauth2/start").header("X-Forwarded-For", address).send()
    }))
    .await?;
    assert_eq!(stage.issuer.requests(Endpoint::Par) - before, 32);
    assert_eq!(answers.iter().filter(|answer| answer.status == 302).count(), 32);
    assert_eq!(answers.iter().filter(|answer| is_too_many(answer)).count(), 28);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    stage.issuer.faults().clear();
    stage.begin_login("/echo").await?;
    stage.finish(&[])
}
