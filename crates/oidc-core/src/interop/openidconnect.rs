//! The crate `openidconnect` 4: its ID tokens, metadata and keys (feature `openidconnect`).
//!
//! Its client works with the HTTP clients of [`oauth2`](super::oauth2), and its `CoreTokenResponse`
//! with [`TokenSet::from_oauth2`](crate::client::TokenSet::from_oauth2).
//!
//! ```
//! # #[cfg(feature = "reqwest")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
//! # use dev_issuer::{DevClient, DevIssuer, Mint};
//! use std::sync::Arc;
//! use oidc_core::interop::oauth2::HttpClient;
//! use oidc_core::interop::openidconnect::WholeProviderMetadata;
//! use oidc_core::keys::RemoteKeys;
//! use oidc_core::provider::{Provider, ProviderMetadata};
//! use oidc_core::verify::IdTokenExpectations;
//! use oidc_core::{Secret, Validation, Verifier};
//! use openidconnect::{IssuerUrl, Nonce, core::CoreIdToken};
//!
//! # let gateway = DevClient::confidential("gateway", "s3cret");
//! # let issuer = DevIssuer::demo_builder().client(gateway).start("127.0.0.1:0").await?;
//! # let text = issuer.mint(Mint::id("alice").client("gateway").nonce("n-0S6_WzA2Mj"))?;
//! # let issuer_url = issuer.url();
//! let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
//! let discovered = WholeProviderMetadata::discover_async(
//!     IssuerUrl::new(issuer_url.to_owned())?,
//!     &HttpClient::new(http.clone()),
//! )
//! .await?;
//!
//! // Keys that follow the provider's rotation, and this crate's rules.
//! let metadata = ProviderMetadata::from_openidconnect(&issuer_url.parse()?, &discovered)?;
//! let keys = Arc::new(RemoteKeys::new(Provider::with_metadata(metadata, http)));
//! let verifier = Verifier::new(Validation::new(issuer_url.parse()?, "gateway"), keys);
//!
//! let token: CoreIdToken = text.parse()?;
//! let nonce = Nonce::new("n-0S6_WzA2Mj".to_owned());
//! let expected = IdTokenExpectations::default().with_nonce(Secret::from(&nonce));
//! let verified = verifier.openidconnect_id_token(&token, &expected).await?;
//! assert_eq!(verified.preferred_username(), Some("alice"));
//! # Ok(()) }
//! # #[cfg(not(feature = "reqwest"))]
//! # fn main() {}
//! ```

use openidconnect::{
    AdditionalClaims, GenderClaim, IdTokenClaims, IssuerUrl, JweContentEncryptionAlgorithm,
    JwsSigningAlgorithm, Nonce,
};
use serde_json::Value;
use thiserror::Error;

use crate::issuer::{InvalidIssuer, Issuer};
use crate::refusal::TokenRefusal;
use crate::secret::Secret;
use crate::token::IdToken;
use crate::verify::IdTokenExpectations;
use crate::verify::Verified;
use crate::verify::Verifier;

mod keys;
mod metadata;

pub use metadata::{OtherMembers, WholeProviderMetadata};

/// The types of `openidconnect` cannot hold a value of this crate.
#[derive(Debug, Error)]
#[error("the crate `openidconnect` cannot hold the {what}: {source}")]
pub struct Unrepresentable {
    /// The value.
    what: &'static str,
    /// The reason.
    source: serde_json::Error,
}

impl Verifier {
    /// Verifies an ID token that `openidconnect` has parsed, as [`Verifier::id_token`] does: from its
    /// text, with this crate's rules (OpenID Connect Core 1.0 §3.1.3.7). What `openidconnect` found out
    /// about the token does not count.
    ///
    /// # Errors
    ///
    /// As [`Verifier::id_token`].
    pub async fn openidconnect_id_token<AC, GC, JE, JS>(
        &self,
        token: &openidconnect::IdToken<AC, GC, JE, JS>,
        expected: &IdTokenExpectations,
    ) -> Result<Verified<IdToken>, TokenRefusal>
    where
        AC: AdditionalClaims,
        GC: GenderClaim,
        JE: JweContentEncryptionAlgorithm<KeyType = JS::KeyType>,
        JS: JwsSigningAlgorithm,
    {
        let text = Secret::from(token.to_string());
        self.id_token(text.expose(), expected).await
    }
}

impl Verified<IdToken> {
    /// The claims in the type of `openidconnect`, for code that works with that. The result is a plain
    /// value that anything can change: it proves no verification.
    ///
    /// # Errors
    ///
    /// [`Unrepresentable`] when a claim has another form there, such as a fraction in `exp`.
    pub fn to_openidconnect<AC, GC>(&self) -> Result<IdTokenClaims<AC, GC>, Unrepresentable>
    where
        AC: AdditionalClaims,
        GC: GenderClaim,
    {
        serde_json::from_value(Value::Object(self.to_map()))
            .map_err(|source| Unrepresentable { what: "claims of the ID token", source })
    }
}

/// Checks the form of the identifier, which this crate compares byte for byte.
impl TryFrom<&IssuerUrl> for Issuer {
    type Error = InvalidIssuer;

    fn try_from(url: &IssuerUrl) -> Result<Self, InvalidIssuer> {
        url.as_str().parse()
    }
}

impl From<&Nonce> for Secret {
    fn from(nonce: &Nonce) -> Self {
        Self::from(nonce.secret().as_str())
    }
}
