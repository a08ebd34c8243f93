//! Tokens of a real provider, on calls to a service that verifies them with the tower layer of oidc-core.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use dev_issuer::{DevClient, DevIssuer, Endpoint};
use m2m::grpc::GrpcBearerLayer;
use m2m::{AccessToken, CachedTokens, ClientCredentials, IssuerTokens, TokenError, TokenSource};
use oidc_core::client::{ClientAuth, TokenEndpoint};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::RemoteKeys;
use oidc_core::provider::Provider;
use oidc_core::resource_server::VerifyLayer;
use oidc_core::{Validation, Verifier};
use tower::{ServiceBuilder, service_fn};

use crate::service::{Client, Scores, origin, serve};

struct World {
    issuer: DevIssuer,
    provider: Provider,
    scores: Scores,
    addr: SocketAddr,
}

impl World {
    async fn new() -> Self {
        let job = DevClient::confidential("job", "job-secret").audience("scores");
        let other = DevClient::confidential("other", "other-secret").audience("something-else");
        let issuer = DevIssuer::builder().client(job).client(other);
        let issuer = issuer.start("127.0.0.1:0").await.unwrap();
        let http = Arc::new(ReqwestHttp::new(HttpOptions::default()).unwrap());
        let provider = Provider::new(issuer.url().parse().unwrap(), http);
        let keys = Arc::new(RemoteKeys::new(provider.clone()));
        let validation = Validation::new(issuer.url().parse().unwrap(), "scores");
        let scores = Scores::default();
        let methods = scores.clone();
        let verified = ServiceBuilder::new()
            .layer(VerifyLayer::new(Verifier::new(validation, keys)))
            .service(service_fn(move |request| {
                let methods = methods.clone();
                async move { Ok::<_, Infallible>(methods.answer(request).await) }
            }));
        let addr = serve(verified).await;
        Self { issuer, provider, scores, addr }
    }

    fn tokens(&self, client: &str) -> IssuerTokens {
        let auth = ClientAuth::SecretBasic(format!("{client}-secret").as_str().into());
        let endpoint = TokenEndpoint::new(self.provider.clone(), client, auth);
        IssuerTokens::new(endpoint, ClientCredentials::new())
    }

    fn client(&self, tokens: impl TokenSource + 'static) -> Client {
        Client::new(GrpcBearerLayer::new(tokens, origin(self.addr)), self.addr)
    }
}

#[tokio::test]
async fn all_tasks_of_a_process_share_one_token_request() {
    let world = World::new().await;
    let client = world.client(CachedTokens::new(world.tokens("job")));
    let calls = (0..50).map(|n| {
        let mut client = client.clone();
        tokio::spawn(async move { client.score(format!("c-{n}")).await })
    });
    for (n, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), format!("score of c-{n}"));
    }
    assert_eq!(world.issuer.requests(Endpoint::Token), 1);
    assert_eq!(world.scores.authorizations().len(), 50);
}

/// Gives this token first, and then those of the source.
#[derive(Debug)]
struct After(AccessToken, IssuerTokens, std::sync::atomic::AtomicBool);

#[async_trait::async_trait]
impl TokenSource for After {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        match self.2.swap(true, std::sync::atomic::Ordering::SeqCst) {
            false => Ok(self.0.clone()),
            true => self.1.token().await,
        }
    }
}

#[tokio::test]
async fn a_token_that_the_layer_answers_with_401_is_replaced() {
    let world = World::new().await;
    let wrong = world.tokens("other").token().await.unwrap();
    let source = After(wrong, world.tokens("job"), false.into());
    let mut client = world.client(CachedTokens::new(source));
    assert_eq!(client.score("c-17").await.unwrap(), "score of c-17");
    assert_eq!(client.stream("Watch").await.unwrap().len(), 3);
    assert_eq!(world.scores.authorizations().len(), 2, "401 comes before the service");
    assert_eq!(world.issuer.requests(Endpoint::Token), 2);
}

#[tokio::test]
async fn a_token_for_another_service_ends_with_unauthenticated() {
    let world = World::new().await;
    let mut client = world.client(CachedTokens::new(world.tokens("other")));
    let refused = client.score("c-17").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    assert!(world.scores.authorizations().is_empty());
}
