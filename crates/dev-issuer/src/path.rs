//! Paths of the endpoints. Those under the issuer are Keycloak's.

use crate::faults::Endpoint;

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

/// Comes before the issuer's own path ([RFC 8414 §3.1](https://www.rfc-editor.org/rfc/rfc8414#section-3.1)).
pub(crate) const AUTHORIZATION_SERVER_METADATA: &str = "/.well-known/oauth-authorization-server";

/// The endpoint at a path, where the issuer's own path is `base`; `None` for an unknown path.
pub(crate) fn endpoint(base: &str, requested: &str) -> Option<Endpoint> {
    if requested.starts_with(AUTHORIZATION_SERVER_METADATA) {
        return Some(Endpoint::Discovery);
    }
    match requested.strip_prefix(base)? {
        DISCOVERY => Some(Endpoint::Discovery),
        JWKS => Some(Endpoint::Jwks),
        AUTHORIZATION => Some(Endpoint::Authorization),
        LOGIN => Some(Endpoint::Login),
        PAR => Some(Endpoint::Par),
        TOKEN => Some(Endpoint::Token),
        USERINFO => Some(Endpoint::UserInfo),
        INTROSPECTION => Some(Endpoint::Introspection),
        REVOCATION => Some(Endpoint::Revocation),
        END_SESSION | LOGOUT_CONFIRMATION => Some(Endpoint::EndSession),
        DEVICE_AUTHORIZATION => Some(Endpoint::DeviceAuthorization),
        DEVICE_VERIFICATION => Some(Endpoint::DeviceVerification),
        REDIRECT_TARGET => Some(Endpoint::RedirectTarget),
        _ => None,
    }
}
