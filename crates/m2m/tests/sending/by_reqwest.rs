//! The middleware on reqwest, which follows redirects itself.

use std::sync::Arc;

use http::StatusCode;
use m2m::middleware::BearerMiddleware;
use oidc_core::dpop::DpopKey;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

use crate::service::{Service, only, redirect, status};
use crate::source::Numbered;

fn client(tokens: &Numbered, service: &Service) -> ClientWithMiddleware {
    with(BearerMiddleware::new(tokens.cached(), service.origin()))
}

fn with(middleware: BearerMiddleware) -> ClientWithMiddleware {
    oidc_core::http::reqwest::install_crypto_provider();
    ClientBuilder::new(reqwest::Client::new()).with(middleware).build()
}

#[tokio::test]
async fn requests_for_the_origin_carry_the_token_and_others_do_not() {
    let service = Service::start(only("Bearer token-1")).await;
    let other = Service::start(|_| status(StatusCode::OK)).await;
    let tokens = Numbered::bearer();
    let client = client(&tokens, &service);
    for _ in 0..3 {
        let answer = client.get(service.url("/score")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    client.get(other.url("/")).send().await.unwrap();
    assert_eq!(other.authorizations(), [None]);
    assert_eq!(tokens.given(), 1);
}

#[tokio::test]
async fn a_redirect_to_another_origin_goes_without_the_token() {
    // The same host, another port.
    let elsewhere = Service::start(|_| status(StatusCode::UNAUTHORIZED)).await;
    let there = elsewhere.url("/taken");
    let service = Service::start(move |_| redirect(&there)).await;
    let tokens = Numbered::bearer();
    let answer = client(&tokens, &service).post(service.url("/")).body("x").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(service.authorizations(), [Some("Bearer token-1".to_owned())]);
    assert_eq!(elsewhere.authorizations(), [None]);
    assert_eq!(tokens.given(), 1, "what another origin says is no reason for a new token");
}

#[tokio::test]
async fn a_rejected_token_is_replaced_and_the_body_sent_again() {
    let service = Service::start(only("Bearer token-2")).await;
    let tokens = Numbered::bearer();
    let client = client(&tokens, &service);
    let answer = client.post(service.url("/score")).body("features").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let bodies: Vec<_> = service.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["features", "features"]);
    assert_eq!(tokens.given(), 2);
}

#[tokio::test]
async fn a_body_that_is_a_stream_is_sent_once() {
    let service = Service::start(only("Bearer token-2")).await;
    let stream = futures_util::stream::iter([Ok::<_, std::io::Error>("features")]);
    let body = reqwest::Body::wrap_stream(stream);
    let tokens = Numbered::bearer();
    let client = client(&tokens, &service);
    let answer = client.post(service.url("/")).body(body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(service.seen().len(), 1);
    let answer = client.get(service.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "the next request has the new token");
}

#[tokio::test]
async fn a_service_that_rejects_all_tokens_gets_two_requests() {
    let service = Service::start(|_| status(StatusCode::UNAUTHORIZED)).await;
    let tokens = Numbered::bearer();
    let client = client(&tokens, &service);
    for _ in 0..50 {
        let answer = client.get(service.url("/")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(tokens.given(), 2);
    assert_eq!(service.seen().len(), 51);
}

#[tokio::test]
async fn an_authorization_of_the_callers_own_is_left_alone() {
    let service = Service::start(|_| status(StatusCode::UNAUTHORIZED)).await;
    let tokens = Numbered::bearer();
    let request = client(&tokens, &service).get(service.url("/")).bearer_auth("own");
    request.send().await.unwrap();
    assert_eq!(service.authorizations(), [Some("Bearer own".to_owned())]);
    assert_eq!(tokens.given(), 0);
}

#[tokio::test]
async fn a_bound_token_comes_with_a_proof_that_has_the_services_nonce() {
    let service = Service::start(|seen| {
        let mut answer = match seen.proof()["nonce"] == "nonce-1" {
            true => status(StatusCode::OK),
            false => status(StatusCode::UNAUTHORIZED),
        };
        let challenge = "DPoP error=\"use_dpop_nonce\"".parse().unwrap();
        answer.headers_mut().insert("www-authenticate", challenge);
        answer.headers_mut().insert("dpop-nonce", "nonce-1".parse().unwrap());
        answer
    })
    .await;
    let key = Arc::new(DpopKey::generate().unwrap());
    let tokens = Numbered::dpop();
    let middleware = BearerMiddleware::new(tokens.cached(), service.origin()).with_dpop(key);
    let client = with(middleware);
    for _ in 0..2 {
        let answer = client.get(service.url("/score")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert_eq!(service.seen().len(), 3);
    assert_eq!(tokens.given(), 1);
}
