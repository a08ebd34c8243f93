//! Requests to the token endpoint, and its answers.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use oidc_core::Secret;
use oidc_core::client::{
    ClientAuth, Grant, PrivateKeyJwt, TokenEndpoint, TokenEndpointError, TokenHint, TokenSet,
};
use oidc_core::testing::{Fault, TestIssuer};
use oidc_core::token::Algorithm;
use serde_json::{Value, json};

fn endpoint(issuer: &TestIssuer, auth: ClientAuth) -> TokenEndpoint {
    TokenEndpoint::new(issuer.provider(), "airflow:run", auth).with_clock(issuer.clock())
}

fn client_credentials() -> Grant {
    Grant::ClientCredentials { scope: Some("score".into()), audience: None, resource: vec![] }
}

async fn answered(status: u16, body: &str) -> Result<TokenSet, TokenEndpointError> {
    let issuer = TestIssuer::new();
    issuer.answer("token", status, body);
    endpoint(&issuer, ClientAuth::None).request(client_credentials()).await
}

#[tokio::test]
async fn a_client_proves_itself_in_one_way_only() {
    let issuer = TestIssuer::new();
    let sent = async |auth| {
        endpoint(&issuer, auth).request(client_credentials()).await.unwrap();
        issuer.last_request("token").unwrap()
    };
    let none = sent(ClientAuth::None).await;
    assert_eq!(none.value("client_id"), Some("airflow:run"));
    assert_eq!(none.value("grant_type"), Some("client_credentials"));
    assert_eq!(none.value("scope"), Some("score"));
    assert!(none.authorization.is_none());

    let basic = sent(ClientAuth::SecretBasic("p@ss wörd%".into())).await;
    let (_, encoded) = basic.authorization.as_deref().unwrap().split_once(' ').unwrap();
    // RFC 6749 §2.3.1: form-encoded before they are joined.
    assert_eq!(STANDARD.decode(encoded).unwrap(), b"airflow%3Arun:p%40ss+w%C3%B6rd%25");
    assert!(basic.value("client_id").is_none() && basic.value("client_secret").is_none());

    let post = sent(ClientAuth::SecretPost("p@ss".into())).await;
    assert_eq!(post.value("client_secret"), Some("p@ss"));
    assert_eq!(post.value("client_id"), Some("airflow:run"));
    assert!(post.authorization.is_none());

    let assertion = sent(ClientAuth::Assertion(Secret::from("eyJ"))).await;
    assert_eq!(assertion.value("client_assertion"), Some("eyJ"));
    assert!(assertion.value("client_assertion_type").unwrap().ends_with(":jwt-bearer"));
}

/// A P-256 key made for this run: PKCS#8 in PEM, and the public point.
fn pem() -> (Secret, Vec<u8>) {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    let random = aws_lc_rs::rand::SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let der = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let public =
        EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref()).unwrap().public_key().as_ref().to_vec();
    let body = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    (Secret::from(pem), public)
}

