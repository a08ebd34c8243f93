use dev_issuer::{DevClient, DevIssuer};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::browser::http;
use crate::party::provider;
use crate::signer::Signer;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
const CLUSTER: &str = "https://kubernetes.default.svc";

async fn by(issuer: &DevIssuer, kind: &str, assertion: &str) -> StatusCode {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", kind),
        ("client_assertion", assertion),
    ];
    let url = format!("{}/protocol/openid-connect/token", issuer.url());
    http().post(url).form(&fields).send().await.unwrap().status()
}

fn own_claims(issuer: &DevIssuer, client: &str) -> Value {
    let exp = jsonwebtoken::get_current_timestamp() + 60;
    let jti = format!("{:x}", rand::random::<u128>());
    json!({"iss": client, "sub": client, "aud": issuer.url(), "jti": jti, "exp": exp})
}

#[tokio::test]
async fn a_client_may_register_a_key_of_any_kind_as_a_jwks() {
    for signer in [Signer::p256(), Signer::p384(), Signer::ed25519()] {
        let client = DevClient::private_key_jwt("batch", signer.jwks());
        let issuer = provider().client(client).start("127.0.0.1:0").await.unwrap();
        let good = signer.sign(&own_claims(&issuer, "batch"));
        assert_eq!(by(&issuer, JWT_BEARER, &good).await, StatusCode::OK, "{}", signer.jwk);
        let stranger = Signer::p256().sign(&own_claims(&issuer, "batch"));
        assert_eq!(by(&issuer, JWT_BEARER, &stranger).await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn client_secret_jwt_needs_a_secret_as_long_as_the_hash() {
    let secret = |length: usize| "s".repeat(length);
    let issuer = provider()
        .client(DevClient::client_secret_jwt("long", secret(48)))
        .client(DevClient::client_secret_jwt("short", secret(31)))
        .start("127.0.0.1:0")
        .await
        .unwrap();
    let assertion = |client: &str, algorithm: Algorithm, secret: &str| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        let claims = own_claims(&issuer, client);
        jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).unwrap()
    };
    for (client, algorithm, secret, expected) in [
        ("long", Algorithm::HS256, secret(48), StatusCode::OK),
        ("long", Algorithm::HS384, secret(48), StatusCode::OK),
        ("long", Algorithm::HS512, secret(48), StatusCode::UNAUTHORIZED),
        ("long", Algorithm::HS256, secret(47), StatusCode::UNAUTHORIZED),
        ("short", Algorithm::HS256, secret(31), StatusCode::UNAUTHORIZED),
        ("gateway", Algorithm::HS256, "s3cret:&".to_owned(), StatusCode::UNAUTHORIZED),
    ] {
        let assertion = assertion(client, algorithm, &secret);
        assert_eq!(by(&issuer, JWT_BEARER, &assertion).await, expected, "{client} {algorithm:?}");
    }
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "long"),
        ("client_secret", &secret(48)),
    ];
    let url = format!("{}/protocol/openid-connect/token", issuer.url());
    let posted = http().post(url).form(&fields).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::UNAUTHORIZED, "the secret itself must not be sent");
}

#[tokio::test]
async fn a_platforms_token_authenticates_a_workload() {
    let cluster = Signer::p256();
    let workload = "system:serviceaccount:batch:scoring";
    let svid = "spiffe://example.org/ns/batch/sa/scoring";
    let issuer = provider()
        .trust(CLUSTER, cluster.jwks())
        .trust("spiffe://example.org", cluster.jwks())
        .client(DevClient::federated("scoring", CLUSTER, workload))
        .client(DevClient::federated("mesh", "spiffe://example.org", svid))
        .start("127.0.0.1:0")
        .await
        .unwrap();
    let exp = jsonwebtoken::get_current_timestamp() + 600;
    let good = json!({"iss": CLUSTER, "sub": workload, "aud": [issuer.url()], "exp": exp});
    let token = cluster.sign(&good);
    assert_eq!(by(&issuer, JWT_BEARER, &token).await, StatusCode::OK);
    assert_eq!(by(&issuer, JWT_BEARER, &token).await, StatusCode::OK, "until it expires");
    assert_eq!(by(&issuer, JWT_SPIFFE, &token).await, StatusCode::UNAUTHORIZED);
    for (member, value) in [
        ("iss", json!("https://elsewhere")),
        ("sub", json!("system:serviceaccount:batch:default")),
        ("aud", json!("https://elsewhere")),
        ("exp", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        let status = by(&issuer, JWT_BEARER, &cluster.sign(&bad)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{member}");
    }
    let forged = Signer::p256().sign(&good);
    assert_eq!(by(&issuer, JWT_BEARER, &forged).await, StatusCode::UNAUTHORIZED);

    let token = cluster.sign(&json!({"sub": svid, "aud": issuer.url(), "exp": exp}));
    assert_eq!(by(&issuer, JWT_SPIFFE, &token).await, StatusCode::OK);
    assert_eq!(by(&issuer, JWT_BEARER, &token).await, StatusCode::UNAUTHORIZED);
}
