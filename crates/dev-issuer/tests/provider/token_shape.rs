//! Compares tokens with fixtures written after those that Keycloak 26.7.3 issues for such a person and
//! client (`department` is the claim of a custom mapper): both must have the same members.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::party::{claims, header, log_in, provider};

fn assert_shape(token: &str, fixture: &str) {
    let fixture: Value = serde_json::from_str(fixture).unwrap();
    compare(&header(token), &fixture["header"]);
    compare(&claims(token), &fixture["claims"]);
}

fn compare(actual: &Value, wanted: &Value) {
    let (actual, wanted) = (actual.as_object().unwrap(), wanted.as_object().unwrap());
    assert!(actual.keys().eq(wanted.keys()), "{:?}\n{:?}", actual.keys(), wanted.keys());
    for (name, wanted) in wanted {
        let actual = &actual[name];
        match wanted.as_str() {
            Some("<text>") => assert!(actual.is_string(), "{name}: {actual}"),
            Some("<number>") => assert!(actual.is_u64(), "{name}: {actual}"),
            _ => assert_eq!(actual, wanted, "{name}"),
        }
    }
}

#[tokio::test]
async fn tokens_have_the_shape_of_keycloaks() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let tokens = log_in(&issuer).await;
    let token = |name: &str| tokens[name].as_str().unwrap();
    assert_shape(token("access_token"), include_str!("../fixtures/keycloak-access-token.json"));
    assert_shape(token("id_token"), include_str!("../fixtures/keycloak-id-token.json"));
    assert_shape(token("refresh_token"), include_str!("../fixtures/keycloak-refresh-token.json"));
}

#[tokio::test]
async fn at_hash_covers_the_access_token() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let tokens = issuer.log_in("alice", "gateway", "openid").unwrap();
    let hash = digest(&SHA256, tokens.access_token.as_bytes());
    let wanted = URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]);
    assert_eq!(claims(&tokens.id_token.unwrap())["at_hash"], wanted);
}

#[tokio::test]
async fn a_single_audience_is_a_string() {
    let client = dev_issuer::DevClient::public("plain");
    let issuer = provider().client(client).start("127.0.0.1:0").await.unwrap();
    let tokens = issuer.log_in("bob", "plain", "openid").unwrap();
    assert_eq!(claims(&tokens.access_token)["aud"], "account");
}
