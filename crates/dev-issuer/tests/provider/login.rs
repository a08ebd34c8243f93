use dev_issuer::{DevClient, Endpoint, SignInError};
use reqwest::StatusCode;

use crate::browser::{Browser, http};
use crate::party::{
    CALLBACK, TestClock, authorization_url, claims, introspect, log_in, provider, query, redeem,
};

#[tokio::test]
async fn a_person_signs_in_and_the_client_gets_its_tokens() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let back = Browser::new().sign_in(&authorization_url(&issuer, &[]), "alice", "alice").await;
    assert!(back.starts_with(CALLBACK));
    assert_eq!(query(&back, "state").as_deref(), Some("st-1"));
    assert_eq!(query(&back, "iss").as_deref(), Some(issuer.url()));

    let (status, tokens) = redeem(&issuer, &query(&back, "code").unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 300);
    let id = claims(tokens["id_token"].as_str().unwrap());
    assert_eq!(id["nonce"], "n-1");
    assert_eq!(id["aud"], "gateway");
    assert_eq!(id["preferred_username"], "alice");
    assert_eq!(issuer.requests(Endpoint::Login), 1);

    let userinfo = http()
        .get(format!("{}/protocol/openid-connect/userinfo", issuer.url()))
        .bearer_auth(tokens["access_token"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    let userinfo: serde_json::Value = userinfo.json().await.unwrap();
    assert_eq!(userinfo["sub"], id["sub"]);
    assert_eq!(userinfo["department"], "risk");
}

#[tokio::test]
async fn after_a_wrong_password_the_form_can_be_sent_again() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let browser = Browser::new();
    let page = browser.open(&authorization_url(&issuer, &[])).await;
    let again = browser.submit(&page, &[("username", "alice"), ("password", "<nope>")]).await;
    assert_eq!(again.status, StatusCode::OK);
    assert!(again.text.contains("role=\"alert\"") && again.text.contains("value=\"alice\""));
    assert!(!again.text.contains("nope"));
    let answer = browser.submit(&again, &[("username", "alice"), ("password", "alice")]).await;
    assert!(answer.location.unwrap().starts_with(CALLBACK));
}

#[tokio::test]
async fn a_demo_account_signs_in_with_one_click() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let browser = Browser::new();
    let page = browser.open(&authorization_url(&issuer, &[])).await;
    assert!(page.text.contains("alice / alice"));
    let answer =
        browser.submit(&page, &[("username", ""), ("password", ""), ("account", "bob")]).await;
    let (_, tokens) = redeem(&issuer, &query(&answer.location.unwrap(), "code").unwrap()).await;
    let access = claims(tokens["access_token"].as_str().unwrap());
    assert_eq!(access["preferred_username"], "bob");
}

