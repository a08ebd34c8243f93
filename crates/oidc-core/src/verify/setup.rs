//! Verifiers from addresses and names as text, over HTTP with this platform's trusted certificates.

use std::sync::Arc;

use thiserror::Error;

use super::assertion::AssertionVerifier;
use super::validation::Validation;
use super::verifier::Verifier;
use crate::http::reqwest::{HttpOptions, HttpSetupError, ReqwestHttp};
use crate::issuer::{InvalidIssuer, Issuer};
use crate::keys::RemoteKeys;
use crate::provider::{DiscoveryError, Provider, ProviderMetadata};
use crate::token::Algorithm;

/// Path of the gateway's keys below its public URL, unless its `endpoints` are configured otherwise.
const GATEWAY_KEYS: &str = "/oauth2/jwks";

/// Reason the verifier could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifierSetupError {
    /// The issuer identifier is invalid.
    #[error(transparent)]
    Issuer(#[from] InvalidIssuer),
    /// The address of the keys is invalid.
    #[error(transparent)]
    Keys(#[from] DiscoveryError),
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

impl AssertionVerifier {
    /// Verifies assertions of the gateway at `public_url` for the route `audience`, signed with `ES256`, over HTTP with this
    /// platform's trusted certificates.
    ///
    /// The first assertion fetches the gateway's keys, from `/oauth2/jwks` below `public_url`; they are kept fresh from then on.
    /// For keys at another address, use [`AssertionVerifier::new`] with [`ProviderMetadata::new`].
    ///
    /// ```no_run
    /// # async fn run(assertion: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// use oidc_core::verify::AssertionVerifier;
    ///
    /// let verifier = AssertionVerifier::for_gateway("https://platform.example", "churn")?;
    /// let caller = verifier.assertion(assertion).await?;
    /// println!("hello {}", caller.preferred_username().unwrap_or(caller.subject()));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// If `public_url` is not an `https` URL (`http` on loopback), or TLS cannot be set up because the
    /// platform has no trusted certificates.
    pub fn for_gateway(
        public_url: &str,
        audience: impl Into<String>,
    ) -> Result<Self, VerifierSetupError> {
        let public_url = public_url.trim_end_matches('/');
        let gateway: Issuer = public_url.parse()?;
        let metadata = ProviderMetadata::new(&gateway, &format!("{public_url}{GATEWAY_KEYS}"))?;
        let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
        let keys = RemoteKeys::new(Provider::with_metadata(metadata, http));
        let validation = Validation::new(gateway, audience).with_algorithms([Algorithm::ES256]);
        Ok(Self::new(validation, Arc::new(keys)))
    }
}
