//! `private_key_jwt` with each kind of key in each form.

use dev_issuer::DevClient;
use oidc_core::Secret;
use oidc_core::client::{
    ClientAuth, InvalidPrivateKey, PrivateKeyJwt, TokenEndpoint, TokenEndpointError,
};
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use serde_json::json;

use crate::key_pairs::Pair;
use crate::{World, own_right, part};

#[tokio::test]
async fn every_kind_of_key_works_in_every_form() {
    for (pair, algorithms) in [
        (Pair::p256(), vec![Algorithm::ES256]),
        (Pair::p384(), vec![Algorithm::ES384]),
        (Pair::ed25519(), vec![Algorithm::EdDSA]),
        (
            Pair::rsa(),
            vec![
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
        ),
    ] {
        let world = World::with_client(DevClient::private_key_jwt("job", pair.jwks("k1"))).await;
        for algorithm in algorithms {
            let jwk =
                pair.private_jwk(&json!({"alg": algorithm.as_str(), "kid": "k1", "use": "sig"}));
            let mut keys = vec![PrivateKeyJwt::from_jwk(&jwk).unwrap()];
            for pem in &pair.pems {
                keys.push(PrivateKeyJwt::from_pem(pem, algorithm, Some("k1".to_owned())).unwrap());
            }
            for key in keys {
                let endpoint = world.endpoint("job", ClientAuth::PrivateKeyJwt(key));
                endpoint
                    .request(own_right())
                    .await
                    .unwrap_or_else(|error| panic!("{algorithm}: {error}"));
                let sent = world.sent().remove(0);
                let header = part(sent.value("client_assertion").unwrap(), 0);
                assert_eq!(header, json!({"alg": algorithm.as_str(), "typ": "JWT", "kid": "k1"}));
            }
        }
        let stranger = PrivateKeyJwt::from_jwk(&Pair::p256().private_jwk(&json!({}))).unwrap();
        let error =
            world.endpoint("job", ClientAuth::PrivateKeyJwt(stranger)).request(own_right()).await;
        assert!(matches!(error, Err(TokenEndpointError::InvalidClient { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn an_assertion_names_the_audience_and_certificate_asked_for() {
    let pair = Pair::rsa();
    let jwk = pair.private_jwk(&json!({"alg": "PS256"}));
    let plain = PrivateKeyJwt::from_jwk(&jwk).unwrap();
    let named = plain
        .clone()
        .with_audience("https://issuer.test/token")
        // SHA-256 of "abc", FIPS 180-4.
        .with_certificate_thumbprint(b"abc");
    let x5t = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
    for (key, audience, header) in [
        (plain, "https://issuer.test/realms/lab", json!({"alg": "PS256", "typ": "JWT"})),
        (
            named,
            "https://issuer.test/token",
            json!({"alg": "PS256", "typ": "JWT", "x5t#S256": x5t}),
        ),
    ] {
        let issuer = TestIssuer::new();
        let auth = ClientAuth::PrivateKeyJwt(key);
        let endpoint = TokenEndpoint::new(issuer.provider(), "job", auth);
        endpoint.request(own_right()).await.unwrap();
        let sent = issuer.last_request("token").unwrap();
        let assertion = sent.value("client_assertion").unwrap();
        assert_eq!(part(assertion, 0), header);
        assert_eq!(part(assertion, 1)["aud"], audience);
    }
}

#[tokio::test]
async fn a_key_on_p_521_signs_with_es512() {
    let pair = Pair::p521();
    let issuer = TestIssuer::new();
    for key in [
        PrivateKeyJwt::from_jwk(&pair.private_jwk(&json!({}))).unwrap(),
        PrivateKeyJwt::from_pem(&pair.pems[0], Algorithm::ES512, None).unwrap(),
    ] {
        let auth = ClientAuth::PrivateKeyJwt(key);
        TokenEndpoint::new(issuer.provider(), "job", auth).request(own_right()).await.unwrap();
        let sent = issuer.last_request("token").unwrap();
        let assertion = sent.value("client_assertion").unwrap();
        assert_eq!(part(assertion, 0)["alg"], "ES512");
        let public: serde_json::Value = serde_json::from_str(&pair.jwks("k")).unwrap();
        let octets = |text: &str| {
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text).unwrap()
        };
        let number = |name: &str| octets(public["keys"][0][name].as_str().unwrap());
        let point = [vec![4], number("x"), number("y")].concat();
        let (message, signature) = assertion.rsplit_once('.').unwrap();
        let algorithm = &aws_lc_rs::signature::ECDSA_P521_SHA512_FIXED;
        aws_lc_rs::signature::UnparsedPublicKey::new(algorithm, point)
            .verify(message.as_bytes(), &octets(signature))
            .unwrap();
    }
}

#[tokio::test]
async fn without_alg_and_kid_the_kind_decides_and_no_name_is_made_up() {
    for (pair, algorithm) in [
        (Pair::rsa(), "RS256"),
        (Pair::p256(), "ES256"),
        (Pair::p384(), "ES384"),
        (Pair::p521(), "ES512"),
        (Pair::ed25519(), "EdDSA"),
    ] {
        let issuer = TestIssuer::new();
        let key = PrivateKeyJwt::from_jwk(&pair.private_jwk(&json!({}))).unwrap();
        let auth = ClientAuth::PrivateKeyJwt(key);
        TokenEndpoint::new(issuer.provider(), "job", auth).request(own_right()).await.unwrap();
        let sent = issuer.last_request("token").unwrap();
        let header = part(sent.value("client_assertion").unwrap(), 0);
        assert_eq!(header, json!({"alg": algorithm, "typ": "JWT"}));
    }
}

#[test]
fn an_unfitting_private_key_is_refused_when_it_is_read() {
    let (p256, rsa) = (Pair::p256(), Pair::rsa());
    let other = Pair::p256();
    let changed = |change| PrivateKeyJwt::from_jwk(&p256.private_jwk(&change)).unwrap_err();
    let number = |pair: &Pair, name: &str| {
        let jwk = pair.private_jwk(&json!({}));
        let jwk: serde_json::Value = serde_json::from_str(jwk.expose()).unwrap();
        jwk[name].clone()
    };
    for change in [
        json!({"d": null}),
        json!({"d": number(&other, "d")}),
        json!({"d": "AQ"}),
        json!({"d": "not base64url!"}),
        json!({"d": 1}),
        json!({"x": null}),
        json!({"x": number(&other, "x")}),
        json!({"crv": "P-384"}),
        json!({"crv": "secp256k1"}),
        json!({"kty": "oct"}),
        json!({"kty": null}),
        json!({"alg": "ES384"}),
        json!({"alg": "HS256"}),
        json!({"alg": "none"}),
        json!({"use": "enc"}),
    ] {
        let error = changed(change.clone());
        assert!(matches!(error, InvalidPrivateKey::NotJwk { .. }), "{change}: {error}");
    }
    for change in [
        json!({"p": null}),
        json!({"p": number(&Pair::rsa(), "p")}),
        json!({"n": number(&Pair::rsa(), "n")}),
        json!({"n": "AQAB"}),
        json!({"alg": "ES256"}),
        json!({"oth": []}),
    ] {
        let error = PrivateKeyJwt::from_jwk(&rsa.private_jwk(&change)).unwrap_err();
        assert!(matches!(error, InvalidPrivateKey::NotJwk { .. }), "{change}: {error}");
    }
    for text in ["", "hunter2", "{}", "[]", "{\"kty\":\"EC\",\"kty\":\"EC\"}"] {
        let error = PrivateKeyJwt::from_jwk(&Secret::from(text)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    for (pem, algorithm) in [
        (&p256.pems[0], Algorithm::ES384),
        (&p256.pems[0], Algorithm::RS256),
        (&p256.pems[1], Algorithm::EdDSA),
        (&rsa.pems[0], Algorithm::ES256),
        (&rsa.pems[1], Algorithm::EdDSA),
        (&Pair::ed25519().pems[0], Algorithm::PS256),
    ] {
        let error = PrivateKeyJwt::from_pem(pem, algorithm, None).unwrap_err();
        assert!(matches!(error, InvalidPrivateKey::Unfit { .. }), "{algorithm}: {error}");
    }
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";
    let error = PrivateKeyJwt::from_pem(&Secret::from(public), Algorithm::EdDSA, None).unwrap_err();
    assert_eq!(error, InvalidPrivateKey::NotPem);
}
