//! Views of people and operators: the portal, pages about a service, metrics.

use anyhow::{Context as _, Result};
use dev_issuer::Mint;

use crate::stage::{Setup, Stage};

const ROUTES: &str = "\
lab:
  title: Zebra lab
  match: { path: /lab }
  upstream: UPSTREAM
  portal: { start: /tree, icon: notebook }
  access: [{ path: /lab/tree, allow: signed_in }, { allow: { roles: [admin] } }]
api:
  title: apple scoring
  match: { path: /models/apple }
  upstream: UPSTREAM
  sign_in: challenge
  access: [{ allow: signed_in }]
shown-api:
  title: Banana scoring
  match: { path: /models/banana }
  upstream: UPSTREAM
  sign_in: challenge
  portal: { hide: false, group: Models }
  access: [{ allow: signed_in }]
hidden:
  title: Hidden
  match: { path: /hidden }
  upstream: UPSTREAM
  portal: { hide: true }
  access: [{ allow: signed_in }]
gone:
  title: Churn dashboard
  match: { path: /gone }
  upstream: http://127.0.0.1:1
  access: [{ allow: signed_in }]
jobs:
  title: Jobs
  match: { path: /jobs }
  upstream: UPSTREAM
  access:
    - { path: /jobs/only/**, allow: { clients: [airflow-run], scopes: [score] } }
    - { allow: [ { clients: [airflow-run] }, { roles: [operator] } ] }
";

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_shows_what_a_person_opens() -> Result<()> {
    let stage = Setup::new("overview-portal").with_routes(ROUTES).start().await?;
    let cookie = stage.sign_in("bob").await?;
    let page = async |query: &str| {
        let ask = stage.get(&format!("/oauth2/portal{query}")).navigating();
        anyhow::Ok(ask.header("Cookie", &cookie).send().await?.body)
    };
    let all = page("").await?;
    let place = |text: &str| all.find(text).with_context(|| format!("no {text} in {all}"));
    assert!(place("Churn dashboard")? < place("echo")? && place("echo")? < place("Zebra lab")?);
    assert!(place("Zebra lab")? < place("<bdi>Models</bdi>")?);
    assert!(place("<bdi>Models</bdi>")? < place("Banana scoring")?);
    assert!(all.contains("/lab/tree\""), "the card leads to the page that bob may open: {all}");
    for absent in ["apple scoring", "Hidden", "admin"] {
        assert!(!all.contains(&format!("<bdi>{absent}</bdi>")), "{absent}: {all}");
    }
    let some = page("?q=ZEB").await?;
    assert!(some.contains("Zebra lab") && !some.contains("Banana scoring"), "{some}");
    let twice = stage.get("/oauth2/portal?q=a&q=b").header("Cookie", &cookie).send().await?;
    assert_eq!(twice.status, 400);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_name_the_service_and_offer_a_person_no_client() -> Result<()> {
    let stage = Setup::new("overview-pages").with_routes(ROUTES).start().await?;
    let cookie = stage.sign_in("bob").await?;
    let page =
        async |path: &str| stage.get(path).navigating().header("Cookie", &cookie).send().await;
    let gone = page("/gone/x").await?;
    assert_eq!(gone.status, 502);
    assert!(gone.body.contains("Churn dashboard cannot be reached"), "{}", gone.body);
    assert!(!gone.body.contains("127.0.0.1:1"), "{}", gone.body);
    let jobs = page("/jobs/x").await?;
    assert_eq!(jobs.status, 403);
    assert!(jobs.body.contains("the role operator"), "{}", jobs.body);
    assert!(!jobs.body.contains("airflow-run"), "{}", jobs.body);
    let only = page("/jobs/only/x").await?;
    assert!(only.body.contains("Only programs may use this address"), "{}", only.body);
    assert!(!only.body.contains("airflow-run"), "{}", only.body);
    // A program learns all of them.
    let token = stage.issuer.mint(Mint::access("bob").client("gateway"))?;
    let answer = stage.get("/jobs/x").bearer(&token).send().await?;
    assert!(answer.body.contains("needs the client airflow-run"), "{}", answer.body);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_latency_statuses_bytes_and_sessions() -> Result<()> {
    let stage = Stage::new("overview-metrics").await?;
    for _ in 0..7 {
        stage.sign_in("alice").await?;
    }
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let body = "x".repeat(12_345);
    let answer = stage.post("/echo/a").bearer(&token).body(body).send().await?;
    assert_eq!(answer.status, 200);
    let sent = answer.body.len();
    let page = stage.gateway.metrics().await?;
    for line in [
        "doorward_sessions 7".to_owned(),
        "doorward_request_seconds_count{route=\"echo\"} 1".to_owned(),
        "doorward_upstream_responses_total{route=\"echo\",status=\"2xx\"} 1".to_owned(),
        "doorward_body_bytes_total{route=\"echo\",direction=\"received\"} 12345".to_owned(),
        format!("doorward_body_bytes_total{{route=\"echo\",direction=\"sent\"}} {sent}"),
        "doorward_build_info{version=\"".to_owned(),
    ] {
        assert!(page.contains(&line), "{line}\n{page}");
    }
    stage.finish(&[])
}
