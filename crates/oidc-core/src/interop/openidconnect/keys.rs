//! Keys of `openidconnect` (RFC 7517).

use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet};

use crate::keys::{InvalidJwkSet, JwkSet};

impl JwkSet {
    /// Reads keys of `openidconnect` with the checks of [`JwkSet::parse`].
    ///
    /// `openidconnect` forgets `key_ops` and `x5c` of a key, and every key whose kind it does not know.
    /// Read the provider's own document where you can: [`RemoteKeys`](crate::keys::RemoteKeys).
    ///
    /// # Errors
    ///
    /// As [`JwkSet::parse`].
    pub fn from_openidconnect(keys: &CoreJsonWebKeySet) -> Result<Self, InvalidJwkSet> {
        let document = serde_json::to_vec(keys)
            .map_err(|error| InvalidJwkSet::Malformed { reason: error.to_string() })?;
        Self::parse(&document)
    }

    /// The usable keys for a verifier of `openidconnect`. They are the keys of now, and do not follow a
    /// rotation.
    pub fn to_openidconnect(&self) -> CoreJsonWebKeySet {
        let known = |jwk| serde_json::from_value::<CoreJsonWebKey>(jwk).ok();
        let keys = self.to_jwks().filter_map(|jwk| known(jwk.into())).collect();
        CoreJsonWebKeySet::new(keys)
    }
}
