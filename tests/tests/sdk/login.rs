//! Logins: pushed requests, refresh, revocation, and back-channel logout.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::{upstream::Echo, visitor::Visitor, wait};
use oidc_core::client::{TokenEndpointError, TokenHint};
use oidc_core::login::{LoginError, LoginRequest};
use serde_json::json;

use crate::lab::{Lab, REDIRECT, answer_to_sign_in, secret};

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_refreshed_and_then_revoked() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let client = lab.client("notebook", secret("notebook"))?;
    let login = lab.log_in(&client, lab.login_request()?, "alice").await?;
    assert_eq!(login.id_token.preferred_username(), Some("alice"));
    let subject = login.id_token.subject();
    let person = client.user_info(&login.tokens.access_token, subject).await?;
    assert_eq!(person.verified_email(), Some("alice@example.com"));

    let refresh_token = login.tokens.refresh_token.context("no refresh token")?;
    let refreshed = client.refresh(&refresh_token, login.id_token.subject()).await?;
    let newer = refreshed.tokens.refresh_token.context("Keycloak rotates refresh tokens")?;
    client.revoke(&newer, TokenHint::RefreshToken).await?;
    assert_eq!(wire.count("/revoke"), 1);
    let refusal = client.refresh(&newer, login.id_token.subject()).await.unwrap_err();
    assert!(matches!(refusal, TokenEndpointError::InvalidGrant { .. }), "{refusal:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_pushed_where_the_client_must() -> Result<()> {
    let (lab, wire) = Lab::common().await?.counted().await?;
    let client = lab.client("pushed", secret("pushed"))?;
    let (url, _) = client.begin_login(lab.login_request()?).await?;
    let names: Vec<_> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names, ["client_id", "request_uri"], "nothing else goes through the browser");
    let login = lab.log_in(&client, lab.login_request()?, "bob").await?;
    assert_eq!(login.id_token.preferred_username(), Some("bob"));
    assert_eq!(wire.count("/ext/par/request"), 2);

    let plain = lab.login_request()?.without_pushed_request();
    let (url, pending) = client.begin_login(plain).await?;
    let back = Visitor::new()?.open(url.as_str()).await?.location()?;
    let refusal = client.parse_callback(back.query().context("no query")?, &pending).await;
    let refusal = refusal.unwrap_err().to_string();
    assert!(refusal.contains("Pushed Authorization Request is only allowed"), "{refusal}");

    let wrong = lab.client("pushed", oidc_core::client::ClientAuth::SecretBasic("wrong".into()))?;
    let refusal = wrong.begin_login(lab.login_request()?).await.unwrap_err();
    assert!(matches!(refusal, LoginError::PushedAuthorization(_)), "{refusal:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ended_elsewhere_sends_a_logout_token() -> Result<()> {
    let lab = Lab::common().await?;
    let application = Echo::start().await?;
    let address = format!("{}/backchannel", application.url());
    let attributes = json!({ "backchannel.logout.url": address });
    lab.realm.set_client_attributes("notified", &attributes).await?;
    let client = lab.client("notified", secret("notified"))?;
    let login = lab.log_in(&client, lab.login_request()?, "erin").await?;

    lab.realm.log_out("erin").await?;
    let received = wait::until("the logout token", Duration::from_secs(20), async || {
        Ok(application.last("/backchannel").ok())
    })
    .await?;
    let token = url::form_urlencoded::parse(&received.body)
        .find(|(name, _)| name == "logout_token")
        .context("no logout token")?
        .1
        .into_owned();
    let logout = client.verifier().logout_token(&token).await?;
    assert_eq!(logout.subject(), Some(login.id_token.subject()));
    assert_eq!(logout.session_id(), login.id_token.session_id.as_deref());

    let other = lab.client("pushed", secret("pushed"))?;
    let refusal = other.verifier().logout_token(&token).await.unwrap_err();
    assert_eq!(refusal.code(), "wrong_audience");
    let id_token = login.tokens.id_token.context("no ID token")?;
    let refusal = client.verifier().logout_token(id_token.expose()).await.unwrap_err();
    assert_eq!(refusal.code(), "wrong_type", "{refusal}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_back_twice_signs_in_once() -> Result<()> {
    let lab = Lab::common().await?;
    let client = lab.client("notebook", secret("notebook"))?;
    let (url, pending) = client.begin_login(LoginRequest::new(REDIRECT.parse()?)).await?;
    let back = answer_to_sign_in(&Visitor::new()?, &url, "alice").await?.location()?;
    let query = back.query().context("no query")?;
    let code = client.parse_callback(query, &pending).await?;
    client.finish_login(code, &pending).await?;
    let code = client.parse_callback(query, &pending).await?;
    let refusal = client.finish_login(code, &pending).await.unwrap_err();
    assert!(
        matches!(refusal, LoginError::Token(TokenEndpointError::InvalidGrant { .. })),
        "{refusal:?}"
    );
    Ok(())
}
