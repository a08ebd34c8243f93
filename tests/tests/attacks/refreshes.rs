//! Later answers of a provider about a session: they change no user into another and extend no session past its limits.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::wait;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    browser::Browser,
    forger::{Forger, Members},
    login_flow::parameter,
    sessions::store,
    stage::{Setup, Stage},
};

/// A stage that trusts only the forger.
pub(crate) async fn stage(name: &str, forger: &Forger) -> Result<Stage> {
    let url = forger.url();
    Setup::new(name).with_plan(move |plan| plan.with_issuer(&url)).start().await
}

/// A session of these claims, whose access token lasts this long.
pub(crate) async fn session<'s>(
    stage: &'s Stage,
    forger: &Forger,
    seconds: u64,
    refresh_token: Option<&str>,
    change_access: impl FnOnce(&mut Members),
) -> Result<Browser<'s>> {
    let browser = Browser::new(stage);
    let at_provider = browser.begin("/echo").await?;
    let id_claims = forger.id_claims(&parameter(at_provider.as_str(), "nonce")?);
    let mut access = forger.claims();
    change_access(&mut access);
    let mut answer = answer(forger, &id_claims, &access, seconds)?;
    answer["refresh_token"] = json!(refresh_token);
    forger.answer_token_requests(200, &answer);
    let state = parameter(at_provider.as_str(), "state")?;
    let answer = browser.open(&format!("/oauth2/callback?code=c&state={state}")).await?;
    ensure!(answer.status == 302, "{answer:?}");
    Ok(browser)
}

pub(crate) fn answer(
    forger: &Forger,
    id: &Members,
    access: &Members,
    seconds: u64,
) -> Result<Value> {
    Ok(json!({
        "access_token": forger.token(&Forger::header(), access)?,
        "id_token": forger.token(&Forger::header(), id)?,
        "token_type": "Bearer",
        "expires_in": seconds,
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_of_another_users_access_token_are_ignored() -> Result<()> {
    let forger = Forger::start().await?;
    let stage = stage("attack-foreign-access-token", &forger).await?;
    let admin = json!({ "roles": ["admin"] });
    let own = session(&stage, &forger, 300, None, |access| {
        access.insert("realm_access".into(), admin.clone());
    });
    assert_eq!(own.await?.open("/admin/x").await?.status, 200);
    let foreign = session(&stage, &forger, 300, None, |access| {
        access.insert("realm_access".into(), admin.clone());
        access.insert("sub".into(), json!("forged-bob"));
    });
    assert_eq!(foreign.await?.open("/admin/x").await?.status, 403);
    // The same holds for a token that was issued to another client for another audience.
    let elsewhere = session(&stage, &forger, 300, None, |access| {
        access.insert("realm_access".into(), admin.clone());
        access.insert("azp".into(), json!("elsewhere"));
        access.insert("aud".into(), json!("elsewhere"));
    });
    assert_eq!(elsewhere.await?.open("/admin/x").await?.status, 403);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_refresh_token_a_session_ends_with_its_access_token() -> Result<()> {
    let forger = Forger::start().await?;
    let stage = stage("attack-no-refresh-token", &forger).await?;
    let browser = session(&stage, &forger, 2, None, |_| {}).await?;
    assert_eq!(browser.open("/echo").await?.status, 200);
    sleep(Duration::from_millis(2200)).await;
    assert_eq!(browser.fetch("/echo").await?.status, 401);
    assert_eq!(browser.who().await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_changes_no_user_into_another() -> Result<()> {
    let forger = Forger::start().await?;
    let stage = stage("attack-refresh-subject", &forger).await?;
    let mut id_claims = forger.id_claims("n");
    id_claims.remove("nonce");
    let mut others = id_claims.clone();
    others.insert("sub".into(), json!("forged-bob"));
    others.insert("preferred_username".into(), json!("bob"));
    let mut foreign = id_claims.clone();
    foreign.insert("iss".into(), json!("https://evil.test"));
    let mut access = forger.claims();
    access.insert("realm_access".into(), json!({ "roles": ["admin"] }));
    for (name, id_claims) in [("another subject", others), ("another issuer", foreign)] {
        let browser = session(&stage, &forger, 2, Some("r"), |_| {}).await?;
        assert_eq!(browser.open("/admin/x").await?.status, 403);
        forger.answer_token_requests(200, &answer(&forger, &id_claims, &access, 300)?);
        wait::until(
            &format!("the end of the session: {name}"),
            Duration::from_secs(5),
            async || {
                let answer = browser.fetch("/admin/x").await?;
                ensure!(matches!(answer.status, 401 | 403), "{name}: {answer:?}");
                Ok((answer.status == 401).then_some(()))
            },
        )
        .await?;
    }
    // The legitimate case: the same subject with one more role.
    let browser = session(&stage, &forger, 2, Some("r"), |_| {}).await?;
    forger.answer_token_requests(200, &answer(&forger, &id_claims, &access, 300)?);
    wait::until("the new role", Duration::from_secs(5), async || {
        Ok((browser.open("/admin/x").await?.status == 200).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_at_its_limits_in_every_store() -> Result<()> {
    for cookie_sessions in [false, true] {
        let name = if cookie_sessions { "attack-limits-sealed" } else { "attack-limits" };
        let setup = store(Setup::new(name), cookie_sessions).with_plan(|plan| {
            plan.with_session_setting("idle: 3s").with_session_setting("lifetime: 7s")
        });
        let mut stage = setup.start().await?;
        let (idle, busy) =
            (Browser::signed_in(&stage, "alice").await?, Browser::signed_in(&stage, "bob").await?);
        for _ in 0..4 {
            sleep(Duration::from_millis(1200)).await;
            assert_eq!(busy.fetch("/echo").await?.status, 200, "{name}");
        }
        assert_eq!(idle.fetch("/echo").await?.status, 401, "{name}: idle, and still in");
        let cookies = (idle.cookie(), busy.cookie());
        sleep(Duration::from_millis(2800)).await;
        assert_eq!(busy.fetch("/echo").await?.status, 401, "{name}: past its lifetime");
        stage.gateway.kill_and_restart().await?;
        for cookie in [cookies.0, cookies.1] {
            assert_eq!(
                crate::browser::who(&stage, cookie).await?,
                None,
                "{name}: back after kill -9"
            );
        }
    }
    Ok(())
}
