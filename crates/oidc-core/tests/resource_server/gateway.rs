//! The layer of a service behind the gateway.

use http::HeaderValue;
use oidc_core::Validation;
use oidc_core::resource_server::{GatewayCaller, GatewayLayer};
use oidc_core::testing::{Fault, TestIssuer};
use oidc_core::token::Algorithm;
use oidc_core::verify::AssertionVerifier;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::*;

const ASSERTION: &str = "x-doorward-assertion";

fn layer(gateway: &TestIssuer) -> GatewayLayer {
    let rules = Validation::new(gateway.issuer(), "churn");
    GatewayLayer::new(AssertionVerifier::new(rules, gateway.keys()).with_clock(gateway.clock()))
}

async fn ask(layer: &GatewayLayer, request: Request<Body>) -> Response<Bytes> {
    let service = service_fn(async |request: Request<Body>| {
        let caller = request.extensions().get::<GatewayCaller>();
        let text = caller.map_or("none", |caller| caller.subject()).to_owned();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text)))
    });
    let answer = layer.layer(service).oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

fn with_assertions(values: &[&str]) -> Request<Body> {
    let mut request = request(&[]);
    for value in values {
        request.headers_mut().append(ASSERTION, HeaderValue::from_str(value).unwrap());
    }
    request
}

#[tokio::test]
async fn the_caller_is_the_one_of_the_assertion() {
    let gateway = TestIssuer::with_algorithm(Algorithm::ES256);
    let layer = layer(&gateway);
    let good = gateway.id_token("churn", None);
    let answer = ask(&layer, with_assertions(&[&good])).await;
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"248289761001"[..]));

    for (request, code) in [
        (request(&[]), "no_assertion"),
        (bearer(&good), "no_assertion"),
        (with_assertions(&[&good, &good]), "no_assertion"),
        (with_assertions(&[&gateway.id_token("another", None)]), "wrong_audience"),
        (with_assertions(&[&gateway.access_token("churn")]), "wrong_type"),
        (with_assertions(&["hunter2"]), "malformed"),
    ] {
        let answer = ask(&layer, request).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{code}");
        assert!(answer.headers().get(header::WWW_AUTHENTICATE).is_none(), "no caller can make one");
        let problem: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(problem["code"], code);
    }
}

#[tokio::test]
async fn without_the_gateways_keys_the_answer_is_503() {
    let gateway = TestIssuer::with_algorithm(Algorithm::ES256);
    gateway.fail(Fault::Down);
    let answer = ask(&layer(&gateway), with_assertions(&[&gateway.id_token("churn", None)])).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
}
