//! The real Envoy asks by `ext_authz`, configured as the guide prints it.

use std::time::Duration;

use anyhow::Result;
use dev_issuer::{DevClient, DevIssuer, User};
use e2e::{
    World,
    gateway::Plan,
    recipes::envoy,
    visitor::{Manner, Visitor, plain_client},
    wait,
    websocket::connect,
    wire::Wire,
};
use reqwest::Method;

const PATIENCE: Duration = Duration::from_secs(30);

const ROUTES: &str = "lab:
  match: { path: /lab }
  access:
    - { path: /lab/health, allow: anyone }
    - { methods: [DELETE], allow: { roles: [admin] } }
    - { allow: { roles: [data-scientist] } }";

/// The fields of a client that imitates the gateway.
const FORGED: [(&str, &str); 8] = [
    ("x-forwarded-user", "mallory"),
    ("x-forwarded-preferred-username", "mallory"),
    ("x-forwarded-groups", "/admin"),
    ("x-doorward-assertion", "a.b.c"),
    ("x-auth-request-user", "mallory"),
    ("x-remote-user", "mallory"),
    ("x-original-url", "/lab/health"),
    ("x-http-method-override", "DELETE"),
];

#[tokio::test(flavor = "multi_thread")]
async fn envoy_asks_by_ext_authz() -> Result<()> {
    let world = World::new("envoy")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let plan = Plan::new(&world, &realm, ROUTES)?.behind_a_front()?.asked_by_envoy()?;
    let gateway = plan.start().await?;
    let _front = envoy(&world, &gateway, &echo, |recipe| recipe).await?;

    // A person, through Envoy to Keycloak and back.
    let person = world.browser().await?.person().await?;
    let page = person.tab().await?;
    let asked = world.url("/lab/page?part=2");
    page.goto(&asked).await?;
    page.log_in("alice").await?;
    assert_eq!(page.wait_for_url(&world.url("/lab/page"), PATIENCE).await?, asked);
    let seen = echo.last("/lab/page")?;
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
    assert_eq!(seen.value("x-forwarded-groups").as_deref(), Some("/lab"));
    assert!(seen.value("x-doorward-assertion").is_some());
    assert_eq!(seen.value("cookie"), None, "the session is the gateway's");

    // The gateway's answers come through: to browsers, scripts and programs.
    let visitor = Visitor::new()?;
    visitor.log_in(&world.url("/lab/page"), "alice").await?;
    let reached = echo.requests().len();
    let origin = world.public_url();
    let own = [("origin", origin.as_str())];
    let delete =
        visitor.send(Method::DELETE, &world.url("/lab/page"), Manner::Fetch, &own, None).await?;
    assert_eq!(delete.status, 403, "{}", delete.body);
    assert!(!delete.body.is_empty(), "the reason");
    let bob = Visitor::new()?.log_in(&world.url("/lab/page"), "bob").await?;
    assert_eq!(bob.status, 403);
    assert!(bob.body.contains("<html"), "{}", bob.body);
    let token = realm.client_credentials("airflow-run", None).await?;
    let answer = plain_client()?.get(world.url("/lab/page")).bearer_auth(&token).send().await?;
    assert_eq!(answer.status(), 403, "a token without the role");
    let nowhere = plain_client()?.get(world.url("/nowhere")).bearer_auth(&token).send().await?;
    assert_eq!(nowhere.status(), 404);
    let anonymous = plain_client()?.get(world.url("/lab/page")).send().await?;
    assert_eq!(anonymous.status(), 401);
    assert!(anonymous.headers().contains_key("www-authenticate"));
    assert_eq!(echo.requests().len(), reached, "none of these reached the application");

    // A client's own identity does not arrive, whether the caller is known or not.
    let url = world.url("/lab/a");
    let answer = visitor.send(Method::GET, &url, Manner::Fetch, &FORGED, None).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let seen = echo.last("/lab/a")?;
    assert_eq!(seen.values("x-forwarded-preferred-username"), ["alice"]);
    assert_eq!(seen.values("x-forwarded-groups"), ["/lab"]);
    let health = world.url("/lab/health");
    let answer = Visitor::new()?.send(Method::GET, &health, Manner::Program, &FORGED, None).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let public = echo.last("/lab/health")?;
    for (name, value) in FORGED {
        for seen in [&seen, &public] {
            assert!(!seen.values(name).iter().any(|own| own == value), "{name}: {seen:?}");
        }
        assert!(public.values(name).is_empty(), "{name}");
    }
    // Envoy names its own machine for a client on it; the peer that it tells comes last.
    let chain = seen.value("x-forwarded-for");
    assert!(chain.is_some_and(|chain| chain.ends_with("127.0.0.1")), "{seen:?}");

    // A WebSocket opens from the application's own pages only.
    let cookie = visitor.cookies(&world.url("/lab/ws"))?;
    let port = world.public_port();
    let fields = [("origin", origin.as_str()), ("cookie", cookie.as_str())];
    let mut socket = connect(port, "/lab/ws", &fields).await?.open()?;
    assert_eq!(socket.ask("hello").await?, "hello");
    let foreign = [("origin", "https://evil.test"), ("cookie", cookie.as_str())];
    assert!(connect(port, "/lab/ws", &foreign).await?.open().is_err());
    gateway.finish(&[token])
}

