//! Programs with tokens from Keycloak's client credentials; each refusal has its reason.

use std::time::Duration;

use anyhow::Result;
use e2e::{
    World,
    gateway::{Gateway, Plan},
    keycloak::Realm,
    visitor::{Answer, Manner, Visitor},
    wait,
};
use reqwest::Method;

fn routes(upstream: &str) -> String {
    format!(
        "scoring:
  match: {{ path: /models/churn }}
  upstream: {upstream}
  sign_in: challenge
  access:
    - {{ methods: [GET], path: /models/churn/health, allow: signed_in }}
    - allow: [ {{ clients: [airflow-run], scopes: [score] }}, {{ roles: [ml-admin] }} ]"
    )
}

async fn score(world: &World, token: &str) -> Result<Answer> {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let body = Some(r#"{"values":[1,2,6]}"#.to_owned());
    let url = world.url("/models/churn/score");
    Visitor::new()?.send(Method::POST, &url, Manner::Program, &headers, body).await
}

/// 401 with `invalid_token` in the challenge (RFC 6750 §3.1), and `word` in both challenge and problem.
fn refused_for(answer: &Answer, word: &str) -> Result<()> {
    assert_eq!(answer.status, 401, "{}", answer.body);
    let challenge = answer.header("www-authenticate");
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    assert!(challenge.contains(word), "«{word}» in {challenge}");
    let detail = answer.problem_detail()?;
    assert!(detail.contains(word), "«{word}» in {detail}");
    Ok(())
}

async fn start(world: &World) -> Result<(Realm, Gateway, e2e::applications::ModelApi)> {
    let (realm, api) = (world.realm().await?, world.model_api().await?);
    let plan = Plan::new(world, &realm, &routes(&api.url()))?.with_issuer_setting("leeway: 1s");
    let gateway = plan.start().await?;
    Ok((realm, gateway, api))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_credentials_token_passes() -> Result<()> {
    let world = World::new("bearer")?;
    let (realm, gateway, _api) = start(&world).await?;
    let token = realm.client_credentials("airflow-run", Some("score")).await?;
    let answer = score(&world, &token).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let scored = answer.json()?;
    assert_eq!(scored["score"], 3.0);
    assert!(scored["asked_by"].as_str().is_some_and(|subject| subject.len() > 30), "{scored}");
    assert_eq!(score(&world, &token).await?.status, 200, "and again, from the cache");
    gateway.finish(&[token])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_fit_is_refused_with_its_reason() -> Result<()> {
    let world = World::new("bearer-refused")?;
    let (realm, gateway, _api) = start(&world).await?;

    let other_audience = realm.client_credentials("other", Some("score")).await?;
    refused_for(&score(&world, &other_audience).await?, "audience")?;

    let elsewhere = realm.elsewhere(&world.public_url()).await?;
    let other_issuer = elsewhere.client_credentials("airflow-run", Some("score")).await?;
    refused_for(&score(&world, &other_issuer).await?, "issuer")?;

    let unscoped = realm.client_credentials("airflow-run", None).await?;
    let answer = score(&world, &unscoped).await?;
    assert_eq!(answer.status, 403, "{}", answer.body);
    let challenge = answer.header("www-authenticate");
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    assert!(challenge.contains("scope=\"score\""), "{challenge}");
    assert!(answer.problem_detail()?.contains("score"));

    for garbage in ["nonsense", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(score(&world, garbage).await?.status, 401, "{garbage}");
    }
    let anonymous = Visitor::new()?.open(&world.url("/models/churn/health")).await?;
    assert_eq!(anonymous.status, 401, "an API route challenges even a browser");
    assert!(
        !anonymous.header("www-authenticate").contains("error="),
        "RFC 6750 §3.1: no error code"
    );
    gateway.finish(&[other_audience, other_issuer, unscoped])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_refused_after_it_was_cached() -> Result<()> {
    let world = World::new("bearer-expired")?;
    let (realm, gateway, _api) = start(&world).await?;
    realm.access_tokens_live(3).await?;
    let token = realm.client_credentials("airflow-run", Some("score")).await?;
    assert_eq!(score(&world, &token).await?.status, 200);
    let answer = wait::until("the token to be refused", Duration::from_secs(20), async || {
        let answer = score(&world, &token).await?;
        Ok((answer.status != 200).then_some(answer))
    })
    .await?;
    refused_for(&answer, "expired")?;
    gateway.finish(&[token])
}
