//! Client authentication at the token endpoint and the other endpoints for clients (RFC 6749 §2.3,
//! RFC 7523, RFC 8705, OpenID Connect Core 1.0 §9).
//!
//! Each request reads its credential files and signs its assertion. `aud` of an assertion is the
//! issuer identifier and nothing else. Errors never contain secrets.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::provider::ProviderMetadata;
use crate::secret::Secret;

mod assertion;
mod auto;
mod error;
mod file;
mod private_key;
mod secret;

pub use auto::AutoAuth;
pub use error::{ClientAuthAttempt, ClientAuthError};
pub use private_key::PrivateKeyJwt;
pub use secret::ClientSecret;

/// Names and values of a request's `application/x-www-form-urlencoded` body.
pub(crate) type Form = Vec<(Cow<'static, str>, Secret)>;

/// RFC 7523 §2.2
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// OAuth SPIFFE Client Authentication §4.1 (draft-ietf-oauth-spiffe-client-auth)
const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// Client authentication method.
///
/// ```
/// use oidc_core::client::{ClientAuth, ClientSecret};
/// let auth = ClientAuth::SecretBasic("hunter2".into());
/// assert_eq!(format!("{auth:?}"), "SecretBasic(ClientSecret(..))");
/// let auth = ClientAuth::SecretBasic(ClientSecret::file("/run/secrets/gateway"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientAuth {
    /// A public client: only its id is sent.
    None,
    /// `client_secret_basic` or `client_secret_post`: the one that the provider offers
    /// (`token_endpoint_auth_methods_supported`), basic before post, and basic if it offers neither.
    Secret(ClientSecret),
    /// `client_secret_basic`: id and secret in the `Authorization` header (RFC 6749 §2.3.1).
    SecretBasic(ClientSecret),
    /// `client_secret_post`: id and secret in the body (RFC 6749 §2.3.1).
    SecretPost(ClientSecret),
    /// `client_secret_jwt`: an assertion under the secret's HMAC (OpenID Connect Core 1.0 §9); with
    /// the first of HS256, HS384, HS512 that the provider takes. A secret shorter than the hash is
    /// refused (RFC 7518 §3.2). The secret itself is not sent.
    SecretJwt(ClientSecret),
    /// `private_key_jwt`: a fresh signed assertion for each request (OpenID Connect Core 1.0 §9).
    /// Nothing secret is sent.
    PrivateKeyJwt(PrivateKeyJwt),
    /// An assertion that another party made (RFC 7523 §2.2).
    Assertion(Secret),
    /// An assertion in a file, read at each request, such as a projected Kubernetes service account
    /// token. The program that writes the file must replace it before it expires.
    AssertionFile(PathBuf),
    /// A SPIFFE JWT-SVID in a file, read at each request. Like [`AssertionFile`](Self::AssertionFile),
    /// with the assertion type `jwt-spiffe`, which Keycloak asks for.
    JwtSvidFile(PathBuf),
    /// `tls_client_auth` and `self_signed_tls_client_auth` (RFC 8705 §2): the [`Http`](crate::http::Http)
    /// adapter has a client certificate; only the id is sent, to the provider's
    /// `mtls_endpoint_aliases` where it has some (RFC 8705 §5).
    MutualTls,
    /// Tries the client's credentials that the provider accepts.
    Auto(AutoAuth),
}

/// The request that a proof is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occasion<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) metadata: &'a ProviderMetadata,
    pub(crate) now: SystemTime,
}

impl ClientAuth {
    /// The method's name in metadata (`token_endpoint_auth_methods_supported`); a descriptive word
    /// for methods without one.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Secret(_) => "client_secret",
            Self::SecretBasic(_) => "client_secret_basic",
            Self::SecretPost(_) => "client_secret_post",
            Self::SecretJwt(_) => "client_secret_jwt",
            Self::PrivateKeyJwt(_) => "private_key_jwt",
            Self::Assertion(_) => "assertion",
            Self::AssertionFile(_) => "assertion file",
            Self::JwtSvidFile(_) => "JWT-SVID file",
            Self::MutualTls => "tls_client_auth",
            Self::Auto(_) => "auto",
        }
    }

    /// Whether the HTTP adapter has a certificate of the client.
    #[cfg(feature = "login")]
    pub(crate) fn has_certificate(&self) -> bool {
        match self {
            Self::MutualTls => true,
            Self::Auto(auto) => auto.has_certificate(),
            _ => false,
        }
    }

    /// Adds the proof to a form request; returns the `Authorization` header if there is one.
    pub(crate) async fn prove(
        &self,
        occasion: Occasion<'_>,
        form: &mut Form,
    ) -> Result<Option<HeaderValue>, ClientAuthError> {
        let in_body = match self {
            Self::Secret(_) => occasion.metadata.takes_secrets_in_the_body_only(),
            Self::SecretBasic(_) => false,
            _ => true,
        };
        if let (false, Self::Secret(secret) | Self::SecretBasic(secret)) = (in_body, self) {
            return Ok(basic(occasion.client_id, &secret.read().await?));
        }
        // A pushed authorization request already has it (RFC 9126 §2.1).
        if !form.iter().any(|(name, _)| name == "client_id") {
            form.push(("client_id".into(), Secret::from(occasion.client_id)));
        }
        let (kind, assertion) = match self {
            Self::None | Self::MutualTls | Self::SecretBasic(_) => return Ok(None),
            Self::Secret(secret) | Self::SecretPost(secret) => {
                form.push(("client_secret".into(), secret.read().await?));
                return Ok(None);
            }
            Self::SecretJwt(secret) => {
                (JWT_BEARER, assertion::under_secret(&secret.read().await?, occasion)?)
            }
            Self::PrivateKeyJwt(key) => (JWT_BEARER, key.assertion(occasion).await?),
            Self::Assertion(assertion) => (JWT_BEARER, assertion.clone()),
            Self::AssertionFile(path) => (JWT_BEARER, file::read(path).await?),
            Self::JwtSvidFile(path) => (JWT_SPIFFE, file::read(path).await?),
            // The caller tries the candidates of `Auto` instead, and no candidate is an `Auto`.
            Self::Auto(_) => return Err(ClientAuthError::NoCredential),
        };
        form.push(("client_assertion_type".into(), Secret::from(kind)));
        form.push(("client_assertion".into(), assertion));
        Ok(None)
    }
}

/// RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
fn basic(client_id: &str, secret: &Secret) -> Option<HeaderValue> {
    let encoded =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Secret::from(format!("{}:{}", encoded(client_id), encoded(secret.expose())));
    let mut value =
        HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair.expose()))).ok()?;
    value.set_sensitive(true);
    Some(value)
}
