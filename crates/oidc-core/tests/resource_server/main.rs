//! The tower layer: accepted requests, the identity added to them, and all other answers byte for
//! byte.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a failed unwrap is a failed test"
)]

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use oidc_core::resource_server::{Forbidden, Identity, Rejected, VerifyLayer};
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use oidc_core::{Validation, Verifier};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};

mod challenges;
mod dpop;
mod extractor;
mod gateway;
mod identity;
mod introspection;
mod subjects;

type Body = Full<Bytes>;

struct World {
    issuer: TestIssuer,
}

impl World {
    fn new() -> Self {
        Self { issuer: TestIssuer::with_algorithm(Algorithm::ES256) }
    }

    fn verifier(&self) -> Verifier {
        Verifier::new(Validation::new(self.issuer.issuer(), "api"), self.issuer.keys())
            .with_clock(self.issuer.clock())
    }

    fn layer(&self) -> VerifyLayer {
        VerifyLayer::new(self.verifier()).with_realm("api")
    }

    /// A token with these claims in addition to the usual ones.
    fn token(&self, more: Value) -> String {
        let mut claims = self.issuer.claims("api");
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.issuer.sign(&claims)
    }
}

fn request(authorization: &[&str]) -> Request<Body> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = "/models?v=1".parse().unwrap();
    for value in authorization {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().append(header::AUTHORIZATION, value);
    }
    request
}

fn bearer(token: &str) -> Request<Body> {
    request(&[&format!("Bearer {token}")])
}

/// The parts of an answer that a client sees.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    challenges: Vec<String>,
    body: String,
}

impl Seen {
    fn code(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// Answers with the subject; a caller that wants to delete needs the role `admin`.
async fn service(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    async fn handle(request: &Request<Body>) -> Result<String, Forbidden> {
        let Some(caller) = request.extensions().get::<Identity>() else {
            return Ok("anonymous".to_owned());
        };
        if request.method() == Method::DELETE {
            caller.require_role("admin")?;
        }
        Ok(caller.subject().to_owned())
    }
    Ok(match handle(&request).await {
        Ok(text) => Response::new(Full::from(text)),
        Err(forbidden) => Rejected::from(forbidden).response().map(Full::new),
    })
}

async fn answer(layer: &VerifyLayer, request: Request<Body>) -> Response<Bytes> {
    let answer = layer.layer(service_fn(service)).oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

fn challenges(answer: &Response<Bytes>) -> Vec<String> {
    let values = answer.headers().get_all(header::WWW_AUTHENTICATE).iter();
    values.map(|value| value.to_str().unwrap().to_owned()).collect()
}

async fn seen(layer: &VerifyLayer, request: Request<Body>) -> Seen {
    let answer = answer(layer, request).await;
    if answer.status() != StatusCode::OK {
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    }
    Seen {
        status: answer.status().as_u16(),
        challenges: challenges(&answer),
        body: String::from_utf8(answer.body().to_vec()).unwrap(),
    }
}

/// `realm_access` with these roles.
fn roles(roles: &[&str]) -> Value {
    json!({"realm_access": {"roles": roles}})
}
