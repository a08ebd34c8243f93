use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::post as on_post;
use dev_issuer::DevIssuer;
use reqwest::StatusCode;
use tokio::net::TcpListener;
use url::Url;

use crate::browser::Browser;
use crate::party::{
    authorization_url, claims, gateway, header, introspect, log_in_with, post, provider, query,
    refresh,
};

/// A client that records the logout tokens it receives.
async fn listening_client() -> (String, Arc<Mutex<Vec<String>>>) {
    let received = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&received);
    let take = on_post(async move |body: String| {
        let (name, token) = url::form_urlencoded::parse(body.as_bytes()).next().unwrap();
        assert_eq!(name, "logout_token");
        keep.lock().unwrap().push(token.into_owned());
    });
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/backchannel", socket.local_addr().unwrap());
    let serve = axum::serve(socket, Router::new().route("/backchannel", take));
    tokio::spawn(async move { serve.await.unwrap() });
    (uri, received)
}

fn logout_url(issuer: &DevIssuer, params: &[(&str, &str)]) -> String {
    let base = format!("{}/protocol/openid-connect/logout", issuer.url());
    Url::parse_with_params(&base, params).unwrap().into()
}

#[tokio::test]
async fn logout_by_one_client_notifies_every_client() {
    let (uri, received) = listening_client().await;
    let client = gateway().backchannel_logout_uri(uri);
    let issuer = provider().client(client).start("127.0.0.1:0").await.unwrap();
    let browser = Browser::new();
    let tokens = log_in_with(&issuer, &browser).await;
    let params = [
        ("id_token_hint", tokens["id_token"].as_str().unwrap()),
        ("post_logout_redirect_uri", "http://127.0.0.1:7777/"),
        ("state", "bye"),
    ];
    let page = browser.open(&logout_url(&issuer, &params)).await;
    assert_eq!(page.location.as_deref(), Some("http://127.0.0.1:7777/?state=bye"));

    let logout_token = received.lock().unwrap().pop().unwrap();
    assert_eq!(header(&logout_token)["typ"], "logout+jwt");
    let logout_claims = claims(&logout_token);
    assert_eq!(logout_claims["iss"], issuer.url());
    assert_eq!(logout_claims["aud"], "gateway");
    assert_eq!(logout_claims["sid"], tokens["session_state"]);
    assert!(
        logout_claims["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object()
    );
    assert_eq!(logout_claims.get("nonce"), None);

    assert_eq!(refresh(&issuer, &tokens["refresh_token"]).await.0, StatusCode::BAD_REQUEST);
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(introspect(&issuer, access).await["active"], false);
    let asks = browser.open(&authorization_url(&issuer, &[])).await;
    assert_eq!(asks.status, StatusCode::OK, "the user is signed out");
}

#[tokio::test]
async fn logout_without_a_hint_asks_for_confirmation() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let browser = Browser::new();
    log_in_with(&issuer, &browser).await;
    let params = [("client_id", "gateway"), ("post_logout_redirect_uri", "http://127.0.0.1:7777/")];
    let page = browser.open(&logout_url(&issuer, &params)).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("alice"));
    assert_eq!(issuer.sessions(), 1);
    let gone = browser.submit(&page, &[]).await;
    assert_eq!(gone.location.as_deref(), Some("http://127.0.0.1:7777/"));
    assert_eq!(issuer.sessions(), 0);
    let again = browser.open(&logout_url(&issuer, &[])).await;
    assert!(again.text.contains("signed out"));
}

#[tokio::test]
async fn a_hint_of_another_session_asks_for_confirmation() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let browser = Browser::new();
    log_in_with(&issuer, &browser).await;
    let other = issuer.log_in("bob", "gateway", "openid").unwrap();
    let hint = other.id_token.unwrap();
    let page = browser.open(&logout_url(&issuer, &[("id_token_hint", &hint)])).await;
    assert!(page.text.contains("Sign out?"));
    assert_eq!(issuer.sessions(), 2);
}

#[tokio::test]
async fn logout_redirects_to_registered_uris_only() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let browser = Browser::new();
    let tokens = log_in_with(&issuer, &browser).await;
    let hint = tokens["id_token"].as_str().unwrap();
    let elsewhere = ("post_logout_redirect_uri", "https://evil.example/");
    let cases: [&[(&str, &str)]; 4] = [
        &[("id_token_hint", hint), elsewhere],
        &[elsewhere],
        &[("id_token_hint", "a.b.c")],
        &[("id_token_hint", tokens["access_token"].as_str().unwrap())],
    ];
    for params in cases {
        let page = browser.open(&logout_url(&issuer, params)).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{params:?}");
        assert_eq!(page.location, None);
    }
    assert_eq!(issuer.sessions(), 1);
}

#[tokio::test]
async fn an_administrator_ends_all_sessions_of_a_person() {
    let (uri, received) = listening_client().await;
    let client = gateway().backchannel_logout_uri(uri);
    let issuer = provider().client(client).start("127.0.0.1:0").await.unwrap();
    for _ in 0..2 {
        issuer.log_in("alice", "gateway", "openid").unwrap();
    }
    let bob = issuer.log_in("bob", "gateway", "openid").unwrap();
    assert_eq!(issuer.session_ids("alice").len(), 2);
    assert_eq!(issuer.end_session_for("alice").await, 2);
    assert_eq!(received.lock().unwrap().len(), 2);
    assert_eq!(introspect(&issuer, &bob.access_token).await["active"], true);
}

#[tokio::test]
async fn a_client_that_does_not_answer_does_not_delay_logout() {
    let client = gateway().backchannel_logout_uri("http://127.0.0.1:1/gone");
    let issuer = provider().client(client).start("127.0.0.1:0").await.unwrap();
    issuer.log_in("alice", "gateway", "openid").unwrap();
    assert_eq!(issuer.end_session_for("alice").await, 0);
    assert_eq!(issuer.sessions(), 0);
}

#[tokio::test]
async fn a_refresh_token_ends_its_session_without_a_browser() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let tokens = issuer.log_in("alice", "gateway", "openid").unwrap();
    let refresh_token = tokens.refresh_token.unwrap();
    let (status, _) = post(&issuer, "logout", &[("refresh_token", &refresh_token)]).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(issuer.sessions(), 0);
}

#[tokio::test]
async fn an_expired_hint_still_logs_out() {
    let clock = crate::party::TestClock::new();
    let issuer = provider().clock(clock.port()).start("127.0.0.1:0").await.unwrap();
    let browser = Browser::new();
    let tokens = log_in_with(&issuer, &browser).await;
    clock.advance(3600);
    let params = [
        ("id_token_hint", tokens["id_token"].as_str().unwrap()),
        ("post_logout_redirect_uri", "http://127.0.0.1:7777/"),
    ];
    let page = browser.open(&logout_url(&issuer, &params)).await;
    assert_eq!(query(&page.location.unwrap(), "state"), None);
    assert_eq!(issuer.sessions(), 0);
}
