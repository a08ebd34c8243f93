//! Routes of the provider: each path to its endpoint, with the faults around all of them.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

use crate::endpoints::{
    authorization, device, discovery, end_session, introspection, jwks, login, par, revocation,
    token, userinfo,
};
use crate::fault_layer;
use crate::path;
use crate::provider::Provider;

pub(crate) fn router(provider: Arc<Provider>) -> Router {
    let base = provider.path.clone();
    let at = |path: &str| format!("{base}{path}");
    Router::new()
        .route(&at(path::DISCOVERY), get(discovery::show))
        .route(&format!("{}{base}", path::AUTHORIZATION_SERVER_METADATA), get(discovery::show))
        .route(&at(path::JWKS), get(jwks::show))
        .route(&at(path::AUTHORIZATION), get(authorization::get).post(authorization::post))
        .route(&at(path::LOGIN), post(login::submit))
        .route(&at(path::PAR), post(par::push))
        .route(&at(path::TOKEN), post(token::issue))
        .route(&at(path::USERINFO), get(userinfo::show).post(userinfo::show))
        .route(&at(path::INTROSPECTION), post(introspection::show))
        .route(&at(path::REVOCATION), post(revocation::revoke))
        .route(&at(path::END_SESSION), get(end_session::get).post(end_session::post))
        .route(&at(path::LOGOUT_CONFIRMATION), post(end_session::confirmed))
        .route(&at(path::DEVICE_AUTHORIZATION), post(device::authorize))
        .route(&at(path::DEVICE_VERIFICATION), get(device::show).post(device::answer))
        .route(&at(path::REDIRECT_TARGET), get(discovery::show).post(discovery::show))
        .layer(middleware::from_fn_with_state(Arc::clone(&provider), fault_layer::apply))
        .with_state(provider)
}
