//! Provider metadata of `openidconnect`, with every member of the document.

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreResponseMode, CoreResponseType, CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, ProviderMetadata as TheirMetadata};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Unrepresentable;
use crate::issuer::Issuer;
use crate::keys::JwkSet;
use crate::provider::{DiscoveryError, ProviderMetadata};

/// The members of the document that `openidconnect` has no field for: endpoints for revocation, pushed
/// requests and logout, and what the provider promises, such as RFC 9207.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct OtherMembers {
    /// Names and values.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl AdditionalProviderMetadata for OtherMembers {}

/// `CoreProviderMetadata` of `openidconnect` that loses no member of the document.
///
/// Only this type becomes [`ProviderMetadata`]: `CoreProviderMetadata` itself forgets, for instance,
/// that the provider names itself in its answers (RFC 9207), and the check of it would not be made.
pub type WholeProviderMetadata = CoreMetadata<OtherMembers>;

/// Metadata with the types of `openidconnect::core`.
type CoreMetadata<A> = TheirMetadata<
    A,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

impl ProviderMetadata {
    /// Reads metadata that `openidconnect` discovered, with the checks of [`ProviderMetadata::parse`]:
    /// it must be `issuer`'s, byte for byte (OpenID Connect Discovery 1.0 §4.3), and every endpoint
    /// must use TLS.
    ///
    /// The keys in it are not used. They do not follow a rotation;
    /// [`RemoteKeys`](crate::keys::RemoteKeys) does, with
    /// [`Provider::with_metadata`](crate::provider::Provider::with_metadata).
    ///
    /// # Errors
    ///
    /// As [`ProviderMetadata::parse`].
    pub fn from_openidconnect(
        issuer: &Issuer,
        metadata: &WholeProviderMetadata,
    ) -> Result<Self, DiscoveryError> {
        let document = serde_json::to_vec(metadata)
            .map_err(|error| DiscoveryError::Invalid { reason: error.to_string() })?;
        Self::parse(issuer, &document)
    }

    /// This metadata with `keys`, for a client of `openidconnect`
    /// (`CoreClient::from_provider_metadata`). `A` is its type for further members:
    /// `EmptyAdditionalProviderMetadata` for `CoreProviderMetadata`.
    ///
    /// # Errors
    ///
    /// [`Unrepresentable`] when a member is absent that `openidconnect` requires: the authorization
    /// endpoint, or one of the lists of response types, subject types and ID token algorithms.
    pub fn to_openidconnect<A: AdditionalProviderMetadata>(
        &self,
        keys: &JwkSet,
    ) -> Result<CoreMetadata<A>, Unrepresentable> {
        let metadata = self
            .document()
            .and_then(serde_json::from_value::<CoreMetadata<A>>)
            .map_err(|source| Unrepresentable { what: "provider metadata", source })?;
        Ok(metadata.set_jwks(keys.to_openidconnect()))
    }

    /// The document without the members that the provider did not send.
    fn document(&self) -> Result<Value, serde_json::Error> {
        let mut document = serde_json::to_value(self)?;
        if let Some(members) = document.as_object_mut() {
            members.retain(|_, value| match value {
                Value::Null => false,
                Value::Array(values) => !values.is_empty(),
                _ => true,
            });
        }
        Ok(document)
    }
}
