//! Logout requests of clients ([OpenID Connect RP-Initiated Logout 1.0 §2]), read from their parameters.
//!
//! The browser is redirected only to a URI that is registered for the client that `id_token_hint` or `client_id` names.
//!
//! [OpenID Connect RP-Initiated Logout 1.0 §2]: https://openid.net/specs/openid-connect-rpinitiated-1_0.html#RPLogout

use url::Url;

use crate::jws;
use crate::keys::Keys;
use crate::params::Params;
use crate::presented_tokens::PresentedTokens;
use crate::registry::Registry;

/// A checked logout request.
#[derive(Clone, Debug)]
pub(crate) struct LogoutRequest {
    /// Session that the hint names.
    pub(crate) hinted: Option<String>,
    /// Redirect after the logout.
    pub(crate) onward: Option<Url>,
}

impl LogoutRequest {
    pub(crate) fn read(
        keys: &Keys,
        presented: &PresentedTokens,
        registry: &Registry,
        params: &Params,
    ) -> Result<Self, String> {
        let hint = match params.value("id_token_hint") {
            Some(token) => {
                let claims = jws::open(&presented.resolve(token), keys)
                    .map_err(|_| "id_token_hint is not a token of this provider.".to_owned())?;
                if jws::text(&claims, "typ") != Some("ID") {
                    return Err("id_token_hint is not an ID token.".to_owned());
                }
                Some(claims)
            }
            None => None,
        };
        let by_hint = hint.as_ref().and_then(|claims| jws::text(claims, "azp"));
        let named = params.value("client_id");
        if let (Some(by_hint), Some(named)) = (by_hint, named)
            && by_hint != named
        {
            return Err("client_id is not the client that id_token_hint was issued to.".to_owned());
        }
        let client = by_hint.or(named).and_then(|id| registry.client(id));
        let onward = match params.value("post_logout_redirect_uri") {
            None => None,
            Some(uri) => {
                let client = client.ok_or(
                    "post_logout_redirect_uri needs id_token_hint or client_id beside it.",
                )?;
                if !client.has_post_logout_redirect_uri(uri) {
                    return Err(format!(
                        "{uri:?} is not a post-logout redirect URI of client {:?}.",
                        client.id
                    ));
                }
                Some(with_state(uri, params.value("state"))?)
            }
        };
        let hinted = hint.as_ref().and_then(|claims| jws::text(claims, "sid")).map(str::to_owned);
        Ok(Self { hinted, onward })
    }
}

fn with_state(uri: &str, state: Option<&str>) -> Result<Url, String> {
    let mut url = Url::parse(uri)
        .map_err(|error| format!("post_logout_redirect_uri cannot be parsed: {error}."))?;
    if let Some(state) = state {
        url.query_pairs_mut().append_pair("state", state);
    }
    Ok(url)
}
