use std::time::Duration;

use dev_issuer::{DevIssuer, Endpoint, Fault};
use reqwest::StatusCode;
use serde_json::Value;

use crate::browser::{Browser, http};
use crate::party::{authorization_url, claims, provider, query, redeem};

async fn started() -> DevIssuer {
    provider().start("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn down_is_down_until_it_is_cleared() {
    let issuer = started().await;
    let get = async || http().get(issuer.discovery_url()).send().await.unwrap().status();
    issuer.faults().set(Fault::Down(503), Endpoint::All);
    assert_eq!(get().await, StatusCode::SERVICE_UNAVAILABLE);
    issuer.faults().set(Fault::None, Endpoint::All);
    assert_eq!(get().await, StatusCode::OK);
    issuer.faults().set(Fault::Down(500), Endpoint::Jwks);
    assert_eq!(get().await, StatusCode::OK, "another endpoint's fault");
    assert_eq!(issuer.requests(Endpoint::Discovery), 3);
    assert_eq!(issuer.requests(Endpoint::All), 3);
}

#[tokio::test]
async fn garbage_and_html_are_not_json() {
    let issuer = started().await;
    for (fault, kind) in [(Fault::Garbage, "application/json"), (Fault::Html, "text/html")] {
        issuer.faults().set(fault, Endpoint::Jwks);
        let url = format!("{}/protocol/openid-connect/certs", issuer.url());
        let response = http().get(url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], kind);
        assert!(response.json::<Value>().await.is_err());
    }
}

#[tokio::test]
async fn cut_off_breaks_in_the_middle() {
    let issuer = started().await;
    issuer.faults().set(Fault::CutOff, Endpoint::Discovery);
    let response = http().get(issuer.discovery_url()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn huge_is_sixty_four_mebibytes() {
    let issuer = started().await;
    issuer.faults().set(Fault::Huge, Endpoint::Discovery);
    let mut response = http().get(issuer.discovery_url()).send().await.unwrap();
    let mut size = 0;
    while let Some(chunk) = response.chunk().await.unwrap() {
        size += chunk.len();
    }
    assert!(size > 64 * 1024 * 1024);
}

#[tokio::test]
async fn slow_and_drip_keep_a_client_waiting() {
    let issuer = started().await;
    let patience = Duration::from_millis(300);
    issuer.faults().set(Fault::Slow(Duration::from_secs(60)), Endpoint::Discovery);
    let request = http().get(issuer.discovery_url()).timeout(patience).send().await;
    assert!(request.unwrap_err().is_timeout());
    issuer.faults().set(Fault::Drip, Endpoint::Discovery);
    let head = http().get(issuer.discovery_url()).timeout(patience).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert!(head.bytes().await.unwrap_err().is_timeout());
}

#[tokio::test]
async fn a_slow_answer_is_lost_after_the_work_was_done() {
    let issuer = started().await;
    let tokens = issuer.log_in("alice", "gateway", "openid").unwrap();
    issuer.faults().set(Fault::Slow(Duration::from_secs(60)), Endpoint::Token);
    let refresh_token = tokens.refresh_token.unwrap();
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.as_str()),
        ("client_id", "gateway"),
        ("client_secret", "s3cret:&"),
    ];
    let url = format!("{}/protocol/openid-connect/token", issuer.url());
    let ask = || http().post(&url).form(&fields).timeout(Duration::from_millis(500)).send();
    assert!(ask().await.unwrap_err().is_timeout());
    issuer.faults().clear();
    assert_eq!(ask().await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(issuer.refresh_reuse_detected(), 1);
}

#[tokio::test]
async fn redirect_counts_the_requests_that_follow_it() {
    let issuer = started().await;
    issuer.faults().set(Fault::Redirect, Endpoint::All);
    let response = http().get(issuer.discovery_url()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(issuer.requests(Endpoint::RedirectTarget), 0);
    let target = response.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(http().get(target).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(issuer.requests(Endpoint::RedirectTarget), 1);
}

#[tokio::test]
async fn a_wrong_issuer_is_stated_everywhere() {
    let issuer = started().await;
    issuer.faults().set(Fault::WrongIssuer, Endpoint::All);
    let metadata: Value =
        http().get(issuer.discovery_url()).send().await.unwrap().json().await.unwrap();
    assert_ne!(metadata["issuer"], issuer.url());
    let back = Browser::new().sign_in(&authorization_url(&issuer, &[]), "alice", "alice").await;
    assert_ne!(query(&back, "iss").as_deref(), Some(issuer.url()));
    let (_, tokens) = redeem(&issuer, &query(&back, "code").unwrap()).await;
    assert_ne!(claims(tokens["id_token"].as_str().unwrap())["iss"], issuer.url());
}

#[tokio::test]
async fn a_wrong_nonce_is_in_the_id_token() {
    let issuer = started().await;
    issuer.faults().set(Fault::WrongNonce, Endpoint::Token);
    let back = issuer.sign_in(&authorization_url(&issuer, &[]), "alice").unwrap();
    let (_, tokens) = redeem(&issuer, &query(&back, "code").unwrap()).await;
    assert_ne!(claims(tokens["id_token"].as_str().unwrap())["nonce"], "n-1");
}
