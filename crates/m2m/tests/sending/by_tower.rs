//! The tower layer on hyper's client.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use m2m::layer::{Bearer, BearerError, BearerLayer, ReplayBody};
use m2m::{AuthorizeError, TokenError, TokenSource};
use oidc_core::dpop::DpopKey;
use tower::{Layer as _, ServiceBuilder, ServiceExt as _};
use tower_http::follow_redirect::FollowRedirectLayer;

use crate::service::{Answer, Seen, Service, only, redirect, status};
use crate::source::Numbered;

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;
type Http = Client<HttpConnector, ReplayBody<Body>>;

fn body(text: &str) -> Body {
    Full::new(Bytes::copy_from_slice(text.as_bytes())).boxed_unsync()
}

fn http() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

fn client(tokens: &Numbered, service: &Service) -> Bearer<Http> {
    BearerLayer::new(tokens.cached(), service.origin()).layer(http())
}

fn post(url: &str, text: &str) -> Request<Body> {
    Request::post(url).body(body(text)).unwrap()
}

#[tokio::test]
async fn requests_for_the_origin_carry_the_token() {
    let service = Service::start(only("Bearer token-1")).await;
    let tokens = Numbered::bearer();
    let client = client(&tokens, &service);
    for _ in 0..3 {
        let answer = client.clone().oneshot(post(&service.url("/score"), "{}")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert_eq!(tokens.given(), 1);
}

#[tokio::test]
async fn requests_for_another_origin_do_not() {
    let service = Service::start(only("Bearer token-1")).await;
    let other = Service::start(|_| status(StatusCode::OK)).await;
    let client = client(&Numbered::bearer(), &service);
    client.oneshot(post(&other.url("/"), "")).await.unwrap();
    assert_eq!(other.authorizations(), [None]);
}

#[tokio::test]
async fn a_second_origin_is_one_that_was_named() {
    let first = Service::start(|_| status(StatusCode::OK)).await;
    let second = Service::start(|_| status(StatusCode::OK)).await;
    let layer = BearerLayer::new(Numbered::bearer().cached(), first.origin());
    let client = layer.with_origin(second.origin()).layer(http());
    client.clone().oneshot(post(&first.url("/"), "")).await.unwrap();
    client.oneshot(post(&second.url("/"), "")).await.unwrap();
    assert_eq!(second.authorizations(), [Some("Bearer token-1".to_owned())]);
}

#[tokio::test]
async fn a_redirect_to_another_origin_goes_without_the_token() {
    let elsewhere = Service::start(|_| status(StatusCode::OK)).await;
    let there = elsewhere.url("/taken");
    let service = Service::start(move |seen| match seen.path.as_str() {
        "/away" => redirect(&there),
        "/here" => redirect("/score"),
        _ => status(StatusCode::OK),
    })
    .await;
    let client = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(BearerLayer::new(Numbered::bearer().cached(), service.origin()))
        .service(Client::builder(TokioExecutor::new()).build_http());
    let get = |path: &str| Request::get(service.url(path)).body(Full::<Bytes>::default()).unwrap();
    let answer = client.clone().oneshot(get("/away")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let seen = elsewhere.seen();
    assert_eq!(seen.iter().map(Seen::authorization).collect::<Vec<_>>(), [None]);

    client.oneshot(get("/here")).await.unwrap();
    let token = Some("Bearer token-1".to_owned());
    assert_eq!(service.authorizations(), [token.clone(), token.clone(), token]);
}

#[tokio::test]
async fn an_authorization_of_the_callers_own_is_left_alone() {
    let service = Service::start(|_| status(StatusCode::UNAUTHORIZED)).await;
    let tokens = Numbered::bearer();
    let mut request = post(&service.url("/"), "");
    request.headers_mut().insert("authorization", "Basic am9iOmpvYg==".parse().unwrap());
    client(&tokens, &service).oneshot(request).await.unwrap();
    assert_eq!(service.authorizations(), [Some("Basic am9iOmpvYg==".to_owned())]);
    assert_eq!(tokens.given(), 0);
}

#[tokio::test]
async fn a_rejected_token_is_replaced_and_the_body_sent_again() {
    let service = Service::start(only("Bearer token-2")).await;
    let tokens = Numbered::bearer();
    let answer = client(&tokens, &service).oneshot(post(&service.url("/score"), "features"));
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
    let bodies: Vec<_> = service.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["features", "features"]);
    assert_eq!(tokens.given(), 2);
}

#[tokio::test]
async fn a_stream_that_is_short_is_sent_again_and_a_long_one_is_not() {
    let service = Service::start(only("Bearer token-2")).await;
    let stream = |frames: usize| {
        let frame = || Ok(http_body::Frame::data(Bytes::from_static(&[b'x'; 1024])));
        let frames = (0..frames).map(move |_| frame());
        StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
    };
    let send = |frames: usize| {
        let request = Request::post(service.url("/")).body(stream(frames)).unwrap();
        client(&Numbered::bearer(), &service).oneshot(request)
    };
    assert_eq!(send(64).await.unwrap().status(), StatusCode::OK);
    assert_eq!(service.seen()[1].body.len(), 64 * 1024);
    assert_eq!(send(65).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(service.seen().len(), 3);
}

#[tokio::test]
async fn a_service_that_rejects_all_tokens_gets_two_requests() {
    let service = Service::start(|_| status(StatusCode::UNAUTHORIZED)).await;
    let tokens = Numbered::bearer();
    let client = client(&tokens, &service);
    for _ in 0..50 {
        let answer = client.clone().oneshot(post(&service.url("/"), "")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(tokens.given(), 2);
    assert_eq!(service.seen().len(), 51, "the second time there is no newer token to try");
}

/// Requires a nonce in each proof, and another one for `/later`.
fn with_nonce(seen: &Seen) -> Answer {
    let nonce = match seen.path.as_str() {
        "/later" => "nonce-2",
        _ => "nonce-1",
    };
    let mut answer = match seen.proof().get("nonce").is_some_and(|it| it == nonce) {
        true => status(StatusCode::OK),
        false => {
            let mut answer = status(StatusCode::UNAUTHORIZED);
            let challenge = "DPoP error=\"use_dpop_nonce\", error_description=\"nonce required\"";
            answer.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
            answer
        }
    };
    answer.headers_mut().insert("dpop-nonce", nonce.parse().unwrap());
    answer
}

#[tokio::test]
async fn a_bound_token_comes_with_a_proof_that_has_the_services_nonce() {
    let service = Service::start(with_nonce).await;
    let key = Arc::new(DpopKey::generate().unwrap());
    let tokens = Numbered::dpop();
    let layer = BearerLayer::new(tokens.cached(), service.origin()).with_dpop(key);
    let client = layer.layer(http());
    for path in ["/score?x=1", "/score", "/later", "/later"] {
        let answer = client.clone().oneshot(post(&service.url(path), "features")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    let seen = service.seen();
    assert_eq!(seen.len(), 6, "a nonce is asked for when it is new, and kept");
    assert_eq!(tokens.given(), 1, "a missing nonce is no reason for a new token");
    for seen in &seen {
        assert_eq!(seen.authorization(), Some("DPoP token-1"));
        let proof = seen.proof();
        assert_eq!(proof["htm"], seen.method.as_str());
        assert_eq!(proof["htu"], service.url(&seen.path));
        assert!(proof["ath"].is_string());
    }
    let proofs: std::collections::HashSet<_> =
        seen.iter().map(|seen| seen.proof()["jti"].to_string()).collect();
    assert_eq!(proofs.len(), seen.len(), "each request has a proof of its own");
}

#[tokio::test]
async fn a_service_that_always_wants_another_nonce_ends_the_retries() {
    let count = std::sync::atomic::AtomicU64::new(0);
    let service = Service::start(move |_| {
        let mut answer = status(StatusCode::UNAUTHORIZED);
        let nonce = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_string();
        answer.headers_mut().insert("dpop-nonce", nonce.parse().unwrap());
        let challenge = "DPoP error=\"use_dpop_nonce\"".parse().unwrap();
        answer.headers_mut().insert("www-authenticate", challenge);
        answer
    })
    .await;
    let key = Arc::new(DpopKey::generate().unwrap());
    let layer = BearerLayer::new(Numbered::dpop().cached(), service.origin()).with_dpop(key);
    let answer = layer.layer(http()).oneshot(post(&service.url("/"), "")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(service.seen().len(), 2);
}

#[tokio::test]
async fn a_bound_token_without_its_key_is_not_sent() {
    let service = Service::start(|_| status(StatusCode::OK)).await;
    let answer = client(&Numbered::dpop(), &service).oneshot(post(&service.url("/"), "")).await;
    assert!(matches!(answer, Err(BearerError::Authorize(AuthorizeError::NoDpopKey))));
    assert!(service.seen().is_empty());
}

/// A source without a token.
#[derive(Debug)]
struct Empty;

#[async_trait::async_trait]
impl TokenSource for Empty {
    async fn token(&self) -> Result<m2m::AccessToken, TokenError> {
        let source =
            oidc_core::client::TokenEndpointError::InvalidClient { description: None, status: 401 };
        Err(TokenError::Refused { source })
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let service = Service::start(|_| status(StatusCode::OK)).await;
    let client = BearerLayer::new(Empty, service.origin()).layer(http());
    let error = client.oneshot(post(&service.url("/"), "")).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(service.seen().is_empty());
}
