//! Access rules, and the page for refused users.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::{World, gateway::Plan, visitor::Visitor};

const PATIENCE: Duration = Duration::from_secs(30);

fn routes(upstream: &str) -> String {
    format!(
        "lab:
  title: The Laboratory
  match: {{ path: /lab }}
  upstream: {upstream}
  access:
    - {{ path: /lab/health, allow: anyone }}
    - {{ path: /lab/finance/**, allow: {{ groups: [/finance] }} }}
    - {{ methods: [DELETE], allow: {{ roles: [admin] }} }}
    - {{ allow: {{ roles: [data-scientist, admin] }} }}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_user_sees_the_account_and_the_missing_role() -> Result<()> {
    let world = World::new("policy-page")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &routes(&echo.url()))?.start().await?;
    let page = world.browser().await?.person().await?.tab().await?;
    page.goto(&world.url("/lab/notebook")).await?;
    page.log_in("bob").await?;
    page.wait_for_url(&world.url("/lab/notebook"), PATIENCE).await?;

    let text = page.text("body").await?;
    assert!(text.contains("Bob") || text.contains("bob"), "names the user: {text}");
    assert!(text.contains("The Laboratory"), "names the route: {text}");
    assert!(text.contains("data-scientist"), "names the missing role: {text}");
    assert!(echo.requests().is_empty(), "nothing reached the upstream");
    let answers = page.answers().await?;
    assert!(answers.iter().any(|a| a.starts_with("403 GET") && a.contains("/lab/notebook")));
    let console = page.console().await?;
    assert!(!console.iter().any(|line| line.contains("Content Security Policy")), "{console:?}");

    // The reference on the page leads to the decision in the log.
    let audit = gateway.audit()?;
    let refused = audit
        .iter()
        .find(|line| {
            line["route"] == "lab" && text.contains(line["request_id"].as_str().unwrap_or("-"))
        })
        .with_context(|| format!("no audit line with the page's reference: {audit:#?}\n{text}"))?;
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains("data-scientist")));

    // Switching accounts leads to the login form, not back into the same refusal.
    page.click("a:has-text('Switch account'), button:has-text('Switch account')").await?;
    page.log_in("alice").await?;
    page.wait_for_text("body", "x-forwarded-preferred-username", PATIENCE).await?;
    assert_eq!(
        echo.last("/lab/notebook")?.value("x-forwarded-preferred-username").as_deref(),
        Some("alice")
    );
    gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rule_that_matches_path_and_method_decides() -> Result<()> {
    use e2e::visitor::Manner::Fetch;
    use reqwest::Method;
    let world = World::new("policy-rules")?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let gateway = Plan::new(&world, &realm, &routes(&echo.url()))?.start().await?;
    let anonymous = Visitor::new()?;
    assert_eq!(anonymous.fetch(&world.url("/lab/health")).await?.status, 200);
    assert_eq!(anonymous.fetch(&world.url("/lab/healthy")).await?.status, 401);

    let (alice, carol) = (Visitor::new()?, Visitor::new()?);
    alice.log_in(&world.url("/lab/a"), "alice").await?;
    carol.log_in(&world.url("/lab/a"), "carol").await?;
    let ask = async |who: &Visitor, method: Method, path: &str| -> Result<u16> {
        let url = world.url(path);
        let origin = world.public_url();
        let headers = [("origin", origin.as_str())];
        Ok(who.send(method, &url, Fetch, &headers, None).await?.status.as_u16())
    };
    assert_eq!(ask(&alice, Method::GET, "/lab/a").await?, 200);
    assert_eq!(ask(&alice, Method::DELETE, "/lab/a").await?, 403);
    assert_eq!(ask(&carol, Method::DELETE, "/lab/a").await?, 200);
    assert_eq!(ask(&alice, Method::GET, "/lab/finance/q3").await?, 403);
    assert_eq!(ask(&carol, Method::GET, "/lab/finance/q3").await?, 200);

    let refused = alice.fetch(&world.url("/lab/finance/q3")).await?;
    assert!(refused.header("content-type").starts_with("application/problem+json"));
    assert!(refused.body.contains("/finance"), "{}", refused.body);
    assert_eq!(ask(&alice, Method::GET, "/lab/a").await?, 200, "a refusal ends no session");
    gateway.finish(&alice.cookie_values())
}
