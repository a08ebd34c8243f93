//! Routes of the provider. The paths under the issuer are Keycloak's.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

use crate::endpoints::{
    authorization, device, discovery, end_session, introspection, jwks, login, par, revocation,
    token, userinfo,
};
use crate::fault_layer;
use crate::faults::Endpoint;
use crate::provider::Provider;

/// Paths under the issuer.
pub(crate) mod path {
    pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
    pub(crate) const AUTHORIZATION: &str = "/protocol/openid-connect/auth";
    pub(crate) const TOKEN: &str = "/protocol/openid-connect/token";
    pub(crate) const JWKS: &str = "/protocol/openid-connect/certs";
    pub(crate) const USERINFO: &str = "/protocol/openid-connect/userinfo";
    pub(crate) const END_SESSION: &str = "/protocol/openid-connect/logout";
    pub(crate) const LOGOUT_CONFIRMATION: &str = "/protocol/openid-connect/logout/confirm";
    pub(crate) const REVOCATION: &str = "/protocol/openid-connect/revoke";
    pub(crate) const INTROSPECTION: &str = "/protocol/openid-connect/token/introspect";
    pub(crate) const PAR: &str = "/protocol/openid-connect/ext/par/request";
    pub(crate) const DEVICE_AUTHORIZATION: &str = "/protocol/openid-connect/auth/device";
    pub(crate) const DEVICE_VERIFICATION: &str = "/device";
    pub(crate) const LOGIN: &str = "/login-actions/authenticate";
    pub(crate) const REDIRECT_TARGET: &str = "/redirected";
}

/// Path before the issuer's path, as RFC 8414 §3.1 says.
const AUTHORIZATION_SERVER_METADATA: &str = "/.well-known/oauth-authorization-server";

pub(crate) fn router(provider: Arc<Provider>) -> Router {
    let base = format!("/realms/{}", provider.realm);
    let at = |path: &str| format!("{base}{path}");
    Router::new()
        .route(&at(path::DISCOVERY), get(discovery::show))
        .route(&format!("{AUTHORIZATION_SERVER_METADATA}{base}"), get(discovery::show))
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

/// The endpoint of a path; `None` for an unknown path.
pub(crate) fn endpoint_of(realm: &str, requested: &str) -> Option<Endpoint> {
    if requested.starts_with(AUTHORIZATION_SERVER_METADATA) {
        return Some(Endpoint::Discovery);
    }
    let under = requested.strip_prefix("/realms/")?.strip_prefix(realm)?;
    match under {
        path::DISCOVERY => Some(Endpoint::Discovery),
        path::JWKS => Some(Endpoint::Jwks),
        path::AUTHORIZATION => Some(Endpoint::Authorization),
        path::LOGIN => Some(Endpoint::Login),
        path::PAR => Some(Endpoint::Par),
        path::TOKEN => Some(Endpoint::Token),
        path::USERINFO => Some(Endpoint::UserInfo),
        path::INTROSPECTION => Some(Endpoint::Introspection),
        path::REVOCATION => Some(Endpoint::Revocation),
        path::END_SESSION | path::LOGOUT_CONFIRMATION => Some(Endpoint::EndSession),
        path::DEVICE_AUTHORIZATION => Some(Endpoint::DeviceAuthorization),
        path::DEVICE_VERIFICATION => Some(Endpoint::DeviceVerification),
        path::REDIRECT_TARGET => Some(Endpoint::RedirectTarget),
        _ => None,
    }
}
