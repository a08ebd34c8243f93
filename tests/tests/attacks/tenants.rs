//! Browser logins at an issuer that is a template of its tenants' identifiers, as Microsoft Entra's.

use std::time::Duration;

use anyhow::{Result, ensure};
use dev_issuer::{Dialect, Mint, Product};
use e2e::wire::Answer;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    browser::{Browser, callback, with_parameter},
    providers::sent,
    sign_outs::framed,
    stage::{Setup, Stage},
};

/// Lifetime of access tokens: the session is refreshed within the test.
const TOKENS_LIVE: Duration = Duration::from_secs(4);

const TENANTS: [&str; 2] = ["11111111-aaaa", "22222222-bbbb"];

fn issuer(stage: &Stage, tenant: &str) -> String {
    stage.issuer.url().replace("organizations", tenant)
}

/// Tokens of this tenant's people, from the authority of all tenants.
fn of(stage: &Stage, tenant: &str) -> Dialect {
    Dialect::new()
        .discovery("issuer", json!(issuer(stage, "{tenantid}")))
        .id_token("iss", json!(issuer(stage, tenant)))
        .id_token("tid", json!(tenant))
}

async fn stage(name: &str) -> Result<Stage> {
    let setup = Setup::new(name)
        .with_issuer(|issuer| {
            issuer
                .product(Product::EntraId)
                .realm("organizations")
                .access_token_lifetime(TOKENS_LIVE)
        })
        .naming(|url| url.replace("organizations", "{tenantid}"))
        .with_plan(|plan| {
            let plan = plan.with_issuer_setting(&format!("tenants: [{}]", TENANTS.join(", ")));
            let scopes = "scopes: [openid, profile, offline_access]";
            plan.with_issuer_setting("profile: generic")
                .with_issuer_setting(scopes)
                .without_audience()
        });
    let mut stage = setup.without_provider().start().await?;
    stage.issuer.set_dialect(of(&stage, TENANTS[0]));
    stage.issuer.resume().await?;
    stage.gateway.wait_until_ready().await?;
    Ok(stage)
}

/// A login whose answer names this issuer; the callback's answer.
async fn sign_in(browser: &Browser<'_>, stage: &Stage, iss: Option<&str>) -> Result<Answer> {
    let at_provider = browser.begin("/echo").await?;
    let target = callback(stage, &at_provider, "alice")?;
    browser.open(&with_parameter(&target, "iss", iss)).await
}

/// A browser in which alice is signed in, as a person of this tenant.
async fn signed_in<'s>(stage: &'s Stage, tenant: &str) -> Result<Browser<'s>> {
    let browser = Browser::new(stage);
    let answer = sign_in(&browser, stage, Some(&issuer(stage, tenant))).await?;
    ensure!(answer.status == 302, "{tenant}: {answer:?}");
    Ok(browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_issuer_is_refused() -> Result<()> {
    let stage = stage("tenants-answer").await?;
    for other in ["organizations", "{tenantid}", "33333333-cccc"] {
        let other = issuer(&stage, other);
        let answer = sign_in(&Browser::new(&stage), &stage, Some(&other)).await?;
        assert_eq!(answer.status, 400, "{other}: {answer:?}");
        ensure!(answer.body.contains("The answer comes from"), "{other}: {answer:?}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_every_listed_tenant_sign_in() -> Result<()> {
    let stage = stage("tenants-login").await?;
    for tenant in TENANTS {
        stage.issuer.set_dialect(of(&stage, tenant));
        let browser = signed_in(&stage, tenant).await?;
        assert_eq!(browser.open("/echo").await?.status, 200, "{tenant}");
        assert!(sent(&stage, "x-forwarded-user")?.is_some(), "{tenant}");
        // The refresh is of the same tenant.
        sleep(TOKENS_LIVE + Duration::from_millis(1200)).await;
        assert_eq!(browser.open("/echo").await?.status, 200, "{tenant}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_tenant_begins_no_session() -> Result<()> {
    let stage = stage("tenants-refused").await?;
    let template = issuer(&stage, "{tenantid}");
    let first = of(&stage, TENANTS[0]);
    for (name, dialect) in [
        ("a tenant that is not listed", of(&stage, "33333333-cccc")),
        ("the authority of all", of(&stage, "organizations")),
        ("the template itself", first.clone().id_token("iss", json!(template))),
        ("no issuer", first.clone().without_id_token("iss")),
        ("another tenant in another case", of(&stage, "11111111-AAAA")),
    ] {
        stage.issuer.set_dialect(dialect);
        let iss = issuer(&stage, TENANTS[0]);
        let answer = sign_in(&Browser::new(&stage), &stage, Some(&iss)).await?;
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        ensure!(answer.body.contains("could not be accepted"), "{name}: {answer:?}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_stays_in_its_tenant() -> Result<()> {
    let stage = stage("tenants-refresh").await?;
    let browser = signed_in(&stage, TENANTS[0]).await?;
    assert_eq!(browser.open("/echo").await?.status, 200);
    // The same subject, in the other listed tenant.
    stage.issuer.set_dialect(of(&stage, TENANTS[1]));
    sleep(TOKENS_LIVE + Duration::from_millis(1200)).await;
    let answer = browser.post("/oauth2/session/refresh", &stage.origin(), &[]).await?;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(browser.fetch("/echo").await?.status, 401);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_names_the_session_and_not_the_subject_alone() -> Result<()> {
    let stage = stage("tenants-logout").await?;
    let browser = signed_in(&stage, TENANTS[0]).await?;
    let session = browser.who().await?;
    ensure!(session.is_some());
    let token = |tenant: &str| {
        let iss = issuer(&stage, tenant);
        stage.issuer.mint(Mint::logout("alice").client("gateway").issuer(iss).without("sid"))
    };
    for tenant in [TENANTS[0], TENANTS[1], "33333333-cccc"] {
        let token = token(tenant)?;
        let form = [("logout_token", token.as_str())];
        let answer = stage.post("/oauth2/backchannel_logout").form(&form).send().await?;
        assert_eq!(answer.status, 400, "{tenant}: {answer:?}");
    }
    ensure!(browser.who().await?.is_some(), "the session goes on");
    for (tenant, status) in [("33333333-cccc", 400), ("{tenantid}", 400), (TENANTS[0], 200)] {
        let iss = issuer(&stage, tenant);
        let answer = framed(&stage, &[("iss", &iss), ("sid", "unknown")]).await?;
        assert_eq!(answer.status, status, "{tenant}");
    }
    stage.finish(&[])
}
