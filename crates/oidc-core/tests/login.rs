//! The login flow from the first redirect to the verified ID token, and the errors on the way.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oidc_core::Client;
use oidc_core::client::{ClientAuth, TokenEndpointError};
use oidc_core::login::callback::CallbackRefusal;
use oidc_core::login::{LoginError, LoginRequest, PendingLogin, callback};
use oidc_core::testing::{Fault, SUBJECT, TestIssuer};
use serde_json::{Value, json};
use url::Url;

const CALLBACK: &str = "https://platform.test/oauth2/callback";

fn client(issuer: &TestIssuer) -> Client {
    let auth = ClientAuth::SecretBasic("s3cr&t+ %".into());
    Client::new(issuer.provider(), issuer.keys(), "gateway", auth).with_clock(issuer.clock())
}

fn request() -> LoginRequest {
    LoginRequest::new(CALLBACK.parse().unwrap())
}

fn parameters(url: &Url) -> BTreeMap<String, String> {
    let pairs: Vec<_> = url.query_pairs().into_owned().collect();
    let map: BTreeMap<_, _> = pairs.iter().cloned().collect();
    assert_eq!(pairs.len(), map.len(), "no parameter twice");
    map
}

/// A login up to the redirect back.
async fn at_callback(issuer: &TestIssuer, client: &Client) -> (String, PendingLogin) {
    let (url, pending) = client.begin_login(request()).await.unwrap();
    (issuer.authorize(&url), pending)
}

/// The query with parameters changed; `None` removes one.
fn with(query: &str, name: &str, value: Option<&str>) -> String {
    let kept = url::form_urlencoded::parse(query.as_bytes()).filter(|(other, _)| other != name);
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    out.extend_pairs(kept);
    if let Some(value) = value {
        out.append_pair(name, value);
    }
    out.finish()
}

#[tokio::test]
async fn a_user_logs_in() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let (query, pending) = at_callback(&issuer, &client).await;
    let code = client.parse_callback(&query, &pending).await.unwrap();
    let login = client.finish_login(code, &pending).await.unwrap();
    assert_eq!(login.id_token.subject(), SUBJECT);
    assert_eq!(login.id_token.session_id.as_deref(), Some("sid-1"));
    let tokens = login.tokens;
    assert_eq!(
        tokens.expires_at,
        Some(std::time::UNIX_EPOCH + Duration::from_secs(issuer.now() + 300))
    );
    assert_eq!(
        tokens.refresh_expires_at,
        Some(std::time::UNIX_EPOCH + Duration::from_secs(issuer.now() + 1800))
    );
    assert!(tokens.scope.unwrap().contains("profile"));
    assert!(tokens.refresh_token.is_some());
}

#[tokio::test]
async fn each_request_has_new_state_nonce_and_challenge() {
    let issuer = TestIssuer::new();
    issuer.set_metadata("pushed_authorization_request_endpoint", Value::Null);
    let client = client(&issuer);
    let request = || {
        request()
            .with_scopes(["profile", "openid", "email"])
            .with_prompt("login")
            .with_max_age(Duration::from_secs(3600))
            .with_acr_values(["2", "1"])
            .with_login_hint("alice")
            .with_parameter("kc_idp_hint", "github")
            .with_parameter("state", "mine")
            .with_parameter("redirect_uri", "https://evil.test")
    };
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let (url, pending) = client.begin_login(request()).await.unwrap();
        assert!(url.as_str().starts_with("https://issuer.test/realms/lab/authorize?"));
        let sent = parameters(&url);
        let expected = [
            ("response_type", "code"),
            ("client_id", "gateway"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid profile email"),
            ("code_challenge_method", "S256"),
            ("prompt", "login"),
            ("max_age", "3600"),
            ("acr_values", "2 1"),
            ("login_hint", "alice"),
            ("kc_idp_hint", "github"),
        ];
        for (name, value) in expected {
            assert_eq!(sent[name], value, "{name}");
        }
        assert_eq!(sent["state"], pending.state());
        assert!(pending.matches_state(&sent["state"]) && !pending.matches_state("mine"));
        assert_eq!(sent["code_challenge"].len(), 43);
        for name in ["state", "nonce", "code_challenge"] {
            assert!(sent[name].len() >= 22, "{name} holds at least 128 bits");
            assert!(seen.insert(sent[name].clone()), "{name} is new each time");
        }
        assert_eq!(sent.len(), 13);
    }
}

