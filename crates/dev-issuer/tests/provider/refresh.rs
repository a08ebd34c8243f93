use std::time::Duration;

use dev_issuer::Grant;
use reqwest::StatusCode;

use crate::party::{TestClock, claims, introspect, log_in, provider, refresh};

#[tokio::test]
async fn each_refresh_token_is_accepted_once() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let first = log_in(&issuer).await;
    let (status, second) = refresh(&issuer, &first["refresh_token"]).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_ne!(first["access_token"], second["access_token"]);
    assert_eq!(first["session_state"], second["session_state"]);
    let (status, _) = refresh(&issuer, &second["refresh_token"]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(issuer.token_requests_by_grant(Grant::RefreshToken), 2);
}

#[tokio::test]
async fn a_reused_refresh_token_detaches_the_client() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let first = log_in(&issuer).await;
    let (_, second) = refresh(&issuer, &first["refresh_token"]).await;
    let access = second["access_token"].as_str().unwrap();
    assert_eq!(introspect(&issuer, access).await["active"], true);

    let (status, reused) = refresh(&issuer, &first["refresh_token"]).await;
    assert_eq!((status, &reused["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
    assert_eq!(issuer.refresh_reuse_detected(), 1);
    assert_eq!(issuer.sessions(), 1, "the person stays signed in, as with Keycloak");
    let (status, _) = refresh(&issuer, &second["refresh_token"]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(introspect(&issuer, access).await["active"], false);
}

#[tokio::test]
async fn of_concurrent_refreshes_one_succeeds() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let tokens = log_in(&issuer).await;
    let token = &tokens["refresh_token"];
    let (a, b, c) =
        tokio::join!(refresh(&issuer, token), refresh(&issuer, token), refresh(&issuer, token));
    let good = [a, b, c].iter().filter(|(status, _)| *status == StatusCode::OK).count();
    assert_eq!(good, 1);
}

#[tokio::test]
async fn two_logins_of_one_client_refresh_apart() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let browser = crate::browser::Browser::new();
    let one = crate::party::log_in_with(&issuer, &browser).await;
    let url = crate::party::authorization_url(&issuer, &[]);
    let code = crate::party::query(&browser.open(&url).await.location.unwrap(), "code").unwrap();
    let (_, two) = crate::party::redeem(&issuer, &code).await;
    assert_eq!(one["session_state"], two["session_state"]);
    for tokens in [one, two] {
        assert_eq!(refresh(&issuer, &tokens["refresh_token"]).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn without_rotation_a_refresh_token_can_be_used_again() {
    let issuer = provider().refresh_token_rotation(false).start("127.0.0.1:0").await.unwrap();
    let tokens = log_in(&issuer).await;
    for _ in 0..3 {
        assert_eq!(refresh(&issuer, &tokens["refresh_token"]).await.0, StatusCode::OK);
    }
    assert_eq!(issuer.refresh_reuse_detected(), 0);
}

#[tokio::test]
async fn refresh_tokens_and_sessions_expire() {
    let clock = TestClock::new();
    let issuer = provider()
        .refresh_token_lifetime(Duration::from_secs(100))
        .session_lifetime(Duration::from_secs(250))
        .clock(clock.port())
        .start("127.0.0.1:0")
        .await
        .unwrap();
    let tokens = log_in(&issuer).await;
    assert_eq!(tokens["refresh_expires_in"], 100);
    clock.advance(90);
    let (_, tokens) = refresh(&issuer, &tokens["refresh_token"]).await;
    clock.advance(90);
    let (_, tokens) = refresh(&issuer, &tokens["refresh_token"]).await;
    assert_eq!(tokens["refresh_expires_in"], 70, "no longer than the session");
    clock.advance(70);
    let (status, late) = refresh(&issuer, &tokens["refresh_token"]).await;
    assert_eq!((status, &late["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
    assert_eq!(issuer.sessions(), 0);
}

#[tokio::test]
async fn scope_may_shrink_and_never_grow() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let tokens = issuer.log_in("alice", "gateway", "openid models:read").unwrap();
    let ask = async |token: String, scope: &str| {
        let fields =
            [("grant_type", "refresh_token"), ("refresh_token", token.as_str()), ("scope", scope)];
        crate::party::post(&issuer, "token", &fields).await
    };
    let token = tokens.refresh_token.unwrap();
    let (status, body) = ask(token.clone(), "openid offline_access").await;
    assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &"invalid_scope".into()));
    let (_, body) = ask(token, "openid").await;
    assert_eq!(claims(body["access_token"].as_str().unwrap())["scope"], "openid");
}
