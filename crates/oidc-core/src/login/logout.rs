//! Builds the URL that ends the session at the provider ([OpenID Connect RP-Initiated
//! Logout 1.0 §2]).
//!
//! [OpenID Connect RP-Initiated Logout 1.0 §2]: https://openid.net/specs/openid-connect-rpinitiated-1_0.html

use url::Url;

use crate::provider::ProviderMetadata;
use crate::secret::Secret;

/// Parameters of a logout at the provider. All are optional.
///
/// ```
/// use oidc_core::Secret;
/// use oidc_core::login::LogoutRequest;
/// let request = LogoutRequest::default()
///     .with_id_token_hint(Secret::from("eyJ..."))
///     .with_post_logout_redirect_uri("https://platform.example/".parse()?);
/// # Ok::<(), url::ParseError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LogoutRequest {
    /// `id_token_hint`: identifies the session; without it the provider asks the user.
    pub id_token_hint: Option<Secret>,
    /// `post_logout_redirect_uri`: must be registered at the provider.
    pub post_logout_redirect_uri: Option<Url>,
    /// `state`: returned with the redirect.
    pub state: Option<String>,
}

impl LogoutRequest {
    /// Identifies the session to end.
    #[must_use]
    pub fn with_id_token_hint(mut self, id_token: Secret) -> Self {
        self.id_token_hint = Some(id_token);
        self
    }

    /// Sets the address the browser returns to.
    #[must_use]
    pub fn with_post_logout_redirect_uri(mut self, uri: Url) -> Self {
        self.post_logout_redirect_uri = Some(uri);
        self
    }

    /// Sets the value returned with the redirect.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<String>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// The URL; `None` when the provider offers no logout.
    pub(crate) fn url(&self, metadata: &ProviderMetadata, client_id: &str) -> Option<Url> {
        let mut url = metadata.end_session_endpoint.clone()?;
        let mut query = url.query_pairs_mut();
        query.append_pair("client_id", client_id);
        if let Some(id_token) = &self.id_token_hint {
            query.append_pair("id_token_hint", id_token.expose());
        }
        if let Some(uri) = &self.post_logout_redirect_uri {
            query.append_pair("post_logout_redirect_uri", uri.as_str());
        }
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        drop(query);
        Some(url)
    }
}
