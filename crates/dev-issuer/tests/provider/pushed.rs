use dev_issuer::DevClient;
use reqwest::StatusCode;

use crate::browser::Browser;
use crate::party::{
    CALLBACK, CHALLENGE, TestClock, authorization_url, gateway, post, provider, query, redeem,
};

const REQUEST: [(&str, &str); 6] = [
    ("response_type", "code"),
    ("redirect_uri", CALLBACK),
    ("scope", "openid"),
    ("state", "pushed-state"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

#[tokio::test]
async fn a_pushed_request_leads_to_a_login_once() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let (status, body) = post(&issuer, "ext/par/request", &REQUEST).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(body["expires_in"], 60);
    let uri = body["request_uri"].as_str().unwrap();
    let url = format!(
        "{}/protocol/openid-connect/auth?client_id=gateway&request_uri={uri}",
        issuer.url()
    );
    let back = Browser::new().sign_in(&url, "alice", "alice").await;
    assert_eq!(query(&back, "state").as_deref(), Some("pushed-state"));
    assert_eq!(redeem(&issuer, &query(&back, "code").unwrap()).await.0, StatusCode::OK);
    assert_eq!(Browser::new().open(&url).await.status, StatusCode::BAD_REQUEST, "used");
}

#[tokio::test]
async fn a_pushed_request_belongs_to_its_client_and_expires() {
    let clock = TestClock::new();
    let other = DevClient::public("other").redirect_uri(CALLBACK);
    let issuer = provider().client(other).clock(clock.port()).start("127.0.0.1:0").await.unwrap();
    let (_, body) = post(&issuer, "ext/par/request", &REQUEST).await;
    let uri = body["request_uri"].as_str().unwrap();
    let base = format!("{}/protocol/openid-connect/auth?request_uri={uri}", issuer.url());
    let stolen = Browser::new().open(&format!("{base}&client_id=other")).await;
    assert_eq!(stolen.status, StatusCode::BAD_REQUEST);
    clock.advance(60);
    let late = Browser::new().open(&format!("{base}&client_id=gateway")).await;
    assert_eq!(late.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_wrong_request_is_refused_when_pushed() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let cases = [
        (("redirect_uri", "https://evil.example/"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("scope", "planets"), "invalid_scope"),
    ];
    for (wrong, error) in cases {
        let fields = REQUEST.map(|field| if field.0 == wrong.0 { wrong } else { field });
        let (status, body) = post(&issuer, "ext/par/request", &fields).await;
        assert_eq!((status, &body["error"]), (StatusCode::BAD_REQUEST, &error.into()), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_client_that_must_push_cannot_send_plain_requests() {
    let issuer = provider().client(gateway().require_par()).start("127.0.0.1:0").await.unwrap();
    let page = Browser::new().open(&authorization_url(&issuer, &[])).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.text.contains("PAR"));
    assert_eq!(post(&issuer, "ext/par/request", &REQUEST).await.0, StatusCode::CREATED);
}
