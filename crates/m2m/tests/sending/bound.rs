//! Tokens that are bound to a key (RFC 9449). The provider and the service both demand nonces, and the
//! next process reads the token from a file.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dev_issuer::{DevClient, DevIssuer, Endpoint};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use m2m::layer::{BearerLayer, ReplayBody};
use m2m::{CachedTokens, ClientCredentials, FileCache, IssuerTokens, TokenSource};
use oidc_core::client::{ClientAuth, TokenEndpoint, TokenType};
use oidc_core::dpop::{DpopKey, DpopPolicy};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::RemoteKeys;
use oidc_core::provider::Provider;
use oidc_core::resource_server::{Identity, VerifyLayer};
use oidc_core::{Validation, Verifier};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

type Body = ReplayBody<Full<Bytes>>;

#[tokio::test]
async fn a_bound_token_opens_what_its_key_proves_and_nothing_else() {
    let job = DevClient::confidential("job", "job-secret").audience("churn").require_dpop();
    let issuer = DevIssuer::builder().client(job).require_dpop_nonce();
    let issuer = issuer.start("127.0.0.1:0").await.unwrap();
    let http = Arc::new(ReqwestHttp::new(HttpOptions::default()).unwrap());
    let provider = Provider::new(issuer.url().parse().unwrap(), http);

    let public_url = "https://churn.example".parse().unwrap();
    let policy = DpopPolicy::default().with_nonces(Duration::from_secs(60));
    let keys = Arc::new(RemoteKeys::new(provider.clone()));
    let validation = Validation::new(issuer.url().parse().unwrap(), "churn");
    let churn = ServiceBuilder::new()
        .layer(VerifyLayer::new(Verifier::new(validation, keys)).with_dpop(policy, public_url))
        .service(service_fn(async |request: Request<Body>| {
            let identity = request.extensions().get::<Identity>().unwrap();
            let name = identity.subject().to_owned();
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(name))))
        }));

    let folder = tempfile::tempdir().unwrap();
    let files = FileCache::in_directory(folder.path().join("doorward"));
    let process = |key: &Arc<DpopKey>| {
        let auth = ClientAuth::SecretBasic("job-secret".into());
        let endpoint = TokenEndpoint::new(provider.clone(), "job", auth).with_dpop(key.clone());
        CachedTokens::new(IssuerTokens::new(endpoint, ClientCredentials::new()))
            .with_file_cache(&files)
    };
    let call = async |tokens: CachedTokens, key: &Arc<DpopKey>| {
        let layer = BearerLayer::new(tokens, "https://churn.example".parse().unwrap());
        let client =
            ServiceBuilder::new().layer(layer.with_dpop(key.clone())).service(churn.clone());
        let request = Request::post("https://churn.example/score?x=1");
        let request = request.body(Full::new(Bytes::from_static(b"features"))).unwrap();
        client.oneshot(request).await.unwrap().status()
    };

    let key = Arc::new(DpopKey::generate().unwrap());
    let tokens = process(&key);
    assert_eq!(call(tokens.clone(), &key).await, StatusCode::OK);
    assert_eq!(issuer.requests(Endpoint::Token), 2, "once without and once with the nonce");

    // The next process finds the token, which is still bound.
    let next = process(&key);
    assert_eq!(next.token().await.unwrap(), tokens.token().await.unwrap());
    assert_eq!(next.token().await.unwrap().token_type(), TokenType::DPoP);
    assert_eq!(call(next, &key).await, StatusCode::OK);
    assert_eq!(issuer.requests(Endpoint::Token), 2);

    // A client with another key cannot use this token, and gets its own.
    let other = Arc::new(DpopKey::generate().unwrap());
    let stolen = Stolen(tokens.token().await.unwrap());
    let layer = BearerLayer::new(stolen, "https://churn.example".parse().unwrap());
    let thief = ServiceBuilder::new().layer(layer.with_dpop(other.clone())).service(churn.clone());
    let request = Request::get("https://churn.example/score").body(Full::default()).unwrap();
    assert_eq!(thief.oneshot(request).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_ne!(process(&other).cache_key(), process(&key).cache_key());
    assert_eq!(call(process(&other), &other).await, StatusCode::OK);
}

/// One fixed token, bound to another key.
#[derive(Debug)]
struct Stolen(m2m::AccessToken);

#[async_trait::async_trait]
impl TokenSource for Stolen {
    async fn token(&self) -> Result<m2m::AccessToken, m2m::TokenError> {
        Ok(self.0.clone())
    }
}
