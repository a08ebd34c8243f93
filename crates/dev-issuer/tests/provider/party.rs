//! A hand-written relying party: the tests use no OpenID Connect library.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dev_issuer::{DevClient, DevIssuer, DevIssuerBuilder, User};
use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;

use crate::browser::{Browser, http};

pub(crate) const CALLBACK: &str = "http://127.0.0.1:7777/oauth2/callback";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) fn provider() -> DevIssuerBuilder {
    let alice = User::new("alice", "alice")
        .email("alice@example.test")
        .name("Alice Liddell")
        .roles(["data-scientist"])
        .client_roles("jupyter", ["admin"])
        .groups(["/lab", "/lab/imaging"])
        .claim("department", json!("risk"));
    DevIssuer::builder().user(alice).user(User::new("bob", "bob")).client(gateway())
}

pub(crate) fn gateway() -> DevClient {
    DevClient::confidential("gateway", "s3cret:&")
        .redirect_uri("http://127.0.0.1:*/oauth2/callback")
        .post_logout_redirect_uri("http://127.0.0.1:7777/")
        .audience("gateway")
        .scope("models:read")
        .service_account_roles(["batch"])
}

pub(crate) fn authorization_url(issuer: &DevIssuer, extra: &[(&str, &str)]) -> String {
    let mut url = Url::parse(&format!("{}/protocol/openid-connect/auth", issuer.url())).unwrap();
    let usual = [
        ("response_type", "code"),
        ("client_id", "gateway"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid"),
        ("state", "st-1"),
        ("nonce", "n-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in usual {
        let value = extra.iter().find(|(own, _)| *own == name).map_or(value, |(_, value)| value);
        url.query_pairs_mut().append_pair(name, value);
    }
    for (name, value) in extra.iter().filter(|(name, _)| !usual.iter().any(|(own, _)| own == name))
    {
        url.query_pairs_mut().append_pair(name, value);
    }
    url.into()
}

pub(crate) fn query(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).unwrap();
    url.query_pairs().find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
}

/// POSTs a form as `gateway`. Returns status and body.
pub(crate) async fn post(
    issuer: &DevIssuer,
    path: &str,
    fields: &[(&str, &str)],
) -> (StatusCode, Value) {
    let request = http()
        .post(format!("{}/protocol/openid-connect/{path}", issuer.url()))
        .basic_auth("gateway", Some("s3cret%3A%26"))
        .form(fields);
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

pub(crate) async fn redeem(issuer: &DevIssuer, code: &str) -> (StatusCode, Value) {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    post(issuer, "token", &fields).await
}

pub(crate) async fn refresh(issuer: &DevIssuer, token: &Value) -> (StatusCode, Value) {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token.as_str().unwrap())];
    post(issuer, "token", &fields).await
}

/// Signs alice in through the pages. Returns the answer of the token endpoint.
pub(crate) async fn log_in(issuer: &DevIssuer) -> Value {
    log_in_with(issuer, &Browser::new()).await
}

pub(crate) async fn log_in_with(issuer: &DevIssuer, browser: &Browser) -> Value {
    let back = browser.sign_in(&authorization_url(issuer, &[]), "alice", "alice").await;
    let (status, tokens) = redeem(issuer, &query(&back, "code").unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    tokens
}

pub(crate) async fn introspect(issuer: &DevIssuer, token: &str) -> Value {
    let (status, body) = post(issuer, "token/introspect", &[("token", token)]).await;
    assert_eq!(status, StatusCode::OK);
    body
}

pub(crate) fn header(token: &str) -> Value {
    part(token, 0)
}

pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

fn part(token: &str, index: usize) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// A clock that does not move until it is moved.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<AtomicU64>);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_800_000_000)))
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn port(&self) -> Arc<dyn Fn() -> SystemTime + Send + Sync> {
        let seconds = Arc::clone(&self.0);
        Arc::new(move || UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::SeqCst)))
    }
}
