//! A device without a browser (RFC 8628).

use std::time::Duration;

use dev_issuer::{DevClient, DevIssuer, Endpoint, Fault, Grant};
use oidc_core::client::{
    ClientAuth, DeviceAuthorization, DeviceError, TokenEndpoint, TokenEndpointError,
};
use oidc_core::login::{DeviceLogin, LoginError};
use oidc_core::testing::TestIssuer;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use crate::elsewhere::Elsewhere;

async fn provider() -> Elsewhere {
    Elsewhere::start(DevIssuer::demo_builder().client(DevClient::public("terminal"))).await
}

async fn begun(provider: &Elsewhere) -> DeviceLogin {
    provider.client("terminal", ClientAuth::None).begin_device_login(["profile"]).await.unwrap()
}

fn polls(provider: &Elsewhere) -> u64 {
    provider.issuer.token_requests_by_grant(Grant::DeviceCode)
}

#[tokio::test(start_paused = true)]
async fn a_person_allows_the_device_and_is_logged_in() {
    let provider = provider().await;
    let login = begun(&provider).await;
    assert!(login.verification_uri().as_str().starts_with("http://127.0.0.1:"));
    assert!(login.verification_uri_complete().unwrap().as_str().contains(login.user_code()));
    assert!(!format!("{login:?}").contains(login.user_code()));
    let code = login.user_code().to_owned();
    let before = Instant::now();
    let finished = tokio::spawn(login.finish());
    sleep(Duration::from_secs(12)).await;
    assert_eq!(polls(&provider), 2, "every five seconds");
    assert!(provider.issuer.allow_device(&code, "alice"));
    let login = finished.await.unwrap().unwrap();
    assert_eq!(login.id_token.preferred_username(), Some("alice"));
    assert!(login.tokens.refresh_token.is_some());
    assert_eq!(before.elapsed().as_secs(), 15);
    assert_eq!(polls(&provider), 3);
}

#[tokio::test(start_paused = true)]
async fn a_person_refuses_or_never_comes() {
    let provider = provider().await;
    let login = begun(&provider).await;
    assert!(provider.issuer.deny_device(login.user_code()));
    let error = login.finish().await.unwrap_err();
    assert!(matches!(error, LoginError::Device(DeviceError::Denied)), "{error}");

    let before = Instant::now();
    let error = begun(&provider).await.finish().await.unwrap_err();
    assert!(matches!(error, LoginError::Device(DeviceError::Expired)), "{error}");
    assert_eq!(before.elapsed().as_secs(), 600, "as long as the code lives, and no longer");
}

