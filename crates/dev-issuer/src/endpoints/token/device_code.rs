//! `device_code` ([RFC 8628 §3.4](https://www.rfc-editor.org/rfc/rfc8628#section-3.4)): a device polls
//! for the person's answer.

use crate::devices::Poll;
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
    let code = params.value("device_code").ok_or_else(|| OAuthError::missing("device_code"))?;
    let verifier = params.value("code_verifier");
    let now = provider.clock.now();
    let (scope, session) = match provider.devices.poll(code, &client.id, verifier, now) {
        Poll::Allowed { scope, session } => (scope, session),
        Poll::Pending => return Err(OAuthError::AuthorizationPending),
        Poll::TooSoon => return Err(OAuthError::SlowDown),
        Poll::Denied => return Err(OAuthError::DeviceDenied),
        Poll::Expired => return Err(OAuthError::ExpiredToken),
        Poll::WrongVerifier => {
            return Err(OAuthError::InvalidGrant("PKCE verification failed"));
        }
        Poll::Unknown => return Err(OAuthError::InvalidGrant("Device code not valid")),
    };
    let session = provider.sessions.live(&session, now);
    let session = session.ok_or(OAuthError::InvalidGrant("Session not active"))?;
    let user = provider.registry.user(&session.username);
    let user = user.ok_or(OAuthError::InvalidGrant("User not found"))?;
    let link = provider.sessions.attach(&session.id, &client.id);
    let mark = session.mark();
    let entitled =
        Entitlement { key, ..Entitlement::of_person(user, client, scope, mark, Grant::DeviceCode) };
    Ok(provider.issue(&entitled, link.as_ref())?)
}
