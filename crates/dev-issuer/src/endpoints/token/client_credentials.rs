//! `client_credentials` ([RFC 6749 §4.4](https://www.rfc-editor.org/rfc/rfc6749#section-4.4)): the
//! client acts for itself, as its service account. There is no session and no refresh token.

use url::Url;

use crate::endpoints::token::Requester;
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
    if client.is_public() {
        let why = "Public client not allowed to retrieve service account";
        return Err(OAuthError::UnauthorizedClient(why));
    }
    let scope = client
        .grant_scope(params.value("scope").unwrap_or_default())
        .map_err(OAuthError::InvalidScope)?;
    let resources = provider.resources(params)?;
    let audience = (!resources.is_empty()).then_some(resources);
    let entitled = Entitlement { key, audience, ..Entitlement::of_machine(client, scope) };
    Ok(provider.issue(&entitled, None)?)
}

impl Provider {
    /// The requested resources: absolute URIs without fragment that are an audience here
    /// ([RFC 8707 §2](https://www.rfc-editor.org/rfc/rfc8707#section-2)).
    pub(super) fn resources(&self, params: &Params) -> Result<Vec<String>, OAuthError> {
        let resources = params.values("resource");
        let fits = |uri: &String| {
            let absolute = Url::parse(uri).is_ok_and(|url| url.fragment().is_none());
            absolute && self.registry.is_audience(uri)
        };
        match resources.iter().find(|uri| !fits(uri)) {
            Some(unknown) => Err(OAuthError::InvalidTarget(unknown.clone())),
            None => Ok(resources),
        }
    }
}
