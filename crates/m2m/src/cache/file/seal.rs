//! Encryption of entries, so that a copied file reveals no token: AES-256-GCM under a key of
//! HKDF-SHA-256 (RFC 5869), bound to the entry's name.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oidc_core::Secret;

use super::{FileCacheError, ShortSealingKey};
use crate::cache_key::CacheKey;

/// Prefix of every sealed entry: its format and version.
const MAGIC: &str = "doorward-m2m-1.";
const PURPOSE: &[u8] = b"doorward m2m file cache 1";
const SHORTEST: usize = 32;

/// AES-256-GCM with random nonces: safe for 2^32 entries under one key, a hundred years of one a second.
pub(super) struct Seal(RandomizedNonceKey);

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

impl Seal {
    pub(super) fn new(key: &Secret) -> Result<Self, ShortSealingKey> {
        let key = key.expose().as_bytes();
        let too_short = ShortSealingKey { octets: key.len() };
        if key.len() < SHORTEST {
            return Err(too_short);
        }
        let mut derived = [0; 32];
        Salt::new(HKDF_SHA256, &[])
            .extract(key)
            .expand(&[PURPOSE], KeyLength)
            .and_then(|okm| okm.fill(&mut derived))
            .and_then(|()| RandomizedNonceKey::new(&AES_256_GCM, &derived))
            .map(Self)
            // Not reached: these calls fail only for wrong lengths, and the lengths are constant.
            .map_err(|_| too_short)
    }

    pub(super) fn close(&self, plain: &Secret, name: &CacheKey) -> Result<Secret, FileCacheError> {
        let mut octets = plain.expose().as_bytes().to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(bound_to(name)), &mut octets)
            .map_err(|_| FileCacheError::Sealed)?;
        let sealed = [nonce.as_ref().as_slice(), &octets].concat();
        Ok(Secret::from(format!("{MAGIC}{}", URL_SAFE_NO_PAD.encode(sealed))))
    }

    pub(super) fn open(&self, text: &Secret, name: &CacheKey) -> Result<Secret, FileCacheError> {
        let sealed = text.expose().strip_prefix(MAGIC).ok_or(FileCacheError::Foreign)?;
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| FileCacheError::Malformed)?;
        let (nonce, sealed) =
            sealed.split_first_chunk::<NONCE_LEN>().ok_or(FileCacheError::Malformed)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(bound_to(name)), &mut sealed)
            .map_err(|_| FileCacheError::Sealed)?;
        let plain = std::str::from_utf8(plain).map_err(|_| FileCacheError::Malformed)?;
        Ok(Secret::from(plain))
    }
}

fn bound_to(name: &CacheKey) -> String {
    format!("{MAGIC}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: &str) -> Seal {
        Seal::new(&Secret::from(key)).unwrap()
    }

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn only_the_key_and_the_name_open_what_was_sealed() {
        let (name, other) = (CacheKey::of([("a", "b")]), CacheKey::of([("a", "c")]));
        let sealed = seal(KEY).close(&"token".into(), &name).unwrap();
        assert!(!sealed.expose().contains("token"));
        assert!(seal(KEY).open(&sealed, &name).unwrap().matches("token"));
        assert!(matches!(seal(KEY).open(&sealed, &other), Err(FileCacheError::Sealed)));
        let other_key = seal("another key of thirty-two octets!");
        assert!(matches!(other_key.open(&sealed, &name), Err(FileCacheError::Sealed)));
    }

    #[test]
    fn what_was_altered_or_cut_does_not_open() {
        let name = CacheKey::of([("a", "b")]);
        let sealed = seal(KEY).close(&"token".into(), &name).unwrap().expose().to_owned();
        for at in 0..sealed.len() {
            let mut altered = sealed.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = Secret::from(String::from_utf8(altered).unwrap());
            assert!(seal(KEY).open(&altered, &name).is_err(), "character {at}");
            assert!(seal(KEY).open(&sealed[..at].into(), &name).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        assert_eq!(Seal::new(&Secret::from("hunter2")).err(), Some(ShortSealingKey { octets: 7 }));
    }
}
