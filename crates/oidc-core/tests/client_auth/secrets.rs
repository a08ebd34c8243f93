//! `client_secret_basic`, `client_secret_post`, `client_secret_jwt`.

use dev_issuer::DevClient;
use oidc_core::Secret;
use oidc_core::client::{
    ClientAuth, ClientAuthError, ClientSecret, TokenEndpoint, TokenEndpointError,
};
use oidc_core::testing::TestIssuer;
use serde_json::json;

use crate::{World, own_right, part};

const SECRET: &str = "s3cret:& of more than thirty-two bytes";

#[tokio::test]
async fn a_secret_is_sent_in_one_place_or_not_at_all() {
    let world = World::with_client(DevClient::confidential("job", SECRET)).await;
    world
        .endpoint("job", ClientAuth::SecretBasic(SECRET.into()))
        .request(own_right())
        .await
        .unwrap();
    world
        .endpoint("job", ClientAuth::SecretPost(SECRET.into()))
        .request(own_right())
        .await
        .unwrap();
    let methods: Vec<_> = world.sent().iter().map(|sent| sent.method()).collect();
    assert_eq!(methods, ["client_secret_basic", "client_secret_post"]);
    let wrong = world.endpoint("job", ClientAuth::SecretPost("guess".into()));
    let error = wrong.request(own_right()).await.unwrap_err();
    assert!(matches!(error, TokenEndpointError::InvalidClient { .. }), "{error}");

    let world = World::with_client(DevClient::client_secret_jwt("job", SECRET)).await;
    let endpoint = world.endpoint("job", ClientAuth::SecretJwt(SECRET.into()));
    endpoint.request(own_right()).await.unwrap();
    endpoint.request(own_right()).await.unwrap();
    let sent = world.sent();
    assert!(sent.iter().all(|sent| !format!("{:?}", sent.form).contains("thirty-two")));
    let claims = part(sent[0].value("client_assertion").unwrap(), 1);
    assert_eq!(claims["aud"], world.issuer.url(), "the issuer alone");
    assert_ne!(claims["jti"], part(sent[1].value("client_assertion").unwrap(), 1)["jti"]);
    let wrong = "another secret of more than thirty-two bytes";
    let error =
        world.endpoint("job", ClientAuth::SecretJwt(wrong.into())).request(own_right()).await;
    assert!(matches!(error, Err(TokenEndpointError::InvalidClient { .. })), "{error:?}");
}

#[tokio::test]
async fn the_providers_hash_sets_the_secrets_minimum_length() {
    let issuer = TestIssuer::new();
    let sign = async |offered: &[&str], length: usize| {
        let member = "token_endpoint_auth_signing_alg_values_supported";
        issuer.set_metadata(member, json!(offered));
        let auth = ClientAuth::SecretJwt("s".repeat(length).into());
        TokenEndpoint::new(issuer.provider(), "job", auth).request(own_right()).await?;
        let sent = issuer.last_request("token").unwrap();
        let header = part(sent.value("client_assertion").unwrap(), 0);
        Ok::<_, TokenEndpointError>(header["alg"].as_str().unwrap().to_owned())
    };
    assert_eq!(sign(&[], 32).await.unwrap(), "HS256");
    assert_eq!(sign(&["RS256", "HS512", "HS256"], 32).await.unwrap(), "HS256");
    assert_eq!(sign(&["HS512", "HS384"], 48).await.unwrap(), "HS384");
    assert_eq!(sign(&["HS512"], 64).await.unwrap(), "HS512");
    for (offered, length, needed) in
        [(vec![], 31, 32), (vec!["HS384"], 47, 48), (vec!["HS512"], 63, 64)]
    {
        let error = sign(&offered, length).await.unwrap_err();
        let TokenEndpointError::ClientAuth(ClientAuthError::SecretTooShort {
            bytes,
            needed: n,
            ..
        }) = &error
        else {
            panic!("{error}")
        };
        assert_eq!((*bytes, *n), (length, needed));
        assert!(error.to_string().contains("RFC 7518 §3.2"), "{error}");
        assert!(!error.is_temporary());
    }
    let error = sign(&["RS256"], 64).await.unwrap_err();
    assert!(
        matches!(error, TokenEndpointError::ClientAuth(ClientAuthError::NoHmacOffered)),
        "{error}"
    );
}

#[test]
fn nothing_secret_is_shown() {
    let shown = [
        format!("{:?}", ClientSecret::from("hunter2")),
        format!("{:?}", ClientAuth::SecretBasic("hunter2".into())),
        format!("{:?}", ClientAuth::SecretJwt(Secret::from("hunter2").into())),
        format!("{:?}", ClientAuth::Assertion(Secret::from("hunter2"))),
        format!("{:?}", oidc_core::client::AutoAuth::new().with_secret("hunter2")),
    ];
    for shown in shown {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
