use dev_issuer::{Algorithm, DevIssuer, Mint};
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::Value;

use crate::browser::http;
use crate::party::{header, introspect, provider};

async fn jwks(issuer: &DevIssuer) -> Vec<Value> {
    let url = format!("{}/protocol/openid-connect/certs", issuer.url());
    let set: Value = http().get(url).send().await.unwrap().json().await.unwrap();
    set["keys"].as_array().unwrap().clone()
}

fn verifies(keys: &[Value], token: &str) -> bool {
    let kid = &header(token)["kid"];
    let Some(key) = keys.iter().find(|key| key["kid"] == *kid) else { return false };
    let key: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.clone()).unwrap();
    let mut validation = Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.validate_aud = false;
    let key = DecodingKey::from_jwk(&key).unwrap();
    jsonwebtoken::decode::<Value>(token, &key, &validation).is_ok()
}

#[tokio::test]
async fn old_keys_stay_published_until_they_are_removed() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let old = issuer.mint(Mint::access("alice")).unwrap();
    let old_id = issuer.signing_key_id();
    let new_id = issuer.rotate_keys().await.unwrap();
    assert_ne!(old_id, new_id);
    let new = issuer.mint(Mint::access("alice")).unwrap();
    assert_eq!(header(&new)["kid"], new_id);

    let both = jwks(&issuer).await;
    assert!(verifies(&both, &old) && verifies(&both, &new));
    issuer.remove_old_keys();
    let one = jwks(&issuer).await;
    assert!(!verifies(&one, &old) && verifies(&one, &new));
}

#[tokio::test]
async fn the_key_set_contains_more_than_signing_keys() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let keys = jwks(&issuer).await;
    let of = |field: &str, value: &str| keys.iter().filter(|key| key[field] == value).count();
    assert_eq!((of("use", "enc"), of("kty", "AKP"), of("alg", "RS256")), (1, 1, 1));
    assert!(keys.iter().all(|key| key.get("d").is_none()), "no private part");
}

#[tokio::test]
async fn tokens_are_signed_with_the_configured_algorithm() {
    for (algorithm, name) in [
        (Algorithm::ES256, "ES256"),
        (Algorithm::ES384, "ES384"),
        (Algorithm::EdDSA, "EdDSA"),
        (Algorithm::PS256, "PS256"),
    ] {
        let issuer = provider().signing_algorithm(algorithm).start("127.0.0.1:0").await.unwrap();
        let check = async || {
            let token = issuer.log_in("alice", "gateway", "openid").unwrap().access_token;
            let header = jsonwebtoken::decode_header(&token).unwrap();
            assert_eq!(format!("{:?}", header.alg), name);
            let keys = jwks(&issuer).await;
            let kid = header.kid.as_deref().unwrap();
            let jwk = keys.iter().find(|jwk| jwk["kid"] == kid).unwrap();
            assert_eq!(jwk["alg"], name);
            let jwk = serde_json::from_value(jwk.clone()).unwrap();
            let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
            let mut validation = jsonwebtoken::Validation::new(header.alg);
            validation.set_issuer(&[issuer.url()]);
            validation.set_audience(&["gateway"]);
            jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap();
            assert_eq!(introspect(&issuer, &token).await["active"], true);
        };
        check().await;
        issuer.rotate_keys().await.unwrap();
        check().await;
    }
}