#[tokio::test]
async fn a_form_counts_only_from_the_browser_that_was_shown_it() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let (ours, theirs) = (Browser::new(), Browser::new());
    let page = ours.open(&authorization_url(&issuer, &[])).await;
    theirs.open(&authorization_url(&issuer, &[])).await;
    let fields = [("username", "alice"), ("password", "alice")];
    assert_eq!(theirs.submit(&page, &fields).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(Browser::new().submit(&page, &fields).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(ours.submit(&page, &fields).await.status, StatusCode::SEE_OTHER);
    let twice = ours.submit(&page, &fields).await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
    assert!(twice.text.contains("expired"));
}

#[tokio::test]
async fn a_page_may_wait_ten_minutes_for_its_form() {
    let clock = TestClock::new();
    let issuer = provider().clock(clock.port()).start("127.0.0.1:0").await.unwrap();
    let browser = Browser::new();
    let page = browser.open(&authorization_url(&issuer, &[])).await;
    clock.advance(600);
    let answer = browser.submit(&page, &[("username", "alice"), ("password", "alice")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_page_forbids_scripts_and_framing() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let page = Browser::new().open(&authorization_url(&issuer, &[])).await;
    let csp = page.headers["content-security-policy"].to_str().unwrap();
    assert!(csp.starts_with("default-src 'none'; style-src 'sha256-"), "{csp}");
    assert!(csp.contains("frame-ancestors 'none'"));
    assert_eq!(page.headers["cache-control"], "no-store");
    assert!(!page.text.contains("<script"));
}

#[tokio::test]
async fn a_signed_in_user_reaches_a_second_client_without_a_page() {
    let other = DevClient::public("other").redirect_uri("http://127.0.0.1:8888/cb");
    let issuer = provider().client(other).start("127.0.0.1:0").await.unwrap();
    let browser = Browser::new();
    browser.sign_in(&authorization_url(&issuer, &[]), "alice", "alice").await;
    let second = [("client_id", "other"), ("redirect_uri", "http://127.0.0.1:8888/cb")];
    let page = browser.open(&authorization_url(&issuer, &second)).await;
    assert!(page.location.unwrap().starts_with("http://127.0.0.1:8888/cb?"));
    assert_eq!(issuer.sessions(), 1);
}

#[tokio::test]
async fn prompt_none_never_asks_and_prompt_login_always_does() {
    let clock = TestClock::new();
    let issuer = provider().clock(clock.port()).start("127.0.0.1:0").await.unwrap();
    let browser = Browser::new();
    let silent = authorization_url(&issuer, &[("prompt", "none")]);
    let back = browser.open(&silent).await.location.unwrap();
    assert_eq!(query(&back, "error").as_deref(), Some("login_required"));
    assert_eq!(query(&back, "state").as_deref(), Some("st-1"));
    assert_eq!(query(&back, "iss").as_deref(), Some(issuer.url()));

    browser.sign_in(&authorization_url(&issuer, &[]), "alice", "alice").await;
    assert!(query(&browser.open(&silent).await.location.unwrap(), "code").is_some());
    let asks = authorization_url(&issuer, &[("prompt", "login")]);
    assert_eq!(browser.open(&asks).await.status, StatusCode::OK);
    clock.advance(120);
    let fresh = authorization_url(&issuer, &[("max_age", "60")]);
    assert_eq!(browser.open(&fresh).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_unregistered_redirect_uri_receives_nothing() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let bad = [
        "http://127.0.0.1:7777/other",
        "http://127.0.0.1:7777/oauth2/callback/../x",
        "http://127.0.0.1:7777/oauth2/callback?next=1",
        "http://127.0.0.1:80@evil.example/oauth2/callback",
        "https://evil.example/oauth2/callback",
    ];
    for uri in bad {
        let page = Browser::new().open(&authorization_url(&issuer, &[("redirect_uri", uri)])).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{uri}");
        assert_eq!(page.location, None);
    }
    let page = Browser::new().open(&authorization_url(&issuer, &[("client_id", "unknown")])).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_request_without_pkce_s256_is_refused_at_the_client() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let cases = [
        ("code_challenge", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        ("response_mode", "fragment", "invalid_request"),
        ("scope", "openid planets", "invalid_scope"),
        ("request", "eyJ", "request_not_supported"),
    ];
    for (name, value, error) in cases {
        let page = Browser::new().open(&authorization_url(&issuer, &[(name, value)])).await;
        let back = page.location.unwrap();
        assert_eq!(query(&back, "error").as_deref(), Some(error), "{name}");
        assert_eq!(query(&back, "iss").as_deref(), Some(issuer.url()));
    }
}

#[tokio::test]
async fn a_reused_code_revokes_the_tokens_it_was_exchanged_for() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let url = authorization_url(&issuer, &[]);
    let code = query(&issuer.sign_in(&url, "alice").unwrap(), "code").unwrap();
    let (_, tokens) = redeem(&issuer, &code).await;
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(introspect(&issuer, access).await["active"], true);
    let (status, again) = redeem(&issuer, &code).await;
    assert_eq!((status, &again["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
    assert_eq!(introspect(&issuer, access).await["active"], false);
}

#[tokio::test]
async fn a_code_is_refused_late_or_with_another_verifier_or_uri() {
    let clock = TestClock::new();
    let issuer = provider().clock(clock.port()).start("127.0.0.1:0").await.unwrap();
    let url = authorization_url(&issuer, &[]);
    let fresh_code = || query(&issuer.sign_in(&url, "alice").unwrap(), "code").unwrap();

    let code = fresh_code();
    clock.advance(60);
    assert_eq!(redeem(&issuer, &code).await.1["error"], "invalid_grant");

    let verifier = "another-verifier-that-is-long-enough-to-be-one";
    for (uri, verifier) in [(CALLBACK, verifier), ("http://127.0.0.1:1/oauth2/callback", "x")] {
        let code = fresh_code();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", uri),
            ("code_verifier", verifier),
        ];
        let (status, body) = crate::party::post(&issuer, "token", &fields).await;
        assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
    }
}

#[tokio::test]
async fn sign_in_without_a_browser_returns_the_reason_of_failure() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let good = authorization_url(&issuer, &[]);
    assert!(matches!(issuer.sign_in(&good, "carol"), Err(SignInError::UnknownUser(_))));
    let unknown = authorization_url(&issuer, &[("client_id", "x")]);
    assert!(matches!(issuer.sign_in(&unknown, "alice"), Err(SignInError::Refused(_))));
    let plain = authorization_url(&issuer, &[("code_challenge_method", "plain")]);
    assert!(matches!(issuer.sign_in(&plain, "alice"), Err(SignInError::SentBack(_))));
}

#[tokio::test]
async fn a_changed_role_shows_in_the_next_token() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let tokens = log_in(&issuer).await;
    issuer.set_user(dev_issuer::User::new("alice", "alice").roles(["auditor"]));
    let (_, tokens) = crate::party::refresh(&issuer, &tokens["refresh_token"]).await;
    let roles = claims(tokens["access_token"].as_str().unwrap());
    let roles = roles["realm_access"]["roles"].as_array().unwrap().clone();
    assert!(roles.contains(&"auditor".into()) && !roles.contains(&"data-scientist".into()));
}
