//! Commands for operators: `check` judges the file, the issuer and the upstreams; `explain` shows a decision.

use anyhow::{Context as _, Result};
use e2e::{
    World,
    gateway::{Plan, command},
    visitor::plain_client,
};
use reqwest::Method;

/// `doorward` with these arguments: its exit code, and everything it printed.
fn doorward(arguments: &[&str]) -> Result<(i32, String)> {
    let output = command(arguments)?;
    let printed = [output.stdout, output.stderr].concat();
    let code = output.status.code().context("ended by a signal")?;
    Ok((code, String::from_utf8(printed)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn check_asks_the_issuer_and_the_upstreams() -> Result<()> {
    let world = World::new("commands-check")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let relay = realm.relay().await?;
    let routes = format!(
        "page:\n  match: {{ path: / }}\n  upstream: {}\n  access: [{{ allow: signed_in }}]",
        echo.url()
    );
    let plan = Plan::new(&world, &realm, &routes)?.with_issuer(&realm.issuer_through(&relay));
    let file = plan.write()?;
    let file = file.to_str().context("a path that is not UTF-8")?;
    let online = ["check", "--config", file, "--online"];
    let (code, printed) = doorward(&online)?;
    assert_eq!(code, 0, "{printed}");
    relay.cut();
    let (code, printed) = doorward(&online)?;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("main"), "names the issuer: {printed}");
    assert_eq!(doorward(&["check", "--config", file])?.0, 0, "the file itself is valid");
    relay.restore();
    let upstream = echo.address();
    drop(echo);
    let (code, printed) = doorward(&online)?;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains(&upstream.port().to_string()), "names the upstream: {printed}");
    assert!(!printed.contains("secret-for-tests"), "{printed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_predicts_the_gateways_decision() -> Result<()> {
    let world = World::new("commands-explain")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let routes = format!(
        "scoring:
  match: {{ path: /models/churn }}
  upstream: {}
  sign_in: challenge
  access:
    - {{ methods: [GET], path: /models/churn/health, allow: anyone }}
    - {{ methods: [DELETE], allow: {{ roles: [admin] }} }}
    - {{ methods: [POST], allow: {{ clients: [airflow-run], scopes: [score] }} }}
    - {{ allow: signed_in }}",
        echo.url()
    );
    let gateway = Plan::new(&world, &realm, &routes)?.start().await?;
    let file = gateway.config().to_str().context("a path that is not UTF-8")?.to_owned();
    let scoped = realm.client_credentials("airflow-run", Some("score")).await?;
    let plain = realm.client_credentials("airflow-run", None).await?;
    for (token, method, path, code, status, rule) in [
        (None, Method::GET, "/models/churn/health", 0, 200, "1"),
        (None, Method::POST, "/models/churn/score", 4, 401, "3"),
        (Some(&scoped), Method::POST, "/models/churn/score", 0, 200, "3"),
        (Some(&plain), Method::POST, "/models/churn/score", 3, 403, "3"),
        (Some(&scoped), Method::DELETE, "/models/churn/x", 3, 403, "2"),
        (Some(&plain), Method::GET, "/models/churn/x", 0, 200, "4"),
        (Some(&plain), Method::GET, "/elsewhere", 3, 404, ""),
    ] {
        let url = world.url(path);
        let mut arguments = vec!["explain", "--config", &file, "--url", &url];
        arguments.extend(["--method", method.as_str()]);
        arguments.extend(token.iter().flat_map(|token| ["--token", token.as_str()]));
        let (exit, printed) = doorward(&arguments)?;
        assert_eq!(exit, code, "{method} {path}: {printed}");
        assert!(printed.contains(rule), "{method} {path} names rule {rule}: {printed}");

        let mut request = plain_client()?.request(method.clone(), &url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        assert_eq!(request.send().await?.status(), status, "{method} {path}");
    }
    gateway.finish(&[scoped, plain])
}
