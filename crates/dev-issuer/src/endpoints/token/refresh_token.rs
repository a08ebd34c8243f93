//! `refresh_token` ([RFC 6749 §6](https://www.rfc-editor.org/rfc/rfc6749#section-6)), with rotation:
//! reusing a token ends the client's part of the session.

use crate::endpoints::token::Requester;
use crate::grant::Grant;
use crate::jws;
use crate::oauth_error::OAuthError;
use crate::params::Params;
use crate::provider::Provider;
use crate::scope::Scope;
use crate::sessions::{Link, RefreshRefusal};
use crate::token_response::TokenResponse;
use crate::tokens::{Entitlement, granted_scope};

const INVALID: OAuthError = OAuthError::InvalidGrant("Invalid refresh token");

pub(super) fn redeem(
    provider: &Provider,
    requester: Requester,
    params: &Params,
) -> Result<TokenResponse, OAuthError> {
    let Requester { client, key } = requester;
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
    // RFC 9449 §5: a bound refresh token is valid with its own key only.
    let bound_to = claims.get("cnf").and_then(|cnf| cnf.get("jkt")).and_then(|jkt| jkt.as_str());
    if bound_to.is_some() && bound_to != key.as_deref() {
        return Err(OAuthError::InvalidDpopProof("DPoP proof is not of the refresh token's key"));
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
    let mark = session.mark();
    let entitled = Entitlement {
        key,
        offline: true,
        ..Entitlement::of_person(user, client, scope, mark, Grant::RefreshToken)
    };
    Ok(provider.issue(&entitled, Some(&next))?)
}