#[tokio::test]
async fn the_request_is_pushed_where_that_is_offered() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let (url, pending) = client.begin_login(request().with_prompt("login")).await.unwrap();
    let shown = parameters(&url);
    assert_eq!(shown.keys().collect::<Vec<_>>(), ["client_id", "request_uri"]);
    let pushed = issuer.last_request("par").unwrap();
    assert_eq!(pushed.value("state"), Some(pending.state()));
    assert_eq!(pushed.value("redirect_uri"), Some(CALLBACK));
    assert_eq!(pushed.value("prompt"), Some("login"));
    assert_eq!(pushed.form.iter().filter(|(name, _)| name == "client_id").count(), 1);
    assert!(pushed.authorization.unwrap().starts_with("Basic "));

    let (url, _) = client.begin_login(request().without_pushed_request()).await.unwrap();
    assert!(parameters(&url).contains_key("code_challenge"));
    issuer.set_metadata("require_pushed_authorization_requests", json!(true));
    client.provider().refresh_now().await.unwrap();
    let (url, _) = client.begin_login(request().without_pushed_request()).await.unwrap();
    assert!(parameters(&url).contains_key("request_uri"));
}

#[tokio::test]
async fn a_push_that_is_required_is_not_replaced_by_a_plain_request() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let (url, _) = client.begin_login(request().with_required_pushed_request()).await.unwrap();
    assert!(parameters(&url).contains_key("request_uri"));
    issuer.set_metadata("pushed_authorization_request_endpoint", json!(null));
    client.provider().refresh_now().await.unwrap();
    let error = client.begin_login(request().with_required_pushed_request()).await.unwrap_err();
    assert!(matches!(error, LoginError::NotSupported { .. }), "{error}");
    let (url, _) = client.begin_login(request()).await.unwrap();
    assert!(parameters(&url).contains_key("code_challenge"));
}

#[tokio::test]
async fn a_refused_push_is_an_error_and_never_a_plain_request() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    for (status, body, temporary) in [
        (401, r#"{"error":"invalid_client"}"#, false),
        (400, r#"{"error":"invalid_request","error_description":"redirect_uri"}"#, false),
        (503, "", true),
        (201, "<html>", true),
        (302, "", true),
    ] {
        issuer.answer("par", status, body);
        let error = client.begin_login(request()).await.unwrap_err();
        assert!(matches!(error, LoginError::PushedAuthorization(_)), "{status}");
        assert_eq!(error.is_temporary(), temporary, "{status}");
    }
}

#[tokio::test]
async fn an_answer_must_belong_to_the_login() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let (query, pending) = at_callback(&issuer, &client).await;
    let (other, _) = at_callback(&issuer, &client).await;
    let check = async |query: &str| {
        client
            .parse_callback(query, &pending)
            .await
            .err()
            .map_or("accepted", |refusal| refusal.code())
    };
    assert_eq!(check(&query).await, "accepted");
    let twice = |name: &str| {
        let (_, value) =
            url::form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).unwrap();
        format!("{query}&{name}={value}")
    };
    for (query, expected) in [
        (other, "wrong_state"),
        (with(&query, "state", None), "missing_state"),
        (with(&query, "state", Some("")), "wrong_state"),
        (with(&query, "state", Some("x")), "wrong_state"),
        (with(&query, "iss", None), "missing_issuer"),
        (with(&query, "iss", Some("https://evil.test")), "wrong_issuer"),
        (with(&query, "iss", Some("https://issuer.test/realms/lab/")), "wrong_issuer"),
        (with(&query, "code", None), "missing_code"),
        (with(&query, "code", Some("")), "missing_code"),
        (twice("state"), "duplicate_parameter"),
        (twice("code"), "duplicate_parameter"),
        (twice("iss"), "duplicate_parameter"),
        (format!("{query}&x=1&x=1"), "duplicate_parameter"),
        (
            format!("{query}&{}", (0..40).map(|n| format!("p{n}=&")).collect::<String>()),
            "too_large",
        ),
        (format!("{query}&x={}", "x".repeat(20_000)), "too_large"),
        (String::new(), "missing_state"),
        // An error without this login's state is not accepted as an answer to it.
        ("error=access_denied".to_owned(), "missing_state"),
        ("error=access_denied&state=x".to_owned(), "wrong_state"),
    ] {
        assert_eq!(check(&query).await, expected, "{query}");
    }
    let refused = with(&with(&query, "code", None), "error", Some("access_denied"));
    let refused = with(&refused, "error_description", Some("<script>\r\nno"));
    let refusal = client.parse_callback(&refused, &pending).await.unwrap_err();
    let CallbackRefusal::Provider { error, description } = &refusal else {
        unreachable!("{refusal}")
    };
    assert_eq!(error, "access_denied");
    assert_eq!(description.as_deref(), Some("<script>\\r\\nno"));
    assert_eq!(callback::state(&query).as_deref(), Some(pending.state()));
}

