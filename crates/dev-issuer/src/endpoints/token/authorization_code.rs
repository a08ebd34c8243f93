//! `authorization_code` ([RFC 6749 §4.1.3], PKCE by [RFC 7636 §4.6]).
//!
//! [RFC 6749 §4.1.3]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3
//! [RFC 7636 §4.6]: https://www.rfc-editor.org/rfc/rfc7636#section-4.6

use crate::codes::CodeRefusal;
use crate::endpoints::token::Requester;
use crate::grant::Grant;
use crate::oauth_error::OAuthError;
use crate::params::Params;
use crate::provider::Provider;
use crate::token_response::TokenResponse;
use crate::tokens::Entitlement;

pub(super) fn redeem(
    provider: &Provider,
    requester: Requester,
    params: &Params,
) -> Result<TokenResponse, OAuthError> {
    let Requester { client, key } = requester;
    let code = params.value("code").ok_or_else(|| OAuthError::missing("code"))?;
    let now = provider.clock.now();
    let grant = match provider.codes.redeem(code, now) {
        Ok(grant) => grant,
        Err(CodeRefusal::Unknown) => return Err(OAuthError::InvalidGrant("Code not valid")),
        Err(CodeRefusal::Reused(grant)) => {
            provider.sessions.detach(&grant.session, &grant.client);
            return Err(OAuthError::InvalidGrant("Code already used"));
        }
    };
    if grant.client != client.id {
        return Err(OAuthError::InvalidGrant("Code was issued to another client"));
    }
    if params.value("redirect_uri") != Some(grant.redirect_uri.as_str()) {
        return Err(OAuthError::InvalidGrant("Incorrect redirect_uri"));
    }
    let verifier = params.value("code_verifier");
    let verifier = verifier.ok_or(OAuthError::InvalidGrant("PKCE code verifier not specified"))?;
    if !grant.code_challenge.is_answered_by(verifier) {
        return Err(OAuthError::InvalidGrant("PKCE verification failed: Code mismatch"));
    }
    if grant.key.is_some() && grant.key != key {
        return Err(OAuthError::InvalidDpopProof("DPoP proof is not of the code's key"));
    }
    let session = provider.sessions.live(&grant.session, now);
    let session = session.ok_or(OAuthError::InvalidGrant("Session not active"))?;
    let user = provider.registry.user(&session.username);
    let user = user.ok_or(OAuthError::InvalidGrant("User not found"))?;
    let link = provider.sessions.attach(&session.id, &client.id);
    let mark = session.mark();
    let entitled = Entitlement {
        nonce: grant.nonce,
        key,
        offline: grant.offline,
        ..Entitlement::of_person(user, client, grant.scope, mark, Grant::AuthorizationCode)
    };
    Ok(provider.issue(&entitled, link.as_ref())?)
}
