//! Tokens bound to a key (RFC 9449), with and without the provider's nonce.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use dev_issuer::{DevClient, DevIssuer, Grant as GrantType};
use http::{Method, Request, Response};
use oidc_core::Secret;
use oidc_core::client::{
    ClientAuth, Grant, PrivateKeyJwt, TokenEndpoint, TokenEndpointError, TokenHint, TokenType,
};
use oidc_core::dpop::DpopKey;
use oidc_core::http::{Http, HttpError};
use oidc_core::login::{LoginRequest, UserInfoError};
use oidc_core::provider::Provider;
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use serde_json::json;

use crate::key_pairs::Pair;
use crate::{World, own_right, part};

fn bound(world: &World, key: DpopKey) -> TokenEndpoint {
    world.endpoint("job", ClientAuth::SecretBasic("s".into())).with_dpop(Arc::new(key))
}

#[tokio::test]
async fn tokens_are_bound_to_the_key_whatever_its_kind() {
    let world = World::with_client(DevClient::confidential("job", "s").require_dpop()).await;
    let (p384, rsa, ed) = (Pair::p384(), Pair::rsa(), Pair::ed25519());
    let jwk = |pair: &Pair, algorithm: &str| {
        DpopKey::from_jwk(&pair.private_jwk(&json!({"alg": algorithm}))).unwrap()
    };
    for (key, algorithm) in [
        (DpopKey::generate().unwrap(), "ES256"),
        (DpopKey::from_pem(&p384.pems[0], Algorithm::ES384).unwrap(), "ES384"),
        (DpopKey::from_pem(&rsa.pems[0], Algorithm::RS256).unwrap(), "RS256"),
        (jwk(&rsa, "PS256"), "PS256"),
        (jwk(&ed, "EdDSA"), "EdDSA"),
    ] {
        let thumbprint = key.thumbprint().to_owned();
        let tokens = bound(&world, key).request(own_right()).await.unwrap();
        assert_eq!(tokens.token_type, TokenType::DPoP);
        assert_eq!(part(tokens.access_token.expose(), 1)["cnf"], json!({"jkt": thumbprint}));
        let sent = world.sent();
        assert_eq!(sent.len(), 1);
        let proof = sent[0].headers["dpop"].to_str().unwrap();
        let header = part(proof, 0);
        assert_eq!((&header["typ"], &header["alg"]), (&json!("dpop+jwt"), &json!(algorithm)));
        for private in ["d", "p", "q", "dp", "dq", "qi"] {
            assert!(header["jwk"].get(private).is_none(), "{private}");
        }
        let claims = part(proof, 1);
        assert_eq!((&claims["htm"], claims.get("ath")), (&json!("POST"), None));
        assert_eq!(claims["htu"], format!("{}/protocol/openid-connect/token", world.issuer.url()));
    }
    let error =
        world.endpoint("job", ClientAuth::SecretBasic("s".into())).request(own_right()).await;
    assert!(
        matches!(error, Err(TokenEndpointError::OAuth { ref error, .. }) if error == "invalid_dpop_proof"),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_providers_nonce_is_learned_once_and_kept() {
    // Assertions and proofs are valid once: a repeated request has fresh ones of both.
    let pair = Pair::p256();
    let client = DevClient::private_key_jwt("job", pair.jwks("k"));
    let world = World::start(DevIssuer::builder().client(client).require_dpop_nonce()).await;
    let key = PrivateKeyJwt::from_jwk(&pair.private_jwk(&json!({}))).unwrap();
    let endpoint = world
        .endpoint("job", ClientAuth::PrivateKeyJwt(key))
        .with_dpop(Arc::new(DpopKey::generate().unwrap()));
    endpoint.request(own_right()).await.unwrap();
    let sent = world.sent();
    assert_eq!(sent.len(), 2, "one for the nonce");
    let nonces: Vec<_> = sent
        .iter()
        .map(|sent| part(sent.headers["dpop"].to_str().unwrap(), 1).get("nonce").cloned())
        .collect();
    assert!(nonces[0].is_none() && nonces[1].is_some());
    endpoint.request(own_right()).await.unwrap();
    endpoint.clone().request(own_right()).await.unwrap();
    assert_eq!(world.sent().len(), 2, "the nonce of the last answer is good for the next proof");
    assert_eq!(world.issuer.token_requests_by_grant(GrantType::ClientCredentials), 4);
}

#[tokio::test]
async fn a_refreshed_token_stays_bound() {
    let world = World::with_client(DevClient::public("cli")).await;
    let tokens = world.issuer.log_in("alice", "cli", "openid").unwrap();
    let key = Arc::new(DpopKey::generate().unwrap());
    let endpoint = world.endpoint("cli", ClientAuth::None).with_dpop(Arc::clone(&key));
    let refresh = |token: Secret| Grant::RefreshToken { refresh_token: token, scope: None };
    let first = tokens.refresh_token.unwrap().into();
    let tokens = endpoint.request(refresh(first)).await.unwrap();
    let tokens = endpoint.request(refresh(tokens.refresh_token.unwrap())).await.unwrap();
    assert_eq!(part(tokens.access_token.expose(), 1)["cnf"]["jkt"], key.thumbprint());
    let last = tokens.refresh_token.unwrap();
    let other = Arc::new(DpopKey::generate().unwrap());
    let thief = world.endpoint("cli", ClientAuth::None).with_dpop(other);
    assert!(thief.request(refresh(last.clone())).await.is_err());
    endpoint.revoke(&last, TokenHint::RefreshToken).await.unwrap();
    assert!(!world.sent().pop().unwrap().headers.contains_key("dpop"), "for tokens only");
}

#[tokio::test]
async fn a_login_is_bound_from_its_first_request_to_user_info() {
    let callback = "http://127.0.0.1:7777/callback";
    let client = DevClient::public("cli").redirect_uri(callback).require_dpop();
    let world = World::start(DevIssuer::demo_builder().client(client).require_dpop_nonce()).await;
    let key = Arc::new(DpopKey::generate().unwrap());
    let bound = world.client("cli", ClientAuth::None).with_dpop(Arc::clone(&key));
    for request in [
        LoginRequest::new(callback.parse().unwrap()),
        LoginRequest::new(callback.parse().unwrap()).without_pushed_request(),
    ] {
        let (url, pending) = bound.begin_login(request).await.unwrap();
        let back = world.issuer.sign_in(url.as_str(), "alice").unwrap();
        let (_, query) = back.split_once('?').unwrap();
        let code = bound.parse_callback(query, &pending).await.unwrap();
        let login = bound.finish_login(code, &pending).await.unwrap();
        assert_eq!(part(login.tokens.access_token.expose(), 1)["cnf"]["jkt"], key.thumbprint());
        let token = &login.tokens.access_token;
        for _ in 0..2 {
            let claims = bound.user_info(token, login.id_token.subject()).await.unwrap();
            assert_eq!(claims.name(), Some("Alice Example"));
        }
        let alone = world.client("cli", ClientAuth::None);
        let error = alone.user_info(token, login.id_token.subject()).await.unwrap_err();
        assert!(matches!(error, UserInfoError::Unauthorized), "{error}");
    }

    let request = LoginRequest::new(callback.parse().unwrap());
    let (url, pending) = bound.begin_login(request).await.unwrap();
    let back = world.issuer.sign_in(url.as_str(), "alice").unwrap();
    let other = Arc::new(DpopKey::generate().unwrap());
    let thief = world.client("cli", ClientAuth::None).with_dpop(other);
    let (_, query) = back.split_once('?').unwrap();
    let code = thief.parse_callback(query, &pending).await.unwrap();
    let error = thief.finish_login(code, &pending).await.unwrap_err();
    assert!(error.to_string().contains("invalid_dpop_proof"), "{error}");
}

/// Requires another nonce for every request.
#[derive(Debug)]
struct Insatiable {
    issuer: TestIssuer,
    asked: AtomicUsize,
}

#[async_trait]
impl Http for Insatiable {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if !request.uri().path().ends_with("/token") {
            return self.issuer.http().send(request).await;
        }
        let n = self.asked.fetch_add(1, Ordering::SeqCst);
        let body = r#"{"error":"use_dpop_nonce","error_description":"again"}"#;
        let answer = Response::builder().status(400).header("DPoP-Nonce", format!("nonce-{n}"));
        Ok(answer.body(Bytes::from(body)).unwrap())
    }
}

#[tokio::test]
async fn a_nonce_is_answered_once_for_each_request() {
    let issuer = TestIssuer::new();
    let http = Arc::new(Insatiable { issuer: issuer.clone(), asked: AtomicUsize::default() });
    let port: Arc<dyn Http> = Arc::clone(&http) as _;
    let key = Arc::new(DpopKey::generate().unwrap());
    let endpoint =
        TokenEndpoint::new(Provider::new(issuer.issuer(), port), "job", ClientAuth::None);
    let bound = endpoint.clone().with_dpop(key);
    for asked in [2, 4] {
        let error = bound.request(own_right()).await.unwrap_err();
        assert_eq!(error.code(), "use_dpop_nonce", "{error}");
        assert_eq!(http.asked.load(Ordering::SeqCst), asked);
    }
    endpoint.request(own_right()).await.unwrap_err();
    assert_eq!(http.asked.load(Ordering::SeqCst), 5, "without a key there is nothing to repeat");

    issuer.answer("token", 400, r#"{"error":"use_dpop_nonce"}"#);
    let key = Arc::new(DpopKey::generate().unwrap());
    let bound = TokenEndpoint::new(issuer.provider(), "job", ClientAuth::None).with_dpop(key);
    bound.request(own_right()).await.unwrap_err();
    assert_eq!(issuer.requests("token"), 1, "no nonce came, so nothing would change");
}

#[tokio::test]
async fn a_bearer_token_is_not_taken_for_a_bound_one() {
    let issuer = TestIssuer::new();
    let key = Arc::new(DpopKey::generate().unwrap());
    let endpoint = TokenEndpoint::new(issuer.provider(), "job", ClientAuth::None).with_dpop(key);
    let error = endpoint.request(own_right()).await.unwrap_err();
    assert!(matches!(error, TokenEndpointError::NotBound), "{error}");
    assert!(!error.is_temporary());
    issuer.answer("token", 200, r#"{"access_token":"t","token_type":"dpop"}"#);
    assert_eq!(endpoint.request(own_right()).await.unwrap().token_type, TokenType::DPoP);
}

#[test]
fn a_proof_is_about_one_request_and_shows_no_secret() {
    // RFC 7515 §A.3.1
    let jwk = Secret::from(
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#,
    );
    let key = DpopKey::from_jwk(&jwk).unwrap();
    assert!(!format!("{key:?}").contains("jpsQnnGQmL"), "{key:?}");
    let url = "https://resource.example.org/protectedresource?page=2#top".parse().unwrap();
    // RFC 9449 §7.1
    let token = Secret::from("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
    let now = UNIX_EPOCH + Duration::from_secs(1_562_262_618);
    let proof = |nonce| key.proof(&Method::GET, &url, Some(&token), nonce, now).unwrap();
    let first = proof(Some("eyJ7S_zG.eyJH0-Z.HX4w-7v"));
    let mut claims = part(first.expose(), 1);
    let jti = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(
        claims,
        json!({
            "htm": "GET",
            "htu": "https://resource.example.org/protectedresource",
            "iat": 1_562_262_618,
            "ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo",
            "nonce": "eyJ7S_zG.eyJH0-Z.HX4w-7v",
        })
    );
    assert_eq!(
        part(first.expose(), 0),
        json!({
            "typ": "dpop+jwt",
            "alg": "ES256",
            "jwk": {
                "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            },
        })
    );
    assert_ne!(part(proof(None).expose(), 1)["jti"], jti);
}
