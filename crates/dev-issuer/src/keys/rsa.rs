//! RSA keys of 2048 bits. Generating one takes a tenth of a second or more, so the next provider of this
//! process reuses the key of a dropped provider, under another `kid`.
//!
//! Two providers never use the same key at the same time.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};

use crate::keys::{KeyError, pem};
use crate::shared::Shared;

const MOST_UNUSED: usize = 8;

pub(super) struct RsaKey {
    pub(super) signs: EncodingKey,
    pub(super) verifies: DecodingKey,
    pub(super) public_pem: String,
    /// `n`
    pub(super) modulus: String,
    /// `e`
    pub(super) exponent: String,
}

static UNUSED: LazyLock<Shared<Vec<Arc<RsaKey>>>> = LazyLock::new(Shared::default);

impl RsaKey {
    /// An unused key. Slow if it must be generated.
    pub(super) fn obtain() -> Result<Arc<Self>, KeyError> {
        let unused = UNUSED.lock().pop();
        unused.map_or_else(|| Self::generate().map(Arc::new), Ok)
    }

    /// Makes the key available to the next provider.
    pub(super) fn reuse_later(self: Arc<Self>) {
        let mut unused = UNUSED.lock();
        if unused.len() < MOST_UNUSED {
            unused.push(self);
        }
    }

    fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(KeyError::Generation)?;
        let private = pair.as_der().map_err(KeyError::Generation)?;
        let public = pair.public_key();
        let public_der = public.as_der().map_err(KeyError::Generation)?;
        let modulus = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let exponent = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        let private_pem = pem("PRIVATE KEY", private.as_ref());
        Ok(Self {
            signs: EncodingKey::from_rsa_pem(private_pem.as_bytes()).map_err(KeyError::Encoding)?,
            verifies: DecodingKey::from_rsa_components(&modulus, &exponent)
                .map_err(KeyError::Encoding)?,
            public_pem: pem("PUBLIC KEY", public_der.as_ref()),
            modulus,
            exponent,
        })
    }
}
