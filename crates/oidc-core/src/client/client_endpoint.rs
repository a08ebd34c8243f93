//! The endpoints that authenticate the client in the same way, and their addresses.

use url::Url;

use super::TokenEndpointError;
use crate::provider::ProviderMetadata;

/// The provider's endpoints that require client authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientEndpoint {
    Token,
    Revocation,
    #[cfg_attr(not(feature = "login"), expect(dead_code, reason = "for logins only"))]
    PushedAuthorization,
    Introspection,
    SignedIntrospection,
    DeviceAuthorization,
}

impl ClientEndpoint {
    /// The endpoint at `url`, among those that the crate `oauth2` posts to.
    #[cfg(feature = "oauth2")]
    pub(crate) fn at(url: &Url, metadata: &ProviderMetadata) -> Option<Self> {
        let posted_to =
            [Self::Token, Self::Revocation, Self::Introspection, Self::DeviceAuthorization];
        posted_to.into_iter().find(|endpoint| {
            [false, true]
                .iter()
                .any(|alias| endpoint.url(metadata, *alias).is_ok_and(|own| own == url))
        })
    }

    /// The media type requested (RFC 9701 §4).
    pub(super) fn accepts(self) -> &'static str {
        match self {
            Self::SignedIntrospection => "application/token-introspection+jwt",
            _ => "application/json",
        }
    }

    /// The endpoint's URL; for a client with a certificate from the provider's aliases
    /// (RFC 8705 §5).
    pub(super) fn url(
        self,
        metadata: &ProviderMetadata,
        by_certificate: bool,
    ) -> Result<&Url, TokenEndpointError> {
        let aliases = &metadata.mtls_endpoint_aliases;
        let (endpoint, usual, alias) = match self {
            Self::Token => ("token_endpoint", &metadata.token_endpoint, &aliases.token_endpoint),
            Self::Revocation => {
                ("revocation_endpoint", &metadata.revocation_endpoint, &aliases.revocation_endpoint)
            }
            Self::PushedAuthorization => (
                "pushed_authorization_request_endpoint",
                &metadata.pushed_authorization_request_endpoint,
                &aliases.pushed_authorization_request_endpoint,
            ),
            Self::Introspection | Self::SignedIntrospection => (
                "introspection_endpoint",
                &metadata.introspection_endpoint,
                &aliases.introspection_endpoint,
            ),
            Self::DeviceAuthorization => (
                "device_authorization_endpoint",
                &metadata.device_authorization_endpoint,
                &aliases.device_authorization_endpoint,
            ),
        };
        let alias = alias.as_ref().filter(|_| by_certificate);
        alias.or(usual.as_ref()).ok_or(TokenEndpointError::NotSupported { endpoint })
    }
}
