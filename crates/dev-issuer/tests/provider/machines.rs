use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dev_issuer::{DevClient, DevIssuer, Grant};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::browser::http;
use crate::party::{claims, introspect, post, provider};

type Form = &'static [(&'static str, &'static str)];

const CLIENT_CREDENTIALS: (&str, &str) = ("grant_type", "client_credentials");

#[tokio::test]
async fn a_machine_gets_a_token_of_its_own() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let (status, body) =
        post(&issuer, "token", &[CLIENT_CREDENTIALS, ("scope", "models:read")]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body.get("refresh_token"), None);
    assert_eq!(body.get("id_token"), None);
    let token = claims(body["access_token"].as_str().unwrap());
    assert_eq!(token["preferred_username"], "service-account-gateway");
    assert_eq!(token["client_id"], "gateway");
    assert_eq!(token["scope"], "models:read profile email");
    assert_eq!(token.get("sid"), None);
    assert!(token["realm_access"]["roles"].as_array().unwrap().contains(&"batch".into()));
    assert_eq!(issuer.token_requests_by_grant(Grant::ClientCredentials), 1);
}

#[tokio::test]
async fn errors_are_those_of_rfc_6749() {
    let issuer = provider().client(DevClient::public("cli")).start("127.0.0.1:0").await.unwrap();
    let url = format!("{}/protocol/openid-connect/token", issuer.url());
    let cases: [(Form, u16, &str); 7] = [
        (&[CLIENT_CREDENTIALS], 401, "invalid_client"),
        (&[CLIENT_CREDENTIALS, ("client_id", "x"), ("client_secret", "y")], 401, "invalid_client"),
        (
            &[CLIENT_CREDENTIALS, ("client_id", "gateway"), ("client_secret", "wrong")],
            401,
            "invalid_client",
        ),
        (&[CLIENT_CREDENTIALS, ("client_id", "cli")], 400, "unauthorized_client"),
        (&[("client_id", "cli")], 400, "invalid_request"),
        (&[("grant_type", "password"), ("client_id", "cli")], 400, "unsupported_grant_type"),
        (&[CLIENT_CREDENTIALS, CLIENT_CREDENTIALS, ("client_id", "cli")], 400, "invalid_request"),
    ];
    for (fields, status, error) in cases {
        let response = http().post(&url).form(fields).send().await.unwrap();
        assert_eq!(response.status(), status, "{fields:?}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers().contains_key("www-authenticate"), status == 401);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"], error, "{fields:?}");
    }
    let (_, body) = post(&issuer, "token", &[CLIENT_CREDENTIALS, ("scope", "planets")]).await;
    assert_eq!(body["error"], "invalid_scope");
    let (_, body) = post(&issuer, "token", &[CLIENT_CREDENTIALS, ("client_secret", "x")]).await;
    assert_eq!(body["error"], "invalid_request", "two methods of client authentication");
    let json = http().post(&url).json(&json!({})).send().await.unwrap();
    assert_eq!(json.status(), 400);
}

#[tokio::test]
async fn a_secret_may_be_posted() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let url = format!("{}/protocol/openid-connect/token", issuer.url());
    let fields = [CLIENT_CREDENTIALS, ("client_id", "gateway"), ("client_secret", "s3cret:&")];
    let response = http().post(&url).form(&fields).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_signed_assertion_authenticates_a_client_once() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pem("PUBLIC KEY", pair.public_key().as_der().unwrap().as_ref());
    let private = pem("PRIVATE KEY", AsDer::as_der(&pair).unwrap().as_ref());
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(private.as_bytes()).unwrap();
    let issuer = provider()
        .client(DevClient::private_key_jwt("batch", public))
        .start("127.0.0.1:0")
        .await
        .unwrap();
    let exp = jsonwebtoken::get_current_timestamp() + 60;
    let assertion = |claims: Value| {
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::PS256);
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    };
    let good = assertion(json!({
        "iss": "batch", "sub": "batch", "aud": issuer.url(), "jti": "1", "exp": exp
    }));
    assert_eq!(by_assertion(&issuer, &good).await, StatusCode::OK);
    assert_eq!(by_assertion(&issuer, &good).await, StatusCode::UNAUTHORIZED, "replayed");
    let bad = [
        json!({"iss": "batch", "sub": "batch", "aud": "other", "jti": "2", "exp": exp}),
        json!({"iss": "batch", "sub": "batch", "aud": issuer.url(), "jti": "3", "exp": 1}),
        json!({"iss": "other", "sub": "batch", "aud": issuer.url(), "jti": "4", "exp": exp}),
        json!({"iss": "batch", "sub": "batch", "aud": issuer.url(), "exp": exp}),
        json!({"iss": "gateway", "sub": "gateway", "aud": issuer.url(), "jti": "5", "exp": exp}),
    ];
    for claims in bad {
        let status = by_assertion(&issuer, &assertion(claims.clone())).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{claims}");
    }
}

async fn by_assertion(issuer: &DevIssuer, assertion: &str) -> StatusCode {
    let fields = [
        CLIENT_CREDENTIALS,
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
    ];
    let url = format!("{}/protocol/openid-connect/token", issuer.url());
    http().post(url).form(&fields).send().await.unwrap().status()
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[tokio::test]
async fn introspection_serves_clients_and_reports_live_tokens() {
    let issuer = provider().client(DevClient::public("cli")).start("127.0.0.1:0").await.unwrap();
    let tokens = issuer.log_in("alice", "gateway", "openid").unwrap();
    let body = introspect(&issuer, &tokens.access_token).await;
    assert_eq!(body["active"], true);
    assert_eq!(body["username"], "alice");
    assert_eq!(body["client_id"], "gateway");
    let body = introspect(&issuer, tokens.refresh_token.as_deref().unwrap()).await;
    assert_eq!((&body["active"], &body["typ"]), (&json!(true), &json!("Refresh")));
    for dead in ["", "x", "a.b.c", tokens.id_token.as_deref().unwrap()] {
        let dead = if dead.is_empty() { "-" } else { dead };
        assert_eq!(introspect(&issuer, dead).await, json!({ "active": false }));
    }
    let url = format!("{}/protocol/openid-connect/token/introspect", issuer.url());
    let fields = [("client_id", "cli"), ("token", tokens.access_token.as_str())];
    let response = http().post(url).form(&fields).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_revoked_token_is_inactive() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let tokens = issuer.log_in("alice", "gateway", "openid").unwrap();
    let other = issuer.log_in("alice", "gateway", "openid").unwrap();
    let revoke = async |token: &str| post(&issuer, "revoke", &[("token", token)]).await.0;

    assert_eq!(revoke(&tokens.access_token).await, StatusCode::OK);
    assert_eq!(introspect(&issuer, &tokens.access_token).await["active"], false);
    let refresh = tokens.refresh_token.unwrap();
    assert_eq!(introspect(&issuer, &refresh).await["active"], true);
    assert_eq!(revoke(&refresh).await, StatusCode::OK);
    assert_eq!(introspect(&issuer, &refresh).await["active"], false);

    assert_eq!(introspect(&issuer, &other.access_token).await["active"], true);
    assert_eq!(revoke("never-issued").await, StatusCode::OK);
}
