//! A verifier from an issuer and an audience as text.

use std::sync::Arc;

use thiserror::Error;

use super::Verifier;
use crate::http::reqwest::{HttpOptions, HttpSetupError, ReqwestHttp};
use crate::issuer::{InvalidIssuer, Issuer};
use crate::keys::RemoteKeys;
use crate::provider::Provider;
use crate::validation::Validation;

/// Reason the verifier could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifierSetupError {
    /// The issuer identifier is invalid.
    #[error(transparent)]
    Issuer(#[from] InvalidIssuer),
    /// TLS cannot be set up.
    #[error(transparent)]
    Http(#[from] HttpSetupError),
}

impl Verifier {
    /// Verifies access tokens that `issuer` issued for `audience`, over HTTP with this platform's trusted certificates.
    ///
    /// The first token fetches the issuer's metadata and keys (OpenID Connect Discovery 1.0 §4, RFC 7517 §5); they are kept
    /// fresh from then on. The rules are those of [`Validation::new`], the HTTP client's those of [`HttpOptions::default`]: for
    /// others, use [`Verifier::new`].
    ///
    /// ```no_run
    /// # async fn run(bearer: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// use oidc_core::Verifier;
    ///
    /// let verifier = Verifier::for_issuer("https://id.example/realms/lab", "hub")?;
    /// let token = verifier.access_token(bearer).await?;
    /// println!("{} may enter: {}", token.subject(), token.realm_roles().contains("data-scientist"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// If `issuer` is not an issuer identifier, or TLS cannot be set up because the platform has no
    /// trusted certificates.
    pub fn for_issuer(
        issuer: &str,
        audience: impl Into<String>,
    ) -> Result<Self, VerifierSetupError> {
        let issuer: Issuer = issuer.parse()?;
        let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
        let keys = RemoteKeys::new(Provider::new(issuer.clone(), http));
        Ok(Self::new(Validation::new(issuer, audience), Arc::new(keys)))
    }
}