#[tokio::test]
async fn without_rfc_9207_iss_may_be_absent_but_not_wrong() {
    let issuer = TestIssuer::new();
    issuer.set_metadata("authorization_response_iss_parameter_supported", Value::Null);
    let client = client(&issuer);
    let (query, pending) = at_callback(&issuer, &client).await;
    let missing = with(&query, "iss", None);
    assert!(client.parse_callback(&missing, &pending).await.is_ok());
    let wrong = with(&query, "iss", Some("https://evil.test"));
    assert!(client.parse_callback(&wrong, &pending).await.is_err());
}

#[tokio::test]
async fn a_code_is_good_once_and_with_its_own_verifier_only() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let (query, pending) = at_callback(&issuer, &client).await;
    let code = client.parse_callback(&query, &pending).await.unwrap();
    client.finish_login(code.clone(), &pending).await.unwrap();
    let error = client.finish_login(code, &pending).await.unwrap_err();
    assert!(matches!(error, LoginError::Token(TokenEndpointError::InvalidGrant { .. })));

    // An attacker's code in the victim's login: the state was replaced, but the verifier cannot be.
    let (attackers, _) = at_callback(&issuer, &client).await;
    let attackers = with(&attackers, "state", Some(pending.state()));
    let code = client.parse_callback(&attackers, &pending).await.unwrap();
    let error = client.finish_login(code, &pending).await.unwrap_err();
    assert!(matches!(error, LoginError::Token(TokenEndpointError::InvalidGrant { .. })));
}

