//! The crate `oauth2` 5: its HTTP client, its token responses and its errors (feature `oauth2`).
//!
//! ```
//! # #[cfg(feature = "test-util")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::SystemTime;
//! use oauth2::{ClientId, ClientSecret, TokenUrl, basic::BasicClient};
//! use oidc_core::client::TokenSet;
//! use oidc_core::http::Http;
//! use oidc_core::interop::oauth2::HttpClient;
//! use oidc_core::testing::TestIssuer;
//!
//! // A provider in memory; a program has a `ReqwestHttp` here.
//! let provider: Arc<dyn Http> = Arc::new(TestIssuer::new());
//! let http = HttpClient::new(provider);
//! let response = BasicClient::new(ClientId::new("airflow-run".to_owned()))
//!     .set_client_secret(ClientSecret::new("hunter2".to_owned()))
//!     .set_token_uri(TokenUrl::new("https://issuer.test/realms/lab/token".to_owned())?)
//!     .exchange_client_credentials()
//!     .request_async(&http)
//!     .await?;
//! let tokens = TokenSet::from_oauth2(&response, SystemTime::now())?;
//! assert!(tokens.expires_at.is_some());
//! # Ok(()) }
//! # #[cfg(not(feature = "test-util"))]
//! # fn main() {}
//! ```

use std::error::Error;
use std::time::{Duration, SystemTime};

use oauth2::basic::BasicErrorResponse;
use oauth2::{RequestTokenError, TokenResponse};
use serde_json::{Map, Value};

use crate::client::{TokenEndpointError, TokenSet, TokenType, invalid};
use crate::secret::Secret;

mod authenticated;
mod http;

pub use authenticated::AuthenticatedHttpClient;
pub use http::HttpClient;

impl TokenSet {
    /// The tokens of a response that was received at `received_at` (RFC 6749 §5.1).
    ///
    /// The rules are those of [`TokenEndpoint::request`](crate::client::TokenEndpoint::request), and the ID
    /// token stays unverified. A member that `response` has no field for is lost: `BasicTokenResponse`
    /// of the crate `oauth2` keeps no `id_token`, `CoreTokenResponse` of `openidconnect` does.
    ///
    /// # Errors
    ///
    /// [`TokenEndpointError::InvalidMember`] when the access token is empty or the token type is unknown.
    pub fn from_oauth2<R: TokenResponse>(
        response: &R,
        received_at: SystemTime,
    ) -> Result<Self, TokenEndpointError> {
        let members = serde_json::to_value(response).map_err(|error| invalid(&error))?;
        let token_type = members.get("token_type").and_then(Value::as_str);
        let dpop = TokenType::DPoP.as_str();
        let bound = token_type.is_some_and(|name| name.eq_ignore_ascii_case(dpop));
        Self::parse(members.to_string().as_bytes(), received_at, bound)
    }

    /// A response of the crate `oauth2` with these tokens (RFC 6749 §5.1). `expires_in` counts from
    /// `now`, and is 0 for an access token that has expired.
    ///
    /// # Errors
    ///
    /// [`TokenEndpointError::InvalidResponse`] when `R` cannot hold the tokens, such as an ID token
    /// that `openidconnect` cannot read.
    pub fn to_oauth2<R: TokenResponse>(&self, now: SystemTime) -> Result<R, TokenEndpointError> {
        let text = |secret: &Secret| Value::from(secret.expose());
        let seconds = |time: SystemTime| {
            Value::from(time.duration_since(now).map_or(0, |left: Duration| left.as_secs()))
        };
        let members = [
            ("access_token", Some(text(&self.access_token))),
            ("token_type", Some(self.token_type.as_str().into())),
            ("expires_in", self.expires_at.map(seconds)),
            ("refresh_token", self.refresh_token.as_ref().map(text)),
            ("refresh_expires_in", self.refresh_expires_at.map(seconds)),
            ("scope", self.scope.as_ref().map(|scope| scope.to_string().into())),
            ("id_token", self.id_token.as_ref().map(text)),
            ("issued_token_type", self.issued_token_type.clone().map(Value::from)),
        ];
        let members: Map<String, Value> = members
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        serde_json::from_value(members.into()).map_err(|error| invalid(&error))
    }
}

/// Errors of the crate `oauth2`, for code that works with [`TokenEndpointError`], such as a
/// `TokenSource` of the crate `m2m`. The status of the answer is not known; it counts as 400
/// (RFC 6749 §5.2).
impl<E> From<RequestTokenError<E, BasicErrorResponse>> for TokenEndpointError
where
    E: Error + Into<TokenEndpointError> + 'static,
{
    fn from(error: RequestTokenError<E, BasicErrorResponse>) -> Self {
        match error {
            RequestTokenError::ServerResponse(answer) => Self::refused(&answer, 400, None),
            RequestTokenError::Request(error) => error.into(),
            // Its text quotes the answer, which may hold tokens.
            RequestTokenError::Parse(error, _) => invalid(error.inner()),
            RequestTokenError::Other(_) => {
                Self::InvalidResponse { reason: "it is not a token response".to_owned() }
            }
        }
    }
}

impl From<&oauth2::AccessToken> for Secret {
    fn from(token: &oauth2::AccessToken) -> Self {
        Self::from(token.secret().as_str())
    }
}

impl From<&oauth2::RefreshToken> for Secret {
    fn from(token: &oauth2::RefreshToken) -> Self {
        Self::from(token.secret().as_str())
    }
}

impl From<&oauth2::AuthorizationCode> for Secret {
    fn from(code: &oauth2::AuthorizationCode) -> Self {
        Self::from(code.secret().as_str())
    }
}
