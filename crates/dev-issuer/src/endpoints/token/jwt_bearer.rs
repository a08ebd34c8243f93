//! JWT bearer ([RFC 7523 §2.1](https://www.rfc-editor.org/rfc/rfc7523#section-2.1)): exchanges a trusted
//! issuer's assertion about a person for a token of this provider for the person of that name.
//!
//! The assertion may be used repeatedly until it expires. There is no refresh token.

use crate::endpoints::token::Requester;
use crate::grant::Grant;
use crate::jws::{self, Claims};
use crate::oauth_error::OAuthError;
use crate::params::Params;
use crate::provider::Provider;
use crate::token_response::TokenResponse;
use crate::tokens::Entitlement;

const INVALID: OAuthError = OAuthError::InvalidGrant("Invalid assertion");

pub(super) fn redeem(
    provider: &Provider,
    requester: Requester,
    params: &Params,
) -> Result<TokenResponse, OAuthError> {
    let Requester { client, key } = requester;
    if client.is_public() {
        let why = "Public client not allowed to use authorization grant";
        return Err(OAuthError::UnauthorizedClient(why));
    }
    let assertion = params.value("assertion").ok_or_else(|| OAuthError::missing("assertion"))?;
    let claims: Claims =
        jsonwebtoken::dangerous::insecure_decode_claims(assertion).map_err(|_| INVALID)?;
    let issuer = jws::text(&claims, "iss").ok_or(INVALID)?;
    let claims = provider.trusted.verify(issuer, assertion).ok_or(INVALID)?;
    if !jws::has_audience(&claims, &provider.issuer) {
        return Err(OAuthError::InvalidGrant("Invalid token audience"));
    }
    if !jws::is_current(&claims, provider.clock.seconds()) {
        return Err(OAuthError::InvalidGrant("Token is not active"));
    }
    let user = jws::text(&claims, "sub").and_then(|name| provider.registry.user(name));
    let user = user.ok_or(OAuthError::InvalidGrant("User not found"))?;
    let scope = client
        .grant_scope(params.value("scope").unwrap_or_default())
        .map_err(OAuthError::InvalidScope)?;
    let session = provider.begin_session(&user.username);
    provider.sessions.attach(&session.id, &client.id);
    let mark = session.mark();
    let entitled =
        Entitlement { key, ..Entitlement::of_person(user, client, scope, mark, Grant::JwtBearer) };
    Ok(provider.issue(&entitled, None)?)
}