#[tokio::test]
async fn an_assertion_is_signed_fresh_for_the_issuer_only() {
    let (pem, public) = pem();
    let key = PrivateKeyJwt::from_pem(&pem, Algorithm::ES256, Some("k1".to_owned())).unwrap();
    let issuer = TestIssuer::new();
    let endpoint = endpoint(&issuer, ClientAuth::PrivateKeyJwt(key));
    let mut seen = Vec::new();
    for _ in 0..2 {
        endpoint.request(client_credentials()).await.unwrap();
        let sent = issuer.last_request("token").unwrap();
        assert!(sent.authorization.is_none() && sent.value("client_secret").is_none());
        let assertion = sent.value("client_assertion").unwrap().to_owned();
        let (message, signature) = assertion.rsplit_once('.').unwrap();
        aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED,
            &public,
        )
        .verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
        let part = |n: usize| -> Value {
            let part = message.split('.').nth(n).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(part(0), json!({"alg": "ES256", "typ": "JWT", "kid": "k1"}));
        let claims = part(1);
        assert_eq!(claims["aud"], json!(issuer.issuer().as_str()));
        assert_eq!(claims["iss"], "airflow:run");
        assert_eq!(claims["sub"], "airflow:run");
        assert_eq!(claims["iat"], json!(issuer.now()));
        assert_eq!(claims["exp"], json!(issuer.now() + 60));
        seen.push(claims["jti"].clone());
    }
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn a_key_that_cannot_sign_is_refused_when_it_is_read() {
    let (pem, _) = pem();
    for (pem, algorithm) in [
        (Secret::from(""), Algorithm::ES256),
        (Secret::from("hunter2"), Algorithm::RS256),
        (pem.clone(), Algorithm::RS256),
        (pem.clone(), Algorithm::ES384),
        (pem.clone(), Algorithm::EdDSA),
        (pem, Algorithm::ES512),
    ] {
        let error = PrivateKeyJwt::from_pem(&pem, algorithm, None).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn errors_say_whether_the_grant_the_client_or_the_day_is_bad() {
    let kind = async |status: u16, body: &str| {
        let error = answered(status, body).await.unwrap_err();
        let kind = match &error {
            TokenEndpointError::InvalidGrant { .. } => "grant",
            TokenEndpointError::InvalidClient { .. } => "client",
            TokenEndpointError::OAuth { .. } => "oauth",
            TokenEndpointError::Unavailable { .. } => "unavailable",
            TokenEndpointError::InvalidResponse { .. } => "invalid",
            TokenEndpointError::InvalidMember { .. } => "member",
            _ => "another",
        };
        (kind, error.is_temporary())
    };
    for (status, body, expected) in [
        (
            400,
            r#"{"error":"invalid_grant","error_description":"Token is not active"}"#,
            ("grant", false),
        ),
        (401, r#"{"error":"invalid_grant"}"#, ("grant", false)),
        (401, r#"{"error":"invalid_client"}"#, ("client", false)),
        (401, r#"{"error":"unauthorized_client"}"#, ("client", false)),
        (400, r#"{"error":"unauthorized_client"}"#, ("oauth", false)),
        (400, r#"{"error":"unauthorized_client"}"#, ("oauth", false)),
        (400, r#"{"error":"invalid_scope"}"#, ("oauth", false)),
        (400, r#"{"error":"temporarily_unavailable"}"#, ("unavailable", true)),
        (500, r#"{"error":"invalid_grant"}"#, ("unavailable", true)),
        (502, "<html>", ("unavailable", true)),
        (503, "", ("unavailable", true)),
        (429, "", ("unavailable", true)),
        (400, "<html>", ("invalid", true)),
        (404, "", ("invalid", true)),
        (302, "", ("invalid", true)),
        (307, "", ("invalid", true)),
        (200, "<html>", ("invalid", true)),
        (200, "", ("invalid", true)),
        (200, "{}", ("member", false)),
        (200, r#"{"access_token":"a","token_type":"mac"}"#, ("member", false)),
        (200, r#"{"access_token":1,"token_type":"Bearer"}"#, ("member", false)),
        (200, r#"{"access_token":"a","access_token":"b"}"#, ("invalid", true)),
        (204, "", ("invalid", true)),
    ] {
        assert_eq!(kind(status, body).await, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn only_an_outage_concerns_every_client() {
    for (status, body, outage) in [
        (429, "", true),
        (503, "", true),
        (503, r#"{"error":"invalid_client"}"#, true),
        (500, "", false),
        (502, "", false),
        (504, "", false),
        (400, r#"{"error":"temporarily_unavailable"}"#, false),
        (401, r#"{"error":"invalid_client"}"#, false),
        (400, "<html>", false),
        (200, "{}", false),
    ] {
        let error = answered(status, body).await.unwrap_err();
        assert_eq!(error.is_outage(), outage, "{status} {body}: {error}");
    }
}

#[tokio::test]
async fn a_refusal_keeps_the_status_of_the_answer() {
    for (error, expected) in
        [("invalid_client", 401), ("unauthorized_client", 401), ("invalid_grant", 400)]
    {
        let error = answered(expected, &format!(r#"{{"error":"{error}"}}"#)).await.unwrap_err();
        let status = match error {
            TokenEndpointError::InvalidClient { status, .. }
            | TokenEndpointError::InvalidGrant { status, .. } => Some(status),
            _ => None,
        };
        assert_eq!(status, Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_answer_is_a_temporary_failure() {
    for fault in [Fault::Down, Fault::Garbage, Fault::Html, Fault::Redirect] {
        let issuer = TestIssuer::new();
        let endpoint = endpoint(&issuer, ClientAuth::None);
        endpoint.request(client_credentials()).await.unwrap();
        issuer.fail(fault);
        let error = endpoint.request(client_credentials()).await.unwrap_err();
        assert!(error.is_temporary(), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn an_error_never_shows_a_token() {
    let body = r#"{"access_token":"top-secret-token","token_type":"Bearer","id_token":["top-secret-token"]}"#;
    let error = answered(200, body).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("top-secret"), "{error:?}");
    let unreadable = r#"{"access_token":"top-secret-token","top-secret-token"}"#;
    let error = answered(200, unreadable).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("top-secret"), "{error:?}");
    let tokens =
        answered(200, r#"{"access_token":"top-secret-token","token_type":"Bearer"}"#).await;
    assert!(!format!("{tokens:?}").contains("top-secret"));
}

#[tokio::test]
async fn the_end_of_a_token_is_known_as_well_as_it_can_be() {
    let issuer = TestIssuer::new();
    let now = UNIX_EPOCH + Duration::from_secs(issuer.now());
    let ends = async |answer: Value| {
        issuer.answer("token", 200, answer.to_string());
        endpoint(&issuer, ClientAuth::None).request(client_credentials()).await.unwrap()
    };
    let answer = json!({"access_token": "opaque", "token_type": "Bearer"});
    assert_eq!(ends(answer.clone()).await.expires_at, None);
    let set = |name: &str, value: Value| {
        let mut answer = answer.clone();
        answer[name] = value;
        answer
    };
    assert_eq!(
        ends(set("expires_in", json!(60))).await.expires_at,
        Some(now + Duration::from_secs(60))
    );
    let forever = ends(set("expires_in", json!(u64::MAX))).await.expires_at.unwrap();
    assert!(forever > now);
    let jwt = ends(set("access_token", json!(issuer.access_token("hub")))).await;
    assert_eq!(jwt.expires_at, Some(now + Duration::from_secs(300)));
    assert_eq!(ends(set("refresh_expires_in", json!(0))).await.refresh_expires_at, None);
    let refresh = ends(set("refresh_expires_in", json!(1800))).await.refresh_expires_at;
    assert_eq!(refresh, Some(now + Duration::from_secs(1800)));
}

#[tokio::test]
async fn a_token_is_revoked_where_that_is_offered() {
    let issuer = TestIssuer::new();
    let endpoint = endpoint(&issuer, ClientAuth::None);
    endpoint.revoke(&Secret::from("r"), TokenHint::RefreshToken).await.unwrap();
    let sent = issuer.last_request("revoke").unwrap();
    assert_eq!(sent.value("token"), Some("r"));
    assert_eq!(sent.value("token_type_hint"), Some("refresh_token"));
    issuer.set_metadata("revocation_endpoint", Value::Null);
    endpoint.provider().refresh_now().await.unwrap();
    let error = endpoint.revoke(&Secret::from("r"), TokenHint::AccessToken).await.unwrap_err();
    assert!(matches!(error, TokenEndpointError::NotSupported { endpoint: "revocation_endpoint" }));
}

#[tokio::test]
async fn a_token_is_exchanged_for_another_audience() {
    let issuer = TestIssuer::new();
    issuer.answer("token", 200, r#"{"access_token":"b","token_type":"Bearer","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}"#);
    let grant = Grant::exchange(Secret::from("a"), "churn");
    let tokens = endpoint(&issuer, ClientAuth::None).request(grant).await.unwrap();
    assert_eq!(tokens.access_token.expose(), "b");
    let sent = issuer.last_request("token").unwrap();
    assert_eq!(
        sent.value("subject_token_type"),
        Some("urn:ietf:params:oauth:token-type:access_token")
    );
    assert_eq!(sent.value("audience"), Some("churn"));
}