#[tokio::test]
async fn a_login_ends_only_with_an_id_token_made_for_it() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let finish = async |change: fn(&TestIssuer, &mut Value, &mut Value)| {
        let (url, pending) = client.begin_login(request().without_pushed_request()).await.unwrap();
        let nonce = parameters(&url)["nonce"].clone();
        let query = issuer.authorize(&url);
        let mut answer = issuer.token_set("gateway", Some(&nonce));
        let mut claims = issuer.id_claims("gateway", Some(&nonce));
        change(&issuer, &mut answer, &mut claims);
        if answer["id_token"] != Value::Null {
            answer["id_token"] = json!(issuer.sign(&claims));
        }
        issuer.answer("token", 200, answer.to_string());
        let code = client.parse_callback(&query, &pending).await.unwrap();
        match client.finish_login(code, &pending).await {
            Ok(_) => "accepted",
            Err(LoginError::IdToken(refusal)) => refusal.code(),
            Err(LoginError::NoIdToken) => "no_id_token",
            Err(LoginError::Token(error @ TokenEndpointError::InvalidMember { .. })) => {
                error.code()
            }
            Err(_) => "another error",
        }
    };
    assert_eq!(finish(|_, _, _| {}).await, "accepted");
    assert_eq!(finish(|_, _, claims| claims["nonce"] = json!("another")).await, "wrong_nonce");
    assert_eq!(
        finish(|_, _, claims| drop(claims.as_object_mut().unwrap().remove("nonce"))).await,
        "wrong_nonce"
    );
    assert_eq!(finish(|_, _, claims| claims["aud"] = json!("another")).await, "wrong_audience");
    assert_eq!(
        finish(|_, _, claims| claims["iss"] = json!("https://evil.test")).await,
        "wrong_issuer"
    );
    assert_eq!(
        finish(|_, _, claims| claims["at_hash"] = json!("AAAAAAAAAAAAAAAAAAAAAA")).await,
        "wrong_hash"
    );
    assert_eq!(
        finish(|_, _, claims| claims["c_hash"] = json!("AAAAAAAAAAAAAAAAAAAAAA")).await,
        "wrong_hash"
    );
    assert_eq!(finish(|_, _, claims| claims["typ"] = json!("Bearer")).await, "wrong_type");
    assert_eq!(
        finish(|_, _, claims| drop(claims.as_object_mut().unwrap().remove("iat"))).await,
        "missing_claim"
    );
    assert_eq!(finish(|_, answer, _| answer["id_token"] = Value::Null).await, "no_id_token");
    assert_eq!(
        finish(|_, answer, _| answer["token_type"] = json!("DPoP")).await,
        "invalid_response"
    );
    assert_eq!(finish(|_, answer, _| answer["token_type"] = json!("BEARER")).await, "accepted");
    assert_eq!(finish(|_, answer, _| answer["access_token"] = json!("")).await, "invalid_response");
    assert_eq!(
        finish(|issuer, _, claims| claims["exp"] = json!(issuer.now() - 31)).await,
        "expired"
    );
}

#[tokio::test]
async fn a_login_that_asked_for_max_age_wants_its_proof() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let request = request().with_max_age(Duration::from_secs(60)).without_pushed_request();
    let (url, pending) = client.begin_login(request).await.unwrap();
    let nonce = parameters(&url)["nonce"].clone();
    let query = issuer.authorize(&url);
    let mut claims = issuer.id_claims("gateway", Some(&nonce));
    claims["auth_time"] = json!(issuer.now() - 3600);
    let mut answer = issuer.token_set("gateway", None);
    answer["id_token"] = json!(issuer.sign(&claims));
    issuer.answer("token", 200, answer.to_string());
    let code = client.parse_callback(&query, &pending).await.unwrap();
    let error = client.finish_login(code, &pending).await.unwrap_err();
    assert!(
        matches!(error, LoginError::IdToken(refusal) if refusal.code() == "authentication_too_old")
    );
}

#[tokio::test]
async fn a_pending_login_survives_being_stored_and_shows_nothing() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    let (query, pending) = at_callback(&issuer, &client).await;
    let stored = serde_json::to_string(&pending).unwrap();
    assert!(stored.len() < 400);
    let shown = format!("{pending:?}");
    assert!(!shown.contains(pending.state()), "{shown}");
    let restored: PendingLogin = serde_json::from_str(&stored).unwrap();
    let code = client.parse_callback(&query, &restored).await.unwrap();
    assert_eq!(format!("{code:?}"), "Code(..)");
    assert!(client.finish_login(code, &restored).await.is_ok());
    assert!(serde_json::from_str::<PendingLogin>(&stored.replacen('{', "{\"x\":1,", 1)).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_login_while_the_provider_is_down_fails_at_once_and_for_now() {
    let issuer = TestIssuer::new();
    let client = client(&issuer);
    for fault in [Fault::Down, Fault::Garbage, Fault::Redirect, Fault::Hang] {
        issuer.fail(fault);
        let begun = tokio::time::Instant::now();
        let error = client.begin_login(request()).await.unwrap_err();
        assert!(error.is_temporary(), "{fault:?}");
        assert!(begun.elapsed() <= Duration::from_secs(3));
    }
    issuer.fail(Fault::None);
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert!(client.begin_login(request()).await.is_ok());
}
