//! Client authentication for the requests of `oauth2` and `openidconnect`.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use oauth2::{AsyncHttpClient, HttpRequest};
use url::Url;

use super::http::Answer;
use crate::client::{
    ClientAuthError, ClientEndpoint, Failed, Form, GRANT_TYPES, TokenEndpoint, TokenEndpointError,
    TokenSet,
};
use crate::provider::ProviderMetadata;
use crate::secret::Secret;

/// Members of a form that authenticate a client (RFC 6749 §2.3.1, RFC 7521 §4.2).
const AUTHENTICATION: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

/// Sends the requests of `oauth2` and `openidconnect`, and authenticates the client.
///
/// A form that goes to the provider's token, revocation, introspection or device authorization
/// endpoint is sent by a [`TokenEndpoint`]: with any of the methods of
/// [`ClientAuth`](crate::client::ClientAuth), with a DPoP proof if the endpoint has a key for it (RFC 9449 §5),
/// with the rules for its answers, and with its events for an observer. Every other request, such as discovery or UserInfo, is sent as
/// it is; a form that goes elsewhere is refused, because its tokens belong to this provider.
///
/// The client of `oauth2` must have this client's id and no secret: a request has one authentication
/// only (RFC 6749 §2.3).
///
/// ```no_run
/// # async fn run(provider: oidc_core::provider::Provider) -> Result<(), Box<dyn std::error::Error>> {
/// use oauth2::{ClientId, TokenUrl, basic::BasicClient};
/// use oidc_core::client::{ClientAuth, PrivateKeyJwt, TokenEndpoint};
/// use oidc_core::interop::oauth2::AuthenticatedHttpClient;
///
/// let auth = ClientAuth::PrivateKeyJwt(PrivateKeyJwt::from_file("/run/secrets/key", None, None)?);
/// let http = AuthenticatedHttpClient::new(TokenEndpoint::new(provider, "airflow-run", auth));
/// let response = BasicClient::new(ClientId::new("airflow-run".to_owned()))
///     .set_token_uri(TokenUrl::new("https://id.example/token".to_owned())?)
///     .exchange_client_credentials()
///     .request_async(&http)
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct AuthenticatedHttpClient {
    endpoint: TokenEndpoint,
}

impl AuthenticatedHttpClient {
    /// Authenticates as the client of `endpoint`.
    pub fn new(endpoint: TokenEndpoint) -> Self {
        Self { endpoint }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TokenEndpointError> {
        if request.method() != Method::POST || !is_form(request.headers()) {
            return Ok(self.endpoint.provider().http().send(request).await?);
        }
        let metadata = self.endpoint.provider().metadata().await?;
        let url = request.uri().to_string().parse::<Url>().ok();
        let to = url.and_then(|url| ClientEndpoint::at(&url, &metadata)).ok_or(not_this_client(
            "its URL is no endpoint of the provider's metadata; set the token URL of the metadata",
        ))?;
        let form = self.unauthenticated(&request)?;
        let grant_type = grant_type(&form);
        let asked = self.exchange(&metadata, to, form);
        let answer = match to {
            ClientEndpoint::Token => {
                let code = |failed: &Failed| failed.error.code();
                self.endpoint.observed(grant_type, Box::pin(asked), code).await
            }
            _ => asked.await,
        };
        // `oauth2` reads errors of the provider itself (RFC 6749 §5.2).
        answer.or_else(|failed| failed.answer.map(|answer| *answer).ok_or(failed.error))
    }

    async fn exchange(
        &self,
        metadata: &ProviderMetadata,
        to: ClientEndpoint,
        form: Form,
    ) -> Result<Response<Bytes>, Failed> {
        let answer = self.endpoint.exchange(metadata, to, form, StatusCode::OK).await?;
        if to == ClientEndpoint::Token {
            let (now, bound) = (self.endpoint.now(), self.endpoint.dpop_key().is_some());
            TokenSet::parse(answer.body(), now, bound)?;
        }
        Ok(answer)
    }

    /// The form without the client's id, which the authentication adds where it belongs.
    fn unauthenticated(&self, request: &Request<Bytes>) -> Result<Form, TokenEndpointError> {
        let mut form: Form = Vec::new();
        let mut is_authenticated = request.headers().contains_key(header::AUTHORIZATION);
        for (name, value) in url::form_urlencoded::parse(request.body()) {
            is_authenticated |= AUTHENTICATION.contains(&&*name);
            if name != "client_id" {
                form.push((Cow::Owned(name.into_owned()), Secret::from(value.into_owned())));
            } else if value != self.endpoint.client_id() {
                return Err(not_this_client(
                    "it has another client_id; give both clients the same id",
                ));
            }
        }
        if is_authenticated {
            return Err(not_this_client(
                "it is authenticated already (RFC 6749 §2.3); do not set a secret at the `oauth2` client",
            ));
        }
        Ok(form)
    }
}

impl<'c> AsyncHttpClient<'c> for AuthenticatedHttpClient {
    type Error = TokenEndpointError;
    type Future = Answer<'c, TokenEndpointError>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move { Ok(self.send(request.map(Bytes::from)).await?.map(Vec::from)) })
    }
}

/// The grant that a form asks for, as one of the names that this library uses itself: an observer counts
/// by it. `other` for a name of the program's own.
fn grant_type(form: &Form) -> &'static str {
    let named = form.iter().find(|(name, _)| name == "grant_type");
    let named = named.map(|(_, value)| value.expose()).unwrap_or_default();
    GRANT_TYPES.into_iter().find(|known| *known == named).unwrap_or("other")
}

fn not_this_client(problem: &'static str) -> TokenEndpointError {
    TokenEndpointError::ClientAuth(ClientAuthError::NotThisClient { problem })
}

/// Whether the body is a form. Parameters of the media type do not change its meaning.
fn is_form(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}
