//! Keycloak's standard token exchange: for a route's upstream, and tokens of the local listener.

use anyhow::{Context as _, Result, ensure};
use e2e::{
    World,
    gateway::Plan,
    keycloak::Realm,
    token_text::claims,
    upstream::Echo,
    visitor::{Visitor, plain_client},
    world::free_port,
};
use serde_json::Value;

/// The claims of the token that the upstream received with the last request for this path.
fn received(upstream: &Echo, path: &str) -> Result<Value> {
    let value = upstream.last(path)?.value("authorization").context("no token")?;
    claims(value.strip_prefix("Bearer ").context("another scheme")?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_and_a_program_get_tokens_for_the_service() -> Result<()> {
    let world = World::new("token-exchange")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let routes = format!(
        "scoring:
  match: {{ path: /scoring }}
  upstream: {upstream}
  access: [{{ allow: signed_in }}]
  identity: {{ access_token: {{ exchange: {{ audience: churn, scopes: [churn] }} }} }}
closed:
  match: {{ path: /closed }}
  upstream: {upstream}
  access: [{{ allow: signed_in }}]
  identity: {{ access_token: {{ exchange: {{ audience: other }} }} }}",
        upstream = echo.url()
    );
    let (port, secret) = (free_port()?, world.folder().join("airflow-run"));
    std::fs::write(&secret, Realm::secret("airflow-run"))?;
    let outbound = format!(
        "outbound:
  listen: 127.0.0.1:{port}
  targets:
    churn:
      url: {}/models
      issuer: main
      audience: churn
      scopes: [score, churn]
      client: {{ id: airflow-run, auth: {{ secret: {{ file: {} }} }} }}",
        echo.url(),
        secret.display()
    );
    let gateway = Plan::new(&world, &realm, &routes)?.with(&outbound).start().await?;

    let visitor = Visitor::new()?;
    let home = visitor.log_in(&world.url("/scoring/first"), "alice").await?;
    assert_eq!(home.status, 200, "{}", home.body);
    let token = received(&echo, "/scoring/first")?;
    let seen = echo.last("/scoring/first")?;
    assert_eq!(token["aud"], "churn");
    assert_eq!(token["azp"], "gateway");
    assert_eq!(token["sub"].as_str(), seen.value("x-forwarded-user").as_deref());
    assert_eq!(token["preferred_username"], "alice");
    assert_eq!(visitor.fetch(&world.url("/scoring/second")).await?.status, 200);
    assert_eq!(received(&echo, "/scoring/second")?["jti"], token["jti"], "from memory");

    // An audience that no scope of the request brings.
    let refused = visitor.fetch(&world.url("/closed/x")).await?;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(refused.json()?["code"], "exchange_refused");

    let client = plain_client()?;
    let asked = client.get(format!("http://127.0.0.1:{port}/token?audience=churn"));
    let answer: Value = asked.header("x-doorward-local", "1").send().await?.json().await?;
    let of_program = claims(answer["access_token"].as_str().context("no token")?)?;
    ensure!(of_program["aud"].to_string().contains("churn"), "{of_program}");
    assert_eq!(of_program["azp"], "airflow-run");
    let called = client.post(format!("http://127.0.0.1:{port}/churn/score")).body("[1]").send();
    assert_eq!(called.await?.status(), 200);
    assert_eq!(received(&echo, "/models/score")?["jti"], of_program["jti"]);
    assert_eq!(echo.last("/models/score")?.body, b"[1]");
    gateway.finish(&visitor.cookie_values())
}
