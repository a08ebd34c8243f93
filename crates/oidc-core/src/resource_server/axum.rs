//! The identity as an extractor of axum (feature `axum`).
//!
//! `Identity` requires a verified token, `Option<Identity>` also accepts a request without one.
//! Without a [`VerifyLayer`](super::VerifyLayer) before the handler both answer 500, so that a
//! forgotten layer does not make requests anonymous.

use ::http::StatusCode;
use ::http::request::Parts;
use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};

use super::{Anonymous, Forbidden, GatewayCaller, Identity, Rejected};

impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = Rejected;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejected> {
        match of(parts)? {
            Ok(identity) => Ok(identity),
            Err(anonymous) => Err(anonymous.rejected()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for GatewayCaller {
    type Rejection = Rejected;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejected> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!("a handler extracts a GatewayCaller without a GatewayLayer before it");
            unverified()
        })
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Identity {
    type Rejection = Rejected;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Rejected> {
        Ok(of(parts)?.ok())
    }
}

fn of(parts: &Parts) -> Result<Result<Identity, Anonymous>, Rejected> {
    if let Some(identity) = parts.extensions.get::<Identity>() {
        return Ok(Ok(identity.clone()));
    }
    if let Some(anonymous) = parts.extensions.get::<Anonymous>() {
        return Ok(Err(anonymous.clone()));
    }
    tracing::error!("a handler extracts an Identity without a VerifyLayer before it");
    Err(unverified())
}

fn unverified() -> Rejected {
    let detail = "this service is not set up to check who calls it";
    Rejected::new(StatusCode::INTERNAL_SERVER_ERROR, "not_verified", detail)
}

impl IntoResponse for Rejected {
    fn into_response(self) -> Response {
        self.response().map(Body::from)
    }
}

impl IntoResponse for Forbidden {
    fn into_response(self) -> Response {
        Rejected::from(self).into_response()
    }
}
