//! nginx and Caddy ask the gateway before each request, with the snippets that their users have.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::{
    World,
    fronts::Front,
    gateway::Plan,
    visitor::{Manner, Visitor, plain_client},
    wait,
};
use reqwest::Method;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// Routes without an upstream: the front has it.
const ROUTES: &str = "lab:
  match: { path: /lab }
  access:
    - { path: /lab/health, allow: anyone }
    - { methods: [DELETE], allow: { roles: [admin] } }
    - { allow: { roles: [data-scientist] } }";

async fn asks_before_each_request(name: &str) -> Result<()> {
    let world = World::new(name)?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, ROUTES)?.behind_a_front()?.start().await?;
    let _front = match name {
        "nginx" => Front::nginx(&world, &gateway, &echo).await?,
        _ => Front::caddy(&world, &gateway, &echo).await?,
    };

    // A person, through the front to Keycloak and back.
    let person = world.browser().await?.person().await?;
    let page = person.tab().await?;
    let asked = world.url("/lab/page?part=2");
    page.goto(&asked).await?;
    page.log_in("alice").await?;
    assert_eq!(page.wait_for_url(&world.url("/lab/page"), PATIENCE).await?, asked);
    let seen = echo.last("/lab/page")?;
    assert_eq!(seen.value("x-name").as_deref(), Some("alice"));
    assert_eq!(seen.value("x-email").as_deref(), Some("alice@example.com"));
    assert_eq!(seen.value("x-groups").as_deref(), Some("/lab"));
    assert!(seen.value("x-user").is_some_and(|subject| subject.len() > 30));

    // The rule sees the method and path that the front was asked for.
    let reached = echo.requests().len();
    let visitor = Visitor::new()?;
    visitor.log_in(&world.url("/lab/page"), "alice").await?;
    let origin = world.public_url();
    let own = [("origin", origin.as_str())];
    let delete =
        visitor.send(Method::DELETE, &world.url("/lab/page"), Manner::Fetch, &own, None).await?;
    assert_eq!(delete.status, 403, "{}", delete.body);
    assert_eq!(Visitor::new()?.open(&world.url("/lab/health")).await?.status, 200);
    let bob = Visitor::new()?;
    assert_eq!(bob.log_in(&world.url("/lab/page"), "bob").await?.status, 403);

    // A client's own fields about the request or the user do not count: the front overwrites them, or, where it passes
    // one on beside its own, the question is ambiguous and refused.
    for (header, value, status) in [
        ("x-forwarded-uri", "/lab/health", 302),
        ("x-original-url", "/lab/health", 403),
        ("x-forwarded-method", "OPTIONS", 302),
        ("x-auth-request-user", "mallory", 302),
    ] {
        let forged = [(header, value)];
        let url = world.url("/lab/secret");
        let answer =
            Visitor::new()?.send(Method::GET, &url, Manner::Navigation, &forged, None).await?;
        assert_eq!(answer.status, status, "{header}: {}", answer.body);
    }
    assert!(
        echo.requests().len() <= reached + 2,
        "of these, only alice's page and /health arrived"
    );

    // Where anyone may call, a client's own identity fields do not arrive either.
    for field in ["x-user", "x-name", "x-email", "x-groups"] {
        let forged = [(field, "mallory")];
        let url = world.url("/lab/health");
        let answer =
            Visitor::new()?.send(Method::GET, &url, Manner::Program, &forged, None).await?;
        assert_eq!(answer.status, 200, "{field}: {}", answer.body);
        let forwarded = echo.last("/lab/health")?.values(field).concat();
        // An old Caddy writes the name of its placeholder where the answer has no such field.
        assert!(
            forwarded.is_empty() || forwarded.starts_with("{http.reverse_proxy"),
            "{field}: {forwarded}"
        );
    }

    // A page with the user's cookie cannot ask by itself: the front does not publish the URL.
    for uri in ["/lab/page", "/lab/health", "/oauth2/auth"] {
        let fields = [("origin", origin.as_str()), ("x-forwarded-uri", uri)];
        let url = world.url("/oauth2/auth");
        let answer = visitor.send(Method::GET, &url, Manner::Fetch, &fields, None).await?;
        assert_eq!(answer.status, 404, "{uri}: {}", answer.body);
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("x-auth-request")));
    }

    // A program with a token.
    let token = realm.client_credentials("airflow-run", None).await?;
    let answer = plain_client()?.get(world.url("/lab/page")).bearer_auth(&token).send().await?;
    assert_eq!(answer.status(), 403, "a token without the role");
    gateway.finish(&visitor.cookie_values())
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_asks_by_auth_request() -> Result<()> {
    asks_before_each_request("nginx").await
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_asks_by_forward_auth() -> Result<()> {
    asks_before_each_request("caddy").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_are_202_401_and_403() -> Result<()> {
    let world = World::new("forward-auth")?;
    let realm = world.realm().await?;
    let gateway = Plan::new(&world, &realm, ROUTES)?.behind_a_front()?.start().await?;
    let host = format!("localhost:{}", world.public_port());
    let ask = async |token: Option<&str>, method: &str, uri: &str| -> Result<u16> {
        let mut request = plain_client()?
            .get(format!("http://127.0.0.1:{}/oauth2/auth", gateway.port()))
            .header("host", &host)
            .header("x-forwarded-host", &host)
            .header("x-forwarded-proto", "http")
            .header("x-forwarded-method", method)
            .header("x-forwarded-uri", uri);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Ok(request.send().await?.status().as_u16())
    };
    let token = realm.client_credentials("airflow-run", None).await?;
    assert_eq!(ask(None, "GET", "/lab/health").await?, 202);
    assert_eq!(ask(None, "GET", "/lab/page").await?, 401);
    assert_eq!(ask(Some(&token), "GET", "/lab/page").await?, 403);
    assert_eq!(ask(Some("nonsense"), "GET", "/lab/page").await?, 401);
    assert_eq!(ask(None, "GET", "/nowhere").await?, 403, "no route lets it through");
    assert_ne!(ask(None, "GET", "/lab/health/../page").await?, 202);

    // The log has the request that was asked about, not the question.
    let audit = wait::until("the log's last line", PATIENCE, async || {
        let audit = gateway.audit()?;
        Ok(audit.iter().any(|line| line["path"] == "/nowhere").then_some(audit))
    })
    .await?;
    let logged = |path: &str, decision: &str| {
        let fits = |line: &&Value| line["path"] == path && line["decision"] == decision;
        audit.iter().find(fits).with_context(|| format!("{decision} {path}: {audit:#?}"))
    };
    let passed = logged("/lab/health", "allow")?;
    assert_eq!((&passed["route"], &passed["rule"]), (&json!("lab"), &json!(1)));
    logged("/lab/page", "sign_in")?;
    let refused = logged("/lab/page", "deny")?;
    assert_eq!((&refused["client"], &refused["rule"]), (&json!("airflow-run"), &json!(3)));
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains("data-scientist")));
    logged("/nowhere", "deny")?;
    gateway.finish(&[token])
}