#[tokio::test(start_paused = true)]
async fn polls_slow_down_while_the_provider_is_away() {
    let provider = provider().await;
    let login = begun(&provider).await;
    assert!(provider.issuer.allow_device(login.user_code(), "alice"));
    provider.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    let finished = tokio::spawn(login.finish());
    sleep(Duration::from_secs(290)).await;
    // After 5, 10, 20, 40 s, then each minute.
    assert_eq!(provider.issuer.requests(Endpoint::Token), 7);
    provider.issuer.faults().clear();
    assert!(finished.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_leaked_device_code_is_useless_without_its_verifier() {
    let provider = provider().await;
    let device = DeviceAuthorization::begin(&provider.endpoint("terminal", ClientAuth::None), None)
        .await
        .unwrap();
    assert!(provider.issuer.allow_device(device.user_code(), "alice"));
    // dev-issuer's own tests check that it requires the verifier; this one checks that it is sent.
    assert!(device.wait().await.is_ok());
}

/// A device at a provider with scripted answers.
async fn scripted(
    issuer: &TestIssuer,
    answer: serde_json::Value,
) -> Result<DeviceAuthorization, DeviceError> {
    issuer.set_metadata(
        "device_authorization_endpoint",
        json!("https://issuer.test/realms/lab/device"),
    );
    issuer.answer("device", 200, answer.to_string());
    let endpoint = TokenEndpoint::new(issuer.provider(), "terminal", ClientAuth::None)
        .with_clock(issuer.clock());
    DeviceAuthorization::begin(&endpoint, Some("openid".into())).await
}

fn answer() -> serde_json::Value {
    json!({
        "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS", "user_code": "WDJB-MJHT",
        "verification_uri": "https://issuer.test/device", "expires_in": 1800, "interval": 5,
    })
}

#[tokio::test(start_paused = true)]
async fn slow_down_counts_for_all_polls_to_come() {
    let issuer = TestIssuer::new();
    let device = scripted(&issuer, answer()).await.unwrap();
    let sent = issuer.last_request("device").unwrap();
    assert_eq!(sent.value("client_id"), Some("terminal"));
    assert_eq!(sent.value("scope"), Some("openid"));
    assert_eq!(sent.value("code_challenge_method"), Some("S256"));
    issuer.answer("token", 400, r#"{"error":"slow_down"}"#);
    let began = Instant::now();
    let waiting = tokio::spawn(device.wait());
    sleep_until(began + Duration::from_secs(6)).await;
    issuer.answer("token", 400, r#"{"error":"authorization_pending"}"#);
    let polled = issuer.last_request("token").unwrap();
    assert_eq!(polled.value("grant_type"), Some("urn:ietf:params:oauth:grant-type:device_code"));
    assert_eq!(polled.value("device_code"), answer()["device_code"].as_str());
    assert!(polled.value("code_verifier").is_some_and(|verifier| verifier.len() >= 43));
    for (until, polls) in [(14, 1), (16, 2), (24, 2), (26, 3), (36, 4)] {
        sleep_until(began + Duration::from_secs(until)).await;
        assert_eq!(issuer.requests("token"), polls, "after {until} s");
    }
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_fit_to_be_shown_is_refused() {
    let issuer = TestIssuer::new();
    for (member, value) in [
        ("user_code", json!("WDJB\u{1b}[2J")),
        ("user_code", json!("")),
        ("user_code", json!("x".repeat(65))),
        ("device_code", json!("")),
        ("verification_uri", json!("http://issuer.test/device")),
        ("verification_uri", json!("javascript:alert(1)")),
        ("verification_uri_complete", json!("file:///etc/passwd")),
        ("verification_uri", serde_json::Value::Null),
    ] {
        let mut answer = answer();
        answer[member] = value;
        let error = scripted(&issuer, answer).await.unwrap_err();
        assert!(
            matches!(error, DeviceError::Endpoint(TokenEndpointError::InvalidResponse { .. })),
            "{member}: {error}"
        );
        assert!(!error.to_string().contains("WDJB"));
    }
    for (member, value) in [
        ("expires_in", json!("600")),
        ("expires_in", json!("soon")),
        ("expires_in", json!(600.0)),
        ("interval", json!("5")),
        ("interval", serde_json::Value::Null),
        ("verification_uri_complete", json!("")),
    ] {
        let mut answer = answer();
        answer[member] = value;
        let device = scripted(&issuer, answer).await.unwrap();
        assert_eq!(device.interval(), Duration::from_secs(5), "{member}");
    }
    let mut drafts = answer();
    drafts["verification_url"] = drafts["verification_uri"].clone();
    assert!(scripted(&issuer, drafts.clone()).await.is_ok());
    drafts.as_object_mut().unwrap().remove("verification_uri");
    let device = scripted(&issuer, drafts).await.unwrap();
    assert_eq!(device.verification_uri().as_str(), "https://issuer.test/device");

    let mut short = answer();
    short.as_object_mut().unwrap().remove("interval");
    short["expires_in"] = json!(0);
    let error = scripted(&issuer, short).await.unwrap().wait().await.unwrap_err();
    assert!(matches!(error, DeviceError::Expired));
    assert_eq!(issuer.requests("token"), 0);

    issuer.set_metadata("device_authorization_endpoint", serde_json::Value::Null);
    let provider = issuer.provider();
    let endpoint = TokenEndpoint::new(provider, "terminal", ClientAuth::None);
    let error = DeviceAuthorization::begin(&endpoint, None).await.unwrap_err();
    assert!(matches!(error, DeviceError::Endpoint(TokenEndpointError::NotSupported { .. })));
}

#[tokio::test(start_paused = true)]
async fn any_other_error_ends_the_wait() {
    let issuer = TestIssuer::new();
    for (status, body) in [
        (400, r#"{"error":"invalid_grant"}"#),
        (401, r#"{"error":"invalid_client"}"#),
        (400, r#"{"error":"unauthorized_client"}"#),
        (200, "<html>"),
    ] {
        let device = scripted(&issuer, answer()).await.unwrap();
        issuer.answer("token", status, body);
        let error = device.wait().await.unwrap_err();
        assert!(matches!(error, DeviceError::Endpoint(_)), "{body}");
    }
}
