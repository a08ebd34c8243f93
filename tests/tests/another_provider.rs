//! A real provider that is not Keycloak: what differs is the configuration, nothing else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{
    World,
    gateway::{Gateway, Plan},
    oidc_provider::OidcProvider,
    upstream::Echo,
    visitor::{Manner, Visitor, form_token},
    wait,
};
use reqwest::Method;

const PATIENCE: Duration = Duration::from_secs(15);
const TOKENS_LIVE: Duration = Duration::from_secs(4);

/// This provider gives a refresh token only when the user consents at each sign-in (OpenID Connect Core 1.0 §11), and names and
/// addresses in UserInfo only (§5.4).
const ISSUERS: &str = "\
issuers:
  main:
    url: ISSUER
    profile: generic
    client_id: gateway
    client_auth: { secret: { file: SECRET } }
    scopes: [openid, profile, email, offline_access]
    authorization: { prompt: consent }
    userinfo: when_missing
    audience: [models]
    claims: { roles: roles, groups: groups }
";

struct Scene {
    world: World,
    provider: OidcProvider,
    echo: Echo,
    gateway: Gateway,
}

async fn scene(name: &str) -> Result<Scene> {
    let world = World::new(name)?;
    let provider = world.oidc_provider(TOKENS_LIVE).await?;
    let echo = world.echo().await?;
    let route = |path: &str, allow: &str| {
        let url = echo.url();
        format!(
            "{path}:\n  match: {{ path: /{path} }}\n  upstream: {url}\n  access: [{{ allow: {allow} }}]\n"
        )
    };
    let routes = route("lab", "{ roles: [data-scientist], groups: [lab] }")
        + &route("run", "{ roles: [batch] }");
    let plan = Plan::with_client(&world, &provider.issuer(), OidcProvider::secret(), &routes)?;
    let gateway = plan.with_issuers(ISSUERS).start().await?;
    Ok(Scene { world, provider, echo, gateway })
}

#[tokio::test(flavor = "multi_thread")]
async fn users_sign_in_are_refreshed_and_sign_out() -> Result<()> {
    let Scene { world, provider, echo, gateway } = scene("another-provider").await?;
    let visitor = Visitor::new()?;
    let asked = world.url("/lab/notebooks?name=a%20b");
    let answer = OidcProvider::log_in(&visitor, &asked, "alice").await?;
    assert_eq!(
        (answer.status.as_u16(), answer.url.as_str()),
        (200, asked.as_str()),
        "{}",
        answer.body
    );
    for round in 0..2 {
        let seen = echo.last("/lab")?;
        assert_eq!(seen.value("x-forwarded-user").as_deref(), Some("alice"), "round {round}");
        assert_eq!(seen.value("x-forwarded-email").as_deref(), Some("alice@corp.example"));
        assert_eq!(seen.value("x-forwarded-roles").as_deref(), Some("data-scientist"));
        assert_eq!(visitor.open(&world.url("/run")).await?.status, 403);
        // The access token expires; the session goes on.
        tokio::time::sleep(TOKENS_LIVE + Duration::from_secs(1)).await;
        assert_eq!(visitor.open(&world.url("/lab/next")).await?.status, 200, "round {round}");
    }

    let page = visitor.open(&world.url("/oauth2/sign_out")).await?;
    let form = format!("csrf={}", form_token(&page.body)?);
    let origin = world.public_url();
    let headers =
        [("content-type", "application/x-www-form-urlencoded"), ("origin", origin.as_str())];
    let url = world.url("/oauth2/sign_out");
    let left = visitor.send(Method::POST, &url, Manner::Navigation, &headers, Some(form)).await?;
    let page = visitor.follow(left).await?;
    ensure!(page.url.as_str().starts_with(&provider.issuer()), "not at the provider: {}", page.url);
    let out = OidcProvider::confirm_logout(&visitor, &page).await?;
    assert_eq!(out.url.path(), "/oauth2/signed_out");
    assert_eq!(visitor.fetch(&world.url("/lab")).await?.status, 401);
    gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_the_provider_ends_the_session_here() -> Result<()> {
    let Scene { world, provider, echo: _echo, gateway } = scene("another-provider-logout").await?;
    let visitor = Visitor::new()?;
    OidcProvider::log_in(&visitor, &world.url("/lab"), "alice").await?;
    assert_eq!(visitor.fetch(&world.url("/lab")).await?.status, 200);
    let page = visitor.open(&format!("{}/session/end", provider.issuer())).await?;
    OidcProvider::confirm_logout(&visitor, &page).await?;
    wait::until("the session to end", PATIENCE, async || {
        Ok((visitor.fetch(&world.url("/lab")).await?.status == 401).then_some(()))
    })
    .await?;
    gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_presents_its_access_token() -> Result<()> {
    let Scene { world, provider, echo, gateway } = scene("another-provider-job").await?;
    let client = Visitor::new()?;
    let token = provider.job_token().await?;
    let ask = async |path: &str, token: &str| -> Result<u16> {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let url = world.url(path);
        Ok(client.send(Method::GET, &url, Manner::Program, &headers, None).await?.status.as_u16())
    };
    assert_eq!(ask("/run", &token).await?, 200);
    let seen = echo.last("/run")?;
    assert_eq!(seen.value("x-forwarded-user").as_deref(), Some("job"));
    assert_eq!(ask("/lab", &token).await?, 403);
    let (head, signature) = token.rsplit_once('.').context("a JWT")?;
    let turned: String = signature.chars().rev().collect();
    assert_eq!(ask("/run", &format!("{head}.{turned}")).await?, 401);
    gateway.finish(&[])
}
