//! Session keys, and the key of assertions that is derived from them: at the start, and when a reload changes them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use oidc_core::Secret;
use rand::RngExt as _;
use web_sessions::Keys;

use super::{AssembleError, Before, Lasting, at};
use crate::{
    config::{Config, SecretRef},
    forward::Signer,
};

/// Session keys and name of a new configuration that are not in use yet.
pub(super) struct Rotation {
    /// The session keys, if they have changed.
    pub(super) keys: Option<Keys>,
    signer: Signer,
}

impl Rotation {
    /// Reads the keys; `None` when neither they nor the gateway's name have changed.
    pub(super) fn prepare(
        config: &Config,
        lasting: &Lasting,
        before: Before<'_>,
    ) -> Result<Option<Self>, AssembleError> {
        let same = config.session.key == before.config.session.key
            && before.has_same(config.session_key_files());
        // A gateway without browser logins keeps the random key of its process.
        let keys = match same || config.session.key.is_empty() {
            true => None,
            false => {
                let secrets = session_secrets(config)?;
                Some(Keys::new(&octets(&secrets)).map_err(at("session.key"))?)
            }
        };
        if keys.is_none() && config.public_url == before.config.public_url {
            return Ok(None);
        }
        let signer = signer(config, keys.as_ref().unwrap_or(&lasting.keys))?;
        Ok(Some(Self { keys, signer }))
    }

    /// Puts them in use: the first key seals from now on, all of them open.
    pub(super) fn apply(self, lasting: &Lasting) {
        if let Some(keys) = self.keys {
            lasting.keys.adopt(keys);
        }
        lasting.assertions.replace(self.signer);
    }
}

pub(super) fn signer(config: &Config, keys: &Keys) -> Result<Signer, AssembleError> {
    let signing = keys.derive_p256("assertion").map_err(at("session.key"))?;
    Signer::new(&config.public_url, &signing).map_err(at("session.key"))
}

pub(super) fn session_secrets(config: &Config) -> Result<Vec<Secret>, AssembleError> {
    if config.session.key.is_empty() {
        let random: [u8; 32] = rand::rng().random();
        return Ok(vec![Secret::from(URL_SAFE_NO_PAD.encode(random))]);
    }
    let read = config.session.key.iter().map(SecretRef::read);
    read.collect::<Result<Vec<_>, _>>().map_err(at("session.key"))
}

pub(super) fn octets(secrets: &[Secret]) -> Vec<&[u8]> {
    secrets.iter().map(|secret| secret.expose().as_bytes()).collect()
}
