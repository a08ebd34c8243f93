//! Errors of a login, from its first request to its ID token.

use thiserror::Error;

use crate::client::{ClientAuthError, DeviceError, TokenEndpointError};
use crate::provider::{IssuerMisconfigured, ProviderError};
use crate::refusal::TokenRefusal;

/// Reason a login could not begin or finish.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The provider cannot be used, now or before a configuration is corrected.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The provider has no such endpoint.
    #[error("the provider's metadata has no {endpoint}")]
    NotSupported {
        /// The metadata member that is absent.
        endpoint: &'static str,
    },
    /// The request could not be signed (RFC 9101).
    #[error("the login request could not be signed: {0}")]
    RequestObject(#[source] ClientAuthError),
    /// The pushed request was refused (RFC 9126 §2.3).
    #[error("the login could not be announced to the provider: {0}")]
    PushedAuthorization(#[source] TokenEndpointError),
    /// The device authorization failed (RFC 8628 §3.5).
    #[error(transparent)]
    Device(DeviceError),
    /// The code was not exchanged.
    #[error("the code could not be exchanged: {0}")]
    Token(#[source] TokenEndpointError),
    /// The answer holds no ID token; the scope `openid` was not granted.
    #[error("the provider's answer holds no ID token; allow the scope openid for this client")]
    NoIdToken,
    /// The ID token is refused.
    #[error("the ID token is refused: {0}")]
    IdToken(#[source] TokenRefusal),
}

impl LoginError {
    /// The mistake in a configuration that causes it, if trying again does not help.
    pub fn mistake(&self) -> Option<&IssuerMisconfigured> {
        match self {
            Self::Provider(ProviderError::Misconfigured(mistake)) => Some(mistake),
            Self::PushedAuthorization(TokenEndpointError::Misconfigured(mistake))
            | Self::Token(TokenEndpointError::Misconfigured(mistake)) => Some(mistake),
            Self::IdToken(refusal) => refusal.mistake(),
            _ => None,
        }
    }

    /// Whether a new attempt may succeed later without a change on either side.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Provider(error) => error.is_temporary(),
            Self::PushedAuthorization(error) | Self::Token(error) => error.is_temporary(),
            Self::RequestObject(error) => error.is_temporary(),
            Self::Device(DeviceError::Endpoint(error)) => error.is_temporary(),
            Self::IdToken(refusal) => refusal.is_unavailable() && refusal.mistake().is_none(),
            Self::Device(_) | Self::NotSupported { .. } | Self::NoIdToken => false,
        }
    }
}
