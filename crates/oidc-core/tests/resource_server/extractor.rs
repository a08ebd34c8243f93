//! The extractor of axum.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::IntoResponse as _;
use http::request::Parts;
use http::{Request, StatusCode};
use oidc_core::resource_server::{Anonymous, Identity, VerifyLayer};
use serde_json::json;
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::{Body, World, bearer, request};

/// The parts of a request that reach a handler behind the layer.
async fn behind(layer: &VerifyLayer, request: Request<Body>) -> Option<Parts> {
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let service = service_fn(move |request: Request<Body>| {
        let keep = Arc::clone(&keep);
        async move {
            *keep.lock().unwrap() = Some(request.into_parts().0);
            Ok::<_, Infallible>(http::Response::new(Body::default()))
        }
    });
    layer.layer(service).oneshot(request).await.unwrap();
    seen.lock().unwrap().take()
}

async fn required(parts: &mut Parts) -> Result<Identity, u16> {
    <Identity as FromRequestParts<()>>::from_request_parts(parts, &())
        .await
        .map_err(|rejected| rejected.into_response().status().as_u16())
}

async fn optional(parts: &mut Parts) -> Result<Option<Identity>, u16> {
    <Identity as OptionalFromRequestParts<()>>::from_request_parts(parts, &())
        .await
        .map_err(|rejected| rejected.into_response().status().as_u16())
}

#[tokio::test]
async fn a_handler_gets_the_identity() {
    let world = World::new();
    let mut parts = behind(&world.layer(), bearer(&world.token(json!({})))).await.unwrap();
    assert_eq!(required(&mut parts).await.unwrap().subject(), oidc_core::testing::SUBJECT);
    assert!(optional(&mut parts).await.unwrap().is_some());
    assert!(behind(&world.layer(), request(&[])).await.is_none());
}

#[tokio::test]
async fn a_handler_challenges_an_anonymous_caller() {
    let world = World::new();
    let mut parts = behind(&world.layer().optional(), request(&[])).await.unwrap();
    assert!(optional(&mut parts).await.unwrap().is_none());
    assert_eq!(parts.extensions.get::<Anonymous>().unwrap().rejected().status(), 401);
    let rejected = <Identity as FromRequestParts<()>>::from_request_parts(&mut parts, &())
        .await
        .unwrap_err()
        .into_response();
    assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(rejected.headers()["www-authenticate"], r#"Bearer realm="api""#);
}

#[tokio::test]
async fn without_the_layer_no_request_counts_as_anonymous() {
    let (mut parts, _) = request(&["Bearer x"]).into_parts();
    assert_eq!(required(&mut parts).await.unwrap_err(), 500);
    assert_eq!(optional(&mut parts).await.unwrap_err(), 500);
}
