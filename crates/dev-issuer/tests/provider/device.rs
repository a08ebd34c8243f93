use dev_issuer::{DevClient, DevIssuer};
use reqwest::StatusCode;
use serde_json::Value;

use crate::browser::{Browser, http};
use crate::party::{CHALLENGE, TestClock, VERIFIER, claims, provider};

async fn started() -> (DevIssuer, TestClock) {
    let clock = TestClock::new();
    let tv = DevClient::public("terminal");
    let issuer = provider().client(tv).clock(clock.port()).start("127.0.0.1:0").await.unwrap();
    (issuer, clock)
}

async fn as_device(issuer: &DevIssuer, path: &str, fields: &[(&str, &str)]) -> Value {
    let mut form = vec![("client_id", "terminal")];
    form.extend(fields);
    let url = format!("{}/protocol/openid-connect/{path}", issuer.url());
    http().post(url).form(&form).send().await.unwrap().json().await.unwrap()
}

async fn poll(issuer: &DevIssuer, begun: &Value) -> Value {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", begun["device_code"].as_str().unwrap()),
    ];
    as_device(issuer, "token", &fields).await
}

#[tokio::test]
async fn a_device_gets_tokens_after_the_user_allows_it() {
    let (issuer, clock) = started().await;
    let begun = as_device(&issuer, "auth/device", &[("scope", "openid")]).await;
    assert_eq!(poll(&issuer, &begun).await["error"], "authorization_pending");
    clock.advance(1);
    assert_eq!(poll(&issuer, &begun).await["error"], "slow_down");

    let browser = Browser::new();
    let page = browser.open(begun["verification_uri_complete"].as_str().unwrap()).await;
    assert!(page.text.contains("terminal"), "the page names the client");
    let code = begun["user_code"].as_str().unwrap().to_lowercase().replace('-', " ");
    let fields = [
        ("user_code", code.as_str()),
        ("username", "alice"),
        ("password", "alice"),
        ("answer", "allow"),
    ];
    let done = browser.submit(&page, &fields).await;
    assert_eq!(done.status, StatusCode::OK);
    assert!(done.text.contains("connected"), "{}", done.text);

    clock.advance(5);
    let tokens = poll(&issuer, &begun).await;
    let access = claims(tokens["access_token"].as_str().unwrap());
    assert_eq!(access["preferred_username"], "alice");
    assert_eq!(access["azp"], "terminal");
    assert_eq!(poll(&issuer, &begun).await["error"], "invalid_grant", "used");
}

#[tokio::test]
async fn a_denied_device_gets_access_denied() {
    let (issuer, _) = started().await;
    let begun = as_device(&issuer, "auth/device", &[]).await;
    let browser = Browser::new();
    let page = browser.open(begun["verification_uri"].as_str().unwrap()).await;
    let code = begun["user_code"].as_str().unwrap();
    browser.submit(&page, &[("user_code", code), ("answer", "deny")]).await;
    assert_eq!(poll(&issuer, &begun).await["error"], "access_denied");
}

#[tokio::test]
async fn device_codes_expire_and_unknown_ones_are_refused() {
    let (issuer, clock) = started().await;
    let begun = as_device(&issuer, "auth/device", &[]).await;
    let browser = Browser::new();
    let page = browser.open(begun["verification_uri"].as_str().unwrap()).await;
    let wrong = browser.submit(&page, &[("user_code", "BBBB-BBBB"), ("answer", "allow")]).await;
    assert!(wrong.text.contains("role=\"alert\""));
    clock.advance(600);
    assert_eq!(poll(&issuer, &begun).await["error"], "expired_token");
}

#[tokio::test]
async fn a_device_is_not_allowed_with_a_wrong_password() {
    let (issuer, _) = started().await;
    let begun = as_device(&issuer, "auth/device", &[]).await;
    let browser = Browser::new();
    let page = browser.open(begun["verification_uri"].as_str().unwrap()).await;
    let code = begun["user_code"].as_str().unwrap();
    for password in ["nope", ""] {
        let fields = [("user_code", code), ("username", "alice"), ("password", password)];
        let again = browser.submit(&page, &fields).await;
        assert!(again.text.contains("Wrong username or password"));
    }
    let bare = browser.submit(&page, &[("user_code", code), ("answer", "allow")]).await;
    assert!(bare.text.contains("role=\"alert\""), "no user is signed in");
    assert_eq!(poll(&issuer, &begun).await["error"], "authorization_pending");
}

#[tokio::test]
async fn a_device_code_with_a_challenge_needs_its_verifier() {
    let (issuer, clock) = started().await;
    let challenge = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let begun = as_device(&issuer, "auth/device", &challenge).await;
    assert!(issuer.allow_device(begun["user_code"].as_str().unwrap(), "alice"));
    assert_eq!(poll(&issuer, &begun).await["error"], "invalid_grant");
    let device_code = begun["device_code"].as_str().unwrap();
    let fields = |verifier: &'static str| {
        [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device_code),
            ("code_verifier", verifier),
        ]
    };
    clock.advance(5);
    let other = "0123456789012345678901234567890123456789012345";
    assert_eq!(as_device(&issuer, "token", &fields(other)).await["error"], "invalid_grant");
    assert!(as_device(&issuer, "token", &fields(VERIFIER)).await["access_token"].is_string());

    let plain = [("code_challenge", CHALLENGE), ("code_challenge_method", "plain")];
    assert_eq!(as_device(&issuer, "auth/device", &plain).await["error"], "invalid_request");
}