/// Statuses of paths by bytes that no library sends, with Envoy's own rewriting on or off.
async fn paths_have_one_reading(name: &str, normalize: bool) -> Result<()> {
    let world = World::new(name)?;
    let issuer = DevIssuer::builder()
        .user(User::new("alice", "alice"))
        .client(
            DevClient::confidential("gateway", "a secret of Envoy's gateway").audience("gateway"),
        )
        .start("127.0.0.1:0")
        .await?;
    let echo = world.echo().await?;
    let routes = "all:
  match: { path: / }
  access: [{ path: /open/**, allow: anyone }, { allow: { roles: [admin] } }]";
    let secret = "a secret of Envoy's gateway";
    let plan = Plan::with_client(&world, issuer.url(), secret, routes)?;
    let gateway = plan.behind_a_front()?.asked_by_envoy()?.start().await?;
    let on = "normalize_path: true\n                merge_slashes: true";
    let change = |recipe: String| match normalize {
        true => recipe.replace("normalize_path: false", on),
        false => recipe,
    };
    let _front = envoy(&world, &gateway, &echo, change).await?;
    let host = format!("localhost:{}", world.public_port());
    for (target, plain, rewritten) in [
        ("/open/a", 200, 200),
        ("/open/%61", 200, 200),
        ("/closed", 401, 401),
        // Rewritten, these are paths that need a role.
        ("/open/../closed", 400, 401),
        ("/open/%2e%2e/closed", 400, 401),
        ("/open//../../closed", 400, 401),
        ("//closed", 400, 401),
        ("/open//a", 400, 200),
        ("/open/..;/closed", 400, 401),
        // Not rewritten by Envoy either.
        ("/open%2F..%2Fclosed", 400, 400),
        ("/open/%252e%252e/closed", 400, 400),
        ("/open/..%2Fclosed", 400, 400),
        ("/open/%5C..%5Cclosed", 400, 400),
    ] {
        let mut wire = Wire::connect(world.public_port()).await?;
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let status = wire.answer().await?.status;
        assert_eq!(status, if normalize { rewritten } else { plain }, "{target}");
    }
    for request in echo.requests() {
        assert!(!request.target().contains("closed"), "{}", request.target());
    }
    gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_s_paths_have_one_reading() -> Result<()> {
    paths_have_one_reading("envoy-paths", false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_envoy_rewrites_are_judged_rewritten() -> Result<()> {
    paths_have_one_reading("envoy-rewritten-paths", true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_cookie_passes_through_envoy() -> Result<()> {
    let world = World::new("envoy-refresh")?;
    let secret = "a secret of Envoy's gateway";
    let client = DevClient::confidential("gateway", secret).audience("gateway");
    let issuer = DevIssuer::builder()
        .user(User::new("alice", "alice"))
        .client(client.redirect_uri(world.url("/oauth2/callback")))
        .access_token_lifetime(Duration::from_secs(3))
        .start("127.0.0.1:0")
        .await?;
    let echo = world.echo().await?;
    let routes = "all:\n  match: { path: / }\n  access: [{ allow: signed_in }]";
    let plan = Plan::with_client(&world, issuer.url(), secret, routes)?.with_cookie_sessions();
    let gateway = plan.behind_a_front()?.asked_by_envoy()?.start().await?;
    let _front = envoy(&world, &gateway, &echo, |recipe| recipe).await?;
    let visitor = Visitor::new()?;
    let mut answer = visitor.open(&world.url("/a")).await?;
    while !answer.location()?.as_str().starts_with(issuer.url()) {
        answer = visitor.open(answer.location()?.as_str()).await?;
    }
    let callback = issuer.sign_in(answer.location()?.as_str(), "alice")?;
    visitor.follow(visitor.open(&callback).await?).await?;
    // The application's own answer brings the cookie, and the next request with it passes.
    let refreshed = wait::until("a refreshed cookie", PATIENCE, async || {
        let answer = visitor.open(&world.url("/a")).await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Ok(answer.headers.contains_key("set-cookie").then_some(answer))
    })
    .await?;
    assert!(refreshed.header("cache-control").contains("private"), "{:?}", refreshed.headers);
    assert_eq!(visitor.open(&world.url("/b")).await?.status, 200);
    assert_eq!(echo.last("/b")?.value("cookie"), None);
    gateway.finish(&visitor.cookie_values())
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_lets_nothing_through_without_the_gateway() -> Result<()> {
    let world = World::new("envoy-alone")?;
    let secret = "a secret of Envoy's gateway";
    let client = DevClient::confidential("gateway", secret).audience("gateway");
    let issuer = DevIssuer::builder().client(client).start("127.0.0.1:0").await?;
    let echo = world.echo().await?;
    let routes = "all:\n  match: { path: / }\n  access: [{ allow: anyone }]";
    let plan = Plan::with_client(&world, issuer.url(), secret, routes)?;
    let gateway = plan.behind_a_front()?.asked_by_envoy()?.start().await?;
    let _front = envoy(&world, &gateway, &echo, |recipe| recipe).await?;
    let ask = async || -> Result<u16> {
        Ok(plain_client()?.get(world.url("/a")).send().await?.status().as_u16())
    };
    assert_eq!(ask().await?, 200);
    gateway.finish(&[])?;
    let reached = echo.requests().len();
    assert_eq!(ask().await?, 403);
    assert_eq!(echo.requests().len(), reached);
    Ok(())
}
