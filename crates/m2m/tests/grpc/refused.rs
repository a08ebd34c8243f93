//! Calls that a service refuses, in the head or in the trailers, and calls that get no token.

use std::time::Duration;

use m2m::grpc::GrpcBearerLayer;
use m2m::{AccessToken, AuthorizeError, TokenError, TokenSource};
use oidc_core::client::TokenEndpointError;
use tonic::Code;

use crate::service::{Client, Scores, origin, start};
use crate::source::Numbered;

const FIRST: &str = "Bearer token-1";
const SECOND: &str = "Bearer token-2";

struct World {
    scores: Scores,
    tokens: Numbered,
    client: Client,
}

impl World {
    async fn new(scores: Scores) -> Self {
        let addr = start(&scores).await;
        let tokens = Numbered::bearer();
        let client = Client::new(GrpcBearerLayer::new(tokens.cached(), origin(addr)), addr);
        Self { scores, tokens, client }
    }

    fn seen(&self) -> Vec<String> {
        self.scores.authorizations().into_iter().map(Option::unwrap).collect()
    }

    /// Waits until the source was asked for its second token, as it is in the background.
    async fn renewed(&self) {
        let renewed = async {
            while self.tokens.given() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), renewed).await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_call_is_sent_again_with_a_newer_token() {
    let mut world = World::new(Scores::only(SECOND)).await;
    assert_eq!(world.client.score("c-17").await.unwrap(), "score of c-17");
    assert_eq!(world.seen(), [FIRST, SECOND]);
    assert_eq!(world.client.score("").await.unwrap(), "score of ");
    assert_eq!(world.tokens.given(), 2);
}

#[tokio::test]
async fn a_stream_of_answers_that_never_began_is_asked_for_again() {
    let mut world = World::new(Scores::only(SECOND)).await;
    assert_eq!(world.client.stream("Watch").await.unwrap(), ["c-17 1", "c-17 2", "c-17 3"]);
    assert_eq!(world.seen(), [FIRST, SECOND]);
}

#[tokio::test]
async fn a_refusal_in_the_trailers_renews_the_token_only() {
    let mut world = World::new(Scores::only(SECOND)).await;
    let refused = world.client.stream("Late").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(refused.message(), "the token was revoked");
    world.renewed().await;
    assert_eq!(world.client.stream("Late").await.unwrap(), ["first", "all"]);
    assert_eq!(world.seen(), [FIRST, SECOND]);
}

#[tokio::test]
async fn a_stream_of_requests_is_never_sent_again() {
    let mut world = World::new(Scores::only(SECOND)).await;
    let refused = world.client.sum(&["1", "2"]).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    world.renewed().await;
    assert_eq!(world.client.sum(&["1", "2"]).await.unwrap(), "1+2");
    assert_eq!(world.seen(), [FIRST, SECOND]);
}

#[tokio::test]
async fn a_conversation_that_is_still_open_is_never_sent_again() {
    let mut world = World::new(Scores::only(SECOND)).await;
    let refused = world.client.chat("hello").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    world.renewed().await;
    assert_eq!(world.client.chat("hello").await.unwrap(), "hello");
    assert_eq!(world.seen(), [FIRST, SECOND]);
}

#[tokio::test]
async fn a_request_longer_than_the_limit_is_sent_once() {
    let scores = Scores::only(SECOND);
    let addr = start(&scores).await;
    let tokens = Numbered::bearer();
    let layer = GrpcBearerLayer::new(tokens.cached(), origin(addr)).with_replay_limit(100);
    let mut client = Client::new(layer, addr);
    // Five bytes go before a message.
    let refused = client.score("x".repeat(96)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(scores.authorizations().len(), 1);

    let scores = Scores::only(SECOND);
    let addr = start(&scores).await;
    let layer = GrpcBearerLayer::new(Numbered::bearer().cached(), origin(addr));
    let mut client = Client::new(layer.with_replay_limit(100), addr);
    assert!(client.score("x".repeat(95)).await.is_ok());
    assert_eq!(scores.authorizations().len(), 2);
}

#[tokio::test]
async fn a_service_that_refuses_all_tokens_ends_the_retries() {
    let mut world = World::new(Scores::only("Bearer none")).await;
    for _ in 0..50 {
        assert_eq!(world.client.score("c-17").await.unwrap_err().code(), Code::Unauthenticated);
        assert_eq!(world.client.stream("Late").await.unwrap_err().code(), Code::Unauthenticated);
    }
    assert_eq!(world.tokens.given(), 2);
    assert_eq!(world.seen().len(), 101, "the second time there is no newer token to try");
}

#[tokio::test]
async fn another_status_is_no_reason_for_a_newer_token() {
    let mut world = World::new(Scores::default()).await;
    let mut long = tonic::Request::new("c-17".to_owned());
    long.metadata_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    assert_eq!(world.client.ask(long).await.unwrap_err().code(), Code::Unimplemented);
    assert_eq!(world.client.score("c-17").await.unwrap(), "score of c-17");
    assert_eq!(world.tokens.given(), 1);
    assert_eq!(world.seen(), [FIRST, FIRST]);
}

#[tokio::test]
async fn an_authorization_of_the_callers_own_is_left_alone() {
    let mut world = World::new(Scores::only(SECOND)).await;
    let mut request = tonic::Request::new("c-17".to_owned());
    request.metadata_mut().insert("authorization", "Basic am9iOmpvYg==".parse().unwrap());
    assert_eq!(world.client.ask(request).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(world.seen(), ["Basic am9iOmpvYg=="]);
    assert_eq!(world.tokens.given(), 0);
}

#[tokio::test]
async fn a_call_that_names_another_origin_goes_without_a_token() {
    let scores = Scores::default();
    let addr = start(&scores).await;
    let tokens = Numbered::bearer();
    let layer = GrpcBearerLayer::new(tokens.cached(), origin(addr));
    let client = |origin: &str| {
        let channel = tower::Layer::layer(&layer, crate::service::channel(addr));
        Client(tonic::client::Grpc::with_origin(channel, origin.parse().unwrap()))
    };
    client("https://evil.example").score("c-17").await.unwrap();
    client(&format!("https://{addr}")).score("c-17").await.unwrap();
    assert_eq!(scores.authorizations(), [None, None]);
    client(&format!("http://{addr}")).score("c-17").await.unwrap();
    assert_eq!(scores.authorizations().last().unwrap().as_deref(), Some(FIRST));
}

/// Never has a token.
#[derive(Debug)]
struct Failing(TokenError);

#[async_trait::async_trait]
impl TokenSource for Failing {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        Err(self.0.clone())
    }
}

#[tokio::test]
async fn without_a_token_the_status_says_why() {
    let scores = Scores::default();
    let addr = start(&scores).await;
    let call = async |error: TokenEndpointError| {
        let layer = GrpcBearerLayer::new(Failing(error.into()), origin(addr));
        Client::new(layer, addr).score("c-17").await.unwrap_err()
    };
    let away = TokenEndpointError::InvalidResponse { reason: "no JSON".to_owned() };
    let away = call(away).await;
    assert_eq!(away.code(), Code::Unavailable, "{away:?}");
    assert!(away.message().contains("no JSON"), "{away:?}");
    let refused = TokenEndpointError::InvalidClient {
        description: Some("no such job".to_owned()),
        status: 401,
    };
    let refused = call(refused).await;
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    assert!(refused.message().contains("no such job"), "{refused:?}");
    assert!(scores.authorizations().is_empty(), "a call without a token is not sent");
    assert!(std::error::Error::source(&refused).unwrap().is::<AuthorizeError>());
}

#[tokio::test]
async fn an_error_of_the_channel_is_unchanged() {
    // A port at which no service listens.
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let layer = GrpcBearerLayer::new(Numbered::bearer().cached(), origin(addr));
    let failed = Client::new(layer, addr).score("c-17").await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable, "{failed:?}");
}
