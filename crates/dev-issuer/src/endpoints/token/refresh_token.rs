//! `refresh_token` ([RFC 6749 §6](https://www.rfc-editor.org/rfc/rfc6749#section-6)), with rotation:
//! a token that was used before ends the client's part of the session.

use crate::client::DevClient;
use crate::endpoints::token::{Grant, TokenResponse};
use crate::jws;
use crate::oauth_error::OAuthError;
use crate::params::Params;
use crate::provider::Provider;
use crate::scope::Scope;
use crate::sessions::{Link, RefreshRefusal};
use crate::tokens::{Entitlement, granted_scope};

const INVALID: OAuthError = OAuthError::InvalidGrant("Invalid refresh token");

pub(super) fn redeem(
    provider: &Provider,
    client: DevClient,
    params: &Params,
) -> Result<TokenResponse, OAuthError> {
    let token = params.value("refresh_token");
    let token = token.ok_or_else(|| OAuthError::missing("refresh_token"))?;
    let claims = jws::open_refresh(token, &provider.keys).map_err(|_| INVALID)?;
    let now = provider.clock.now();
    if !jws::is_current(&claims, provider.clock.seconds()) {
        return Err(OAuthError::InvalidGrant("Token is not active"));
    }
    if jws::text(&claims, "azp") != Some(client.id.as_str()) {
        let why = "Invalid refresh token. Token client and authorized client don't match";
        return Err(OAuthError::InvalidGrant(why));
    }
    let granted = granted_scope(&claims);
    let scope = match params.value("scope").map(Scope::parse) {
        Some(wanted) if !wanted.is_within(&granted) => {
            return Err(OAuthError::InvalidScope(wanted.to_string()));
        }
        Some(wanted) => wanted,
        None => granted,
    };
    let link = Link {
        chain: jws::text(&claims, "reuse_id").ok_or(INVALID)?.to_owned(),
        jti: jws::text(&claims, "jti").ok_or(INVALID)?.to_owned(),
    };
    let sid = jws::text(&claims, "sid").ok_or(INVALID)?;
    let session = provider.sessions.live(sid, now);
    let session = session.ok_or(OAuthError::InvalidGrant("Session not active"))?;
    let user = provider.registry.user(&session.username);
    let user = user.ok_or(OAuthError::InvalidGrant("User not found"))?;
    let next = provider
        .sessions
        .advance(sid, &client.id, &link, provider.rotate_refresh_tokens)
        .map_err(|refusal| match refusal {
            RefreshRefusal::SessionEnded => {
                OAuthError::InvalidGrant("Session doesn't have required client")
            }
            RefreshRefusal::Reused => {
                OAuthError::InvalidGrant("Maximum allowed refresh token reuse exceeded")
            }
        })?;
    let entitled = Entitlement {
        user,
        client,
        scope,
        session: Some(session.mark()),
        nonce: None,
        grant: Grant::RefreshToken,
        audience: None,
    };
    Ok(provider.issue(&entitled, Some(&next))?)
}
