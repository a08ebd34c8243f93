//! Steps after a login: refresh, UserInfo, logout.

use std::collections::BTreeMap;

use oidc_core::client::{AutoAuth, ClientAuth, TokenEndpointError};
use oidc_core::login::{LogoutRequest, UserInfoError};
use oidc_core::testing::{Fault, SUBJECT, TestIssuer};
use oidc_core::{Client, Secret};
use serde_json::{Value, json};

fn client(issuer: &TestIssuer) -> Client {
    let auth = ClientAuth::SecretBasic("hunter2".into());
    Client::new(issuer.provider(), issuer.keys(), "gateway", auth).with_clock(issuer.clock())
}

#[tokio::test]
async fn a_refresh_keeps_the_subject() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let token = Secret::from("refresh-0");
    let refreshed = client.refresh(&token, SUBJECT).await.unwrap();
    assert_eq!(refreshed.id_token.unwrap().subject(), SUBJECT);
    assert!(refreshed.tokens.refresh_token.is_some());
    assert_eq!(issuer.last_request("token").unwrap().value("refresh_token"), Some("refresh-0"));

    let error = client.refresh(&token, "another subject").await.unwrap_err();
    assert!(
        matches!(error, TokenEndpointError::IdToken(refusal) if refusal.code() == "wrong_subject")
    );

    let mut answer = issuer.token_set("gateway", None);
    let mut claims = issuer.id_claims("gateway", None);
    claims["iss"] = json!("https://evil.test");
    answer["id_token"] = json!(issuer.sign(&claims));
    issuer.answer("token", 200, answer.to_string());
    let error = client.refresh(&token, SUBJECT).await.unwrap_err();
    assert!(
        matches!(error, TokenEndpointError::IdToken(refusal) if refusal.code() == "wrong_issuer")
    );

    answer.as_object_mut().unwrap().remove("id_token");
    answer.as_object_mut().unwrap().remove("refresh_token");
    issuer.answer("token", 200, answer.to_string());
    let refreshed = client.refresh(&token, SUBJECT).await.unwrap();
    assert!(refreshed.id_token.is_none() && refreshed.tokens.refresh_token.is_none());
}

#[tokio::test]
async fn user_info_is_about_the_same_person() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let token = Secret::from("opaque");
    let claims = client.user_info(&token, SUBJECT).await.unwrap();
    assert_eq!(claims.name(), Some("Alice Example"));
    assert_eq!(
        issuer.last_request("userinfo").unwrap().authorization.as_deref(),
        Some("Bearer opaque")
    );

    let error = client.user_info(&token, "another subject").await.unwrap_err();
    assert!(matches!(error, UserInfoError::WrongSubject));
    issuer.answer("userinfo", 200, r#"{"name":"mallory"}"#);
    assert!(matches!(client.user_info(&token, SUBJECT).await, Err(UserInfoError::WrongSubject)));
    issuer.answer("userinfo", 401, "");
    assert!(matches!(client.user_info(&token, SUBJECT).await, Err(UserInfoError::Unauthorized)));
    for (status, body) in [(302, ""), (500, ""), (200, "<html>"), (200, "[]")] {
        issuer.answer("userinfo", status, body);
        assert!(client.user_info(&token, SUBJECT).await.is_err(), "{status} {body}");
    }
    issuer.fail_on("userinfo", Fault::Html);
    assert!(matches!(client.user_info(&token, SUBJECT).await, Err(UserInfoError::NotJson)));
}

#[tokio::test]
async fn a_client_with_a_certificate_asks_at_the_alias() {
    let issuer = TestIssuer::new();
    let aliased = json!({"userinfo_endpoint": "https://mtls.issuer.test/bound/userinfo"});
    issuer.set_metadata("mtls_endpoint_aliases", aliased);
    let asked = async |auth| {
        let client = Client::new(issuer.provider(), issuer.keys(), "gateway", auth);
        // The path decides which of the two was asked.
        issuer.reset_requests();
        let _ = client.user_info(&Secret::from("opaque"), SUBJECT).await;
        issuer.last_request("userinfo").unwrap().path
    };
    assert_eq!(asked(ClientAuth::MutualTls).await, "/bound/userinfo");
    let auto = AutoAuth::new().with_certificate();
    assert_eq!(asked(ClientAuth::Auto(auto)).await, "/bound/userinfo");
    assert_eq!(asked(ClientAuth::None).await, "/realms/lab/userinfo");
}

#[tokio::test]
async fn the_logout_url_names_client_session_and_way_back() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let request = LogoutRequest::default()
        .with_id_token_hint(Secret::from("eyJ"))
        .with_post_logout_redirect_uri("https://platform.test/bye".parse().unwrap())
        .with_state("s");
    assert!(client.logout_url(&request).is_none(), "not discovered yet");
    client.provider().metadata().await.unwrap();
    let url = client.logout_url(&request).unwrap();
    let sent: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(sent["client_id"], "gateway");
    assert_eq!(sent["id_token_hint"], "eyJ");
    assert_eq!(sent["post_logout_redirect_uri"], "https://platform.test/bye");
    assert_eq!(sent["state"], "s");
    assert!(!format!("{request:?}").contains("eyJ"));

    issuer.set_metadata("end_session_endpoint", Value::Null);
    client.provider().refresh_now().await.unwrap();
    assert!(client.logout_url(&request).is_none());
}
