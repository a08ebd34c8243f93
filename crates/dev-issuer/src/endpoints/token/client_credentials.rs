//! `client_credentials` ([RFC 6749 §4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4)): the
//! client acts for itself, as its service account; no session, no refresh token.

use crate::client::DevClient;
use crate::endpoints::token::{Grant, TokenResponse};
use crate::oauth_error::OAuthError;
use crate::params::Params;
use crate::provider::Provider;
use crate::tokens::Entitlement;

pub(super) fn redeem(
    provider: &Provider,
    client: DevClient,
    params: &Params,
) -> Result<TokenResponse, OAuthError> {
    if client.is_public() {
        let why = "Public client not allowed to retrieve service account";
        return Err(OAuthError::UnauthorizedClient(why));
    }
    let scope = client
        .grant_scope(params.value("scope").unwrap_or_default())
        .map_err(OAuthError::InvalidScope)?;
    Ok(provider.issue(&Entitlement::of_machine(client, scope), None)?)
}

impl Entitlement {
    /// What a client gets that acts for itself.
    pub(crate) fn of_machine(client: DevClient, scope: crate::scope::Scope) -> Self {
        Self {
            user: client.service_account(),
            client,
            scope,
            session: None,
            nonce: None,
            grant: Grant::ClientCredentials,
            audience: None,
        }
    }
}
