//! Users at a terminal: by the browser of the same machine (RFC 8252), or of another one (RFC 8628).

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::visitor::{Manner, Visitor, attribute};
use oidc_core::Client;
use oidc_core::client::{ClientAuth, DeviceError};
use oidc_core::login::{LoginError, LoopbackRedirect};
use reqwest::Method;
use url::Url;

use crate::lab::{Lab, answer_to_sign_in};

const PATIENCE: Duration = Duration::from_secs(30);

fn terminal(lab: &Lab) -> Result<Client> {
    lab.client("terminal", ClientAuth::None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signs_in_by_the_machines_browser() -> Result<()> {
    let lab = Lab::common().await?;
    let client = terminal(&lab)?;
    let redirect = LoopbackRedirect::bind().await?;
    let request = redirect.request().with_scopes(["profile"]);
    let waiting = redirect.begin(&client, request).await?;
    let url = waiting.url().clone();
    let browser = tokio::spawn(async move {
        let visitor = Visitor::new()?;
        let answer = answer_to_sign_in(&visitor, &url, "alice").await?;
        visitor.follow(answer).await
    });
    let login = waiting.finish(PATIENCE).await?;
    assert_eq!(login.id_token.preferred_username(), Some("alice"));
    assert!(login.tokens.refresh_token.is_some());
    let shown = browser.await??;
    assert!(shown.status.is_success(), "{} {}", shown.url, shown.status);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_allows_a_device_and_another_denies_it() -> Result<()> {
    let lab = Lab::common().await?;
    let client = terminal(&lab)?;

    let device = client.begin_device_login(["profile"]).await?;
    let page = device.verification_uri_complete().context("no complete address")?.clone();
    assert!(page.as_str().contains(device.user_code()));
    let (login, answered) = tokio::join!(
        tokio::time::timeout(PATIENCE, device.finish()),
        answer_device(&page, "alice", "accept")
    );
    answered?;
    let login = login.context("no user answered")??;
    assert_eq!(login.id_token.preferred_username(), Some("alice"));

    let device = client.begin_device_login(["profile"]).await?;
    let page = device.verification_uri_complete().context("no complete address")?.clone();
    let (login, answered) = tokio::join!(
        tokio::time::timeout(PATIENCE, device.finish()),
        answer_device(&page, "bob", "cancel")
    );
    answered?;
    let refusal = login.context("no user answered")?.unwrap_err();
    assert!(matches!(refusal, LoginError::Device(DeviceError::Denied)), "{refusal:?}");
    Ok(())
}

/// Opens the page for devices as `user`, and presses the button.
pub(crate) async fn answer_device(page: &Url, user: &str, button: &str) -> Result<()> {
    let visitor = Visitor::new()?;
    let signed_in = answer_to_sign_in(&visitor, page, user).await?;
    let consent = visitor.follow(signed_in).await?;
    let action = attribute(&consent.body, "/login-actions/consent", "action")
        .with_context(|| format!("no question at {}: {}", consent.url, consent.body))?;
    let code = attribute(&consent.body, "name=\"code\"", "value").context("no code")?;
    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("code", &code)
        .append_pair(button, "")
        .finish();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let action = consent.url.join(&action)?;
    let answer = visitor
        .send(Method::POST, action.as_str(), Manner::Navigation, &headers, Some(body))
        .await?;
    visitor.follow(answer).await.map(drop)
}
