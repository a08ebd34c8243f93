//! Tokens that are bound to a key (RFC 9449), on calls to a service that demands a nonce.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use dev_issuer::{DevClient, DevIssuer, Endpoint};
use m2m::grpc::GrpcBearerLayer;
use m2m::{CachedTokens, ClientCredentials, IssuerTokens};
use oidc_core::client::{ClientAuth, TokenEndpoint};
use oidc_core::dpop::{DpopKey, DpopPolicy};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::RemoteKeys;
use oidc_core::provider::Provider;
use oidc_core::resource_server::VerifyLayer;
use oidc_core::{Validation, Verifier};
use tokio::net::TcpListener;
use tonic::Code;
use tower::{ServiceBuilder, service_fn};

use crate::service::{Client, Scores, origin, serve_on, start};
use crate::source::Numbered;

#[tokio::test]
async fn a_bound_token_is_sent_with_a_proof_for_the_origin() {
    let job = DevClient::confidential("job", "job-secret").audience("scores").require_dpop();
    let issuer = DevIssuer::builder().client(job).start("127.0.0.1:0").await.unwrap();
    let http = Arc::new(ReqwestHttp::new(HttpOptions::default()).unwrap());
    let provider = Provider::new(issuer.url().parse().unwrap(), http);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let policy = DpopPolicy::default().with_nonces(Duration::from_secs(60));
    let keys = Arc::new(RemoteKeys::new(provider.clone()));
    let validation = Validation::new(issuer.url().parse().unwrap(), "scores");
    let public_url = format!("http://{addr}").parse().unwrap();
    let verify = VerifyLayer::new(Verifier::new(validation, keys)).with_dpop(policy, public_url);
    let scores = Scores::default();
    let methods = scores.clone();
    let verified = ServiceBuilder::new().layer(verify).service(service_fn(move |request| {
        let methods = methods.clone();
        async move { Ok::<_, Infallible>(methods.answer(request).await) }
    }));
    serve_on(listener, verified);

    let key = Arc::new(DpopKey::generate().unwrap());
    let auth = ClientAuth::SecretBasic("job-secret".into());
    let endpoint = TokenEndpoint::new(provider, "job", auth).with_dpop(key.clone());
    let tokens = CachedTokens::new(IssuerTokens::new(endpoint, ClientCredentials::new()));
    let layer = GrpcBearerLayer::new(tokens, origin(addr)).with_dpop(key);
    let mut client = Client::new(layer, addr);
    assert_eq!(client.score("c-17").await.unwrap(), "score of c-17");
    assert_eq!(client.stream("Watch").await.unwrap().len(), 3);
    assert_eq!(client.sum(&["1", "2"]).await.unwrap(), "1+2", "the nonce was kept");
    assert_eq!(issuer.requests(Endpoint::Token), 1, "a missing nonce is no refused token");
    for authorization in scores.authorizations() {
        assert!(authorization.unwrap().starts_with("DPoP "));
    }
}

#[tokio::test]
async fn a_bound_token_without_its_key_is_not_sent() {
    let scores = Scores::default();
    let addr = start(&scores).await;
    let layer = GrpcBearerLayer::new(Numbered::dpop().cached(), origin(addr));
    let refused = Client::new(layer, addr).score("c-17").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("with_dpop"), "{refused:?}");
    assert!(scores.authorizations().is_empty());
}
