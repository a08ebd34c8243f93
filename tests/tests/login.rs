//! Users sign in at Keycloak and come back to the page that they opened.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::{
    World,
    gateway::Plan,
    visitor::{Manner, Visitor},
};
use reqwest::Method;

const PATIENCE: Duration = Duration::from_secs(30);

/// One page that every signed-in user may open.
fn page_route(upstream: &str) -> String {
    format!(
        "page:\n  match: {{ path: / }}\n  upstream: {upstream}\n  access: [{{ allow: signed_in }}]"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_ends_at_the_page_asked_for() -> Result<()> {
    let world = World::new("login")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &page_route(&echo.url()))?.start().await?;
    let person = world.browser().await?.person().await?;
    let page = person.tab().await?;

    let asked = world.url("/reports/churn?month=2026-11&note=a%20b%26c");
    page.goto(&asked).await?;
    assert!(page.url().await?.starts_with(&realm.issuer()), "sent to Keycloak");
    assert!(echo.requests().is_empty(), "nothing reaches the upstream before the login");
    page.log_in("alice").await?;
    assert_eq!(page.wait_for_url(&world.url("/reports"), PATIENCE).await?, asked);

    let seen = echo.last("/reports")?;
    assert_eq!(seen.target(), "/reports/churn?month=2026-11&note=a%20b%26c");
    assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
    assert_eq!(seen.value("x-forwarded-email").as_deref(), Some("alice@example.com"));
    assert_eq!(seen.value("x-forwarded-groups").as_deref(), Some("/lab"));
    let roles = seen.value("x-forwarded-roles").context("no roles")?;
    assert!(roles.split(',').any(|role| role.trim() == "data-scientist"), "{roles}");
    assert_eq!(
        seen.value("host").as_deref(),
        Some(format!("localhost:{}", world.public_port()).as_str())
    );
    assert!(seen.value("x-doorward-assertion").is_some());
    assert_eq!(seen.values("cookie"), Vec::<String>::new(), "the gateway's cookies stay with it");

    let cookies = person.cookies().await?;
    let ours: Vec<_> = cookies.iter().filter(|cookie| cookie["domain"] == "localhost").collect();
    assert_eq!(ours.len(), 1, "one session cookie, and nothing left of the login: {ours:?}");
    assert_eq!((&ours[0]["httpOnly"], &ours[0]["path"]), (&true.into(), &"/".into()));
    assert_eq!(ours[0]["sameSite"], "Lax");

    let answers = page.answers().await?;
    let asked_keycloak: Vec<_> =
        answers.iter().filter(|answer| answer.contains("openid-connect/auth?")).collect();
    assert!(
        asked_keycloak.len() == 1 && asked_keycloak[0].contains("request_uri="),
        "the request went to Keycloak directly (RFC 9126): {answers:#?}"
    );

    let value = ours[0]["value"].as_str().unwrap_or_default().to_owned();
    gateway.finish(&[value])
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_cookie_is_bound_to_the_host_and_h2_streams() -> Result<()> {
    let world = World::new_with_tls("login-tls")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &page_route(&echo.url()))?.start().await?;
    let person = world.browser().await?.person().await?;
    let page = person.tab().await?;
    page.goto(&world.url("/inbox")).await?;
    page.log_in("alice").await?;
    page.wait_for_url(&world.url("/inbox"), PATIENCE).await?;
    let protocol =
        page.eval("performance.getEntriesByType('navigation')[0].nextHopProtocol").await?;
    assert_eq!(protocol, "h2");
    let cookies = person.cookies().await?;
    let ours: Vec<_> = cookies.iter().filter(|cookie| cookie["domain"] == "localhost").collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    assert!(ours[0]["name"].as_str().is_some_and(|name| name.starts_with("__Host-")), "{ours:?}");
    assert_eq!(ours[0]["secure"], true);
    assert_eq!(echo.last("/inbox")?.value("x-forwarded-proto").as_deref(), Some("https"));

    // Pages also open a stream and a WebSocket in the same connection.
    let stream = page.eval("fetch('/sse?n=3&ms=50').then((answer) => answer.text())").await?;
    assert_eq!(
        stream.as_str().map(|text| text.matches("data: event").count()),
        Some(3),
        "{stream}"
    );
    let socket = "new Promise((answered, failed) => {
        const socket = new WebSocket(location.origin.replace('https', 'wss') + '/ws');
        socket.onopen = () => socket.send('hello');
        socket.onmessage = (message) => answered(message.data);
        socket.onerror = () => failed(new Error('the web socket was refused'));
    })";
    assert_eq!(page.eval(socket).await?, "hello");
    gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn two_concurrent_logins_in_two_tabs_both_arrive() -> Result<()> {
    let world = World::new("login-tabs")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &page_route(&echo.url()))?.start().await?;
    let person = world.browser().await?.person().await?;
    let (first, second) = (person.tab().await?, person.tab().await?);
    let (one, two) = (world.url("/one?tab=1"), world.url("/two?tab=2"));
    first.goto(&one).await?;
    second.goto(&two).await?;

    first.log_in("alice").await?;
    assert_eq!(first.wait_for_url(&world.url("/one"), PATIENCE).await?, one);
    // Keycloak's page in the second tab notices the login and goes on by itself, or waits for the form.
    let arrived = match second.wait_for_url(&world.url("/two"), Duration::from_secs(8)).await {
        Ok(arrived) => arrived,
        Err(_) => {
            second.log_in("alice").await?;
            second.wait_for_url(&world.url("/two"), PATIENCE).await?
        }
    };
    assert_eq!(arrived, two);
    for path in ["/one", "/two"] {
        let seen = echo.last(path)?;
        assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
    }
    gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_that_overlap_finish_in_any_order() -> Result<()> {
    let world = World::new("login-overlap")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &page_route(&echo.url()))?.start().await?;
    // One cookie jar for the gateway, another browser state at Keycloak: both forms stay valid.
    let visitor = Visitor::new()?;
    let first = visitor.arrive(&world.url("/one")).await?;
    let second = visitor.arrive(&world.url("/two")).await?;
    let back_second = visitor.submit_login(&second, "alice").await?;
    let arrived_second = visitor.follow(back_second).await?;
    assert_eq!(arrived_second.url.as_str(), world.url("/two"));
    let back_first = visitor.submit_login(&first, "alice").await?;
    let arrived_first = visitor.follow(back_first).await?;
    assert_eq!(arrived_first.url.as_str(), world.url("/one"));
    gateway.finish(&visitor.cookie_values())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_or_program_gets_401_and_no_redirect() -> Result<()> {
    let world = World::new("login-challenge")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &page_route(&echo.url()))?.start().await?;
    let visitor = Visitor::new()?;
    for manner in [Manner::Fetch, Manner::Program] {
        let url = world.url("/api/data");
        let answer = visitor.send(Method::GET, &url, manner, &[], None).await?;
        assert_eq!(answer.status, 401, "{manner:?}");
        assert!(answer.header("content-type").starts_with("application/problem+json"));
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{:?}", answer.headers);
        assert_eq!(answer.json()?["status"], 401);
    }
    assert_eq!(visitor.open(&world.url("/api/data")).await?.status, 302);
    assert!(echo.requests().is_empty());
    gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_callback_shows_the_reason_and_a_way_to_retry() -> Result<()> {
    let world = World::new("login-fails")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &page_route(&echo.url()))?.start().await?;
    let page = world.browser().await?.person().await?.tab().await?;
    let status = page.goto(&world.url("/oauth2/callback?code=made-up&state=made-up")).await?;
    assert_eq!(status, 400);
    assert!(page.url().await?.starts_with(&world.public_url()), "no redirect loop");
    page.click("a.button.primary, button.primary").await?;
    page.log_in("alice").await?;
    page.wait_for_url(&world.public_url(), PATIENCE).await?;
    gateway.finish(&["made-up".to_owned()])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_lists_what_this_user_may_open() -> Result<()> {
    let world = World::new("login-portal")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let routes = format!(
        "lab:
  title: The Laboratory
  match: {{ path: /lab }}
  upstream: {0}
  access: [{{ allow: {{ roles: [data-scientist] }} }}]
office:
  title: The Office
  match: {{ path: /office }}
  upstream: {0}
  access: [{{ allow: {{ roles: [admin] }} }}]",
        echo.url()
    );
    let gateway = Plan::new(&world, &realm, &routes)?.start().await?;
    let page = world.browser().await?.person().await?.tab().await?;
    page.goto(&world.url("/oauth2/portal")).await?;
    page.log_in("alice").await?;
    page.wait_for_url(&world.url("/oauth2/portal"), PATIENCE).await?;
    let text = page.text("body").await?;
    assert!(text.contains("The Laboratory") && !text.contains("The Office"), "{text}");
    gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_get_the_user_and_the_sessions_remaining_time() -> Result<()> {
    let world = World::new("login-userinfo")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &page_route(&echo.url()))?.start().await?;
    let visitor = Visitor::new()?;
    assert_eq!(visitor.fetch(&world.url("/oauth2/userinfo")).await?.status, 401);
    visitor.log_in(&world.url("/"), "alice").await?;
    let userinfo = visitor.fetch(&world.url("/oauth2/userinfo")).await?;
    assert_eq!(userinfo.status, 200);
    assert!(userinfo.body.contains("alice@example.com"), "{}", userinfo.body);
    let session = visitor.fetch(&world.url("/oauth2/session")).await?;
    assert_eq!(session.status, 200, "{}", session.body);
    assert!(session.json()?.is_object());
    gateway.finish(&visitor.cookie_values())
}
