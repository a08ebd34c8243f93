//! Sealing: authenticated encryption of data that leaves the process, with keys that rotate.
//!
//! One secret yields one key per [`Purpose`] (HKDF-SHA256, RFC 5869); values are sealed with AES-256-GCM-SIV (RFC 8452) under a
//! random nonce. Purpose and name are authenticated with the value, so that a value moved to another cookie or another table
//! key does not open. Opening an invalid value returns [`None`], never an error, because the value came from outside.

use std::fmt;

use arc_swap::ArcSwap;
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::{elliptic_curve::sec1::ToEncodedPoint as _, pkcs8::EncodePrivateKey as _};
use zeroize::Zeroizing;

use crate::digest::sha256;

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const TAG_LEN: usize = 16;
const HEAD_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// The fewest bytes a session key may have.
const SECRET_LEN: usize = 32;

/// Purposes of sealed values. A value sealed for one purpose does not open for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A session in a cookie.
    Ticket,
    /// A session in a file.
    Record,
    /// A login in progress.
    Login,
    /// Hidden fields of the gateway's own forms.
    Form,
    /// An API key's record, or its owner's.
    ApiKey,
}

impl Purpose {
    const ALL: [Self; 5] = [Self::Ticket, Self::Record, Self::Login, Self::Form, Self::ApiKey];

    fn label(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Record => "record",
            Self::Login => "login",
            Self::Form => "form",
            Self::ApiKey => "api key",
        }
    }
}

/// Reasons session keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// No secret was given.
    #[error("missing session key; make one with `head -c 32 /dev/urandom | base64 > session-key`")]
    None,
    /// A secret is too short to resist guessing.
    #[error(
        "invalid session key {position}: {len} bytes, fewer than {SECRET_LEN}; make one with `head -c 32 /dev/urandom | base64 > session-key`"
    )]
    TooShort {
        /// number of the key, from 1
        position: usize,
        /// its length in bytes
        len: usize,
    },
    /// The same secret occurs twice, so that nothing is rotated.
    #[error("invalid session key {position}: it is the same as an earlier one; remove it")]
    Repeated {
        /// number of the key, from 1
        position: usize,
    },
    /// The cryptographic library refused the key.
    #[error("invalid session key {position}: the cryptographic library refused it")]
    Unusable {
        /// number of the key, from 1
        position: usize,
    },
}

/// The cryptographic library could not seal (it found no randomness).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealing failed")]
pub struct SealError;

/// The session keys: the first seals, all of them open.
pub struct Keys {
    ring: ArcSwap<Vec<SessionKey>>,
}

impl Keys {
    /// Keys from one or several secrets of at least 32 bytes. To rotate, put a new one first and drop the last one when the
    /// longest session has ended.
    pub fn new<S: AsRef<[u8]>>(secrets: &[S]) -> Result<Self, KeysError> {
        Ok(Self { ring: ArcSwap::from_pointee(ring(secrets)?) })
    }

    /// Replaces the secrets; on an error the old ones stay.
    pub fn replace<S: AsRef<[u8]>>(&self, secrets: &[S]) -> Result<(), KeysError> {
        self.adopt(Self::new(secrets)?);
        Ok(())
    }

    /// Takes the place of the secrets with others that were made before, which cannot fail.
    pub fn adopt(&self, keys: Self) {
        self.ring.store(keys.ring.into_inner());
    }

    /// Seals a value as text (base64url) for one purpose and one name, such as the cookie's.
    pub fn seal(
        &self,
        purpose: Purpose,
        name: &str,
        plaintext: &[u8],
    ) -> Result<String, SealError> {
        Ok(URL_SAFE_NO_PAD.encode(self.seal_bytes(purpose, name.as_bytes(), plaintext)?))
    }

    /// The value that [`seal`](Self::seal) sealed for this purpose and name, under any of the keys.
    pub fn open(&self, purpose: Purpose, name: &str, sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
        self.open_bytes(purpose, name.as_bytes(), &URL_SAFE_NO_PAD.decode(sealed).ok()?)
    }

    /// Seals a value as bytes.
    pub fn seal_bytes(
        &self,
        purpose: Purpose,
        name: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let ring = self.ring.load();
        let key = ring.first().ok_or(SealError)?;
        let mut body = Zeroizing::new(Vec::with_capacity(plaintext.len() + TAG_LEN));
        body.extend_from_slice(plaintext);
        let aad = Aad::from(associated(&key.id, purpose, name));
        let nonce =
            key.aead(purpose).seal_in_place_append_tag(aad, &mut *body).map_err(|_| SealError)?;
        let mut sealed = Vec::with_capacity(HEAD_LEN + body.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// The value that [`seal_bytes`](Self::seal_bytes) sealed.
    pub fn open_bytes(
        &self,
        purpose: Purpose,
        name: &[u8],
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let (version, rest) = sealed.split_first()?;
        let (id, rest) = rest.split_first_chunk::<KEY_ID_LEN>()?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        if *version != VERSION || body.len() < TAG_LEN {
            return None;
        }
        let ring = self.ring.load();
        let key = ring.iter().find(|key| key.id == *id)?;
        let mut body = Zeroizing::new(body.to_vec());
        let aad = Aad::from(associated(id, purpose, name));
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let len = key.aead(purpose).open_in_place(nonce, aad, &mut body).ok()?.len();
        body.truncate(len);
        Some(body)
    }

    /// Whether the first of the keys sealed these bytes. Others are sealed again before their key goes.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        let ring = self.ring.load();
        let id = sealed.get(1..=KEY_ID_LEN);
        ring.first().is_some_and(|first| id == Some(first.id.as_slice()))
    }

    /// Whether a text has the form of a sealed value, but of none of these keys: another gateway sealed it, or a key that is gone.
    pub fn is_foreign(&self, sealed: &str) -> bool {
        let Ok(sealed) = URL_SAFE_NO_PAD.decode(sealed) else { return false };
        let [VERSION, rest @ ..] = sealed.as_slice() else { return false };
        let Some((id, _)) = rest.split_first_chunk::<KEY_ID_LEN>() else { return false };
        sealed.len() >= HEAD_LEN + TAG_LEN && !self.ring.load().iter().any(|key| key.id == *id)
    }

    /// A secret for one use, of the first session key. Gateways that share the session keys derive the same one.
    ///
    /// # Errors
    ///
    /// There is no key.
    pub fn derive_secret(&self, label: &str) -> Result<Zeroizing<[u8; 32]>, KeysError> {
        let ring = self.ring.load();
        let key = ring.first().ok_or(KeysError::None)?;
        let mut secret = Zeroizing::new([0; 32]);
        expand(&key.prk, &[b"secret ", label.as_bytes()], &mut *secret)
            .ok_or(KeysError::Unusable { position: 1 })?;
        Ok(secret)
    }

    /// Signing keys for ES256 (RFC 7518 §3.4), one per secret in the same order: the first signs, all are published.
    /// Gateways that share the session keys derive the same ones.
    pub fn derive_p256(&self, label: &str) -> Result<Vec<P256Key>, KeysError> {
        let ring = self.ring.load();
        let derived = ring.iter().enumerate().map(|(index, key)| {
            P256Key::derive(&key.prk, label).ok_or(KeysError::Unusable { position: index + 1 })
        });
        derived.collect()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("count", &self.ring.load().len()).finish()
    }
}

fn ring<S: AsRef<[u8]>>(secrets: &[S]) -> Result<Vec<SessionKey>, KeysError> {
    if secrets.is_empty() {
        return Err(KeysError::None);
    }
    let mut keys: Vec<SessionKey> = Vec::with_capacity(secrets.len());
    for (index, secret) in secrets.iter().enumerate() {
        let (secret, position) = (secret.as_ref(), index + 1);
        if secret.len() < SECRET_LEN {
            return Err(KeysError::TooShort { position, len: secret.len() });
        }
        let key = SessionKey::derive(secret).ok_or(KeysError::Unusable { position })?;
        if keys.iter().any(|earlier| earlier.id == key.id) {
            return Err(KeysError::Repeated { position });
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The keys derived from one secret.
struct SessionKey {
    /// Identifies the key that sealed a value; reveals nothing about the key.
    id: [u8; KEY_ID_LEN],
    prk: hkdf::Prk,
    ticket: RandomizedNonceKey,
    record: RandomizedNonceKey,
    login: RandomizedNonceKey,
    form: RandomizedNonceKey,
    api_key: RandomizedNonceKey,
}

impl SessionKey {
    fn derive(secret: &[u8]) -> Option<Self> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"doorward session key").extract(secret);
        let mut id = [0; KEY_ID_LEN];
        expand(&prk, &[b"key id"], &mut id)?;
        let [ticket, record, login, form, api_key] = Purpose::ALL.map(|purpose| {
            let mut key = Zeroizing::new([0; 32]);
            expand(&prk, &[b"seal ", purpose.label().as_bytes()], &mut *key)?;
            RandomizedNonceKey::new(&AES_256_GCM_SIV, &*key).ok()
        });
        let (ticket, record, login) = (ticket?, record?, login?);
        let (form, api_key) = (form?, api_key?);
        Some(Self { id, prk, ticket, record, login, form, api_key })
    }

    fn aead(&self, purpose: Purpose) -> &RandomizedNonceKey {
        match purpose {
            Purpose::Ticket => &self.ticket,
            Purpose::Record => &self.record,
            Purpose::Login => &self.login,
            Purpose::Form => &self.form,
            Purpose::ApiKey => &self.api_key,
        }
    }
}

/// Data that is authenticated beside the value. Lengths come first, so that no two pairs of purpose and name give the same
/// data.
fn associated(id: &[u8; KEY_ID_LEN], purpose: Purpose, name: &[u8]) -> Vec<u8> {
    let label = purpose.label().as_bytes();
    let mut aad = Vec::with_capacity(1 + KEY_ID_LEN + 8 + label.len() + name.len());
    aad.push(VERSION);
    aad.extend_from_slice(id);
    aad.extend_from_slice(&(label.len() as u64).to_be_bytes());
    aad.extend_from_slice(label);
    aad.extend_from_slice(name);
    aad
}

/// HKDF-Expand into `out`.
fn expand(prk: &hkdf::Prk, info: &[&[u8]], out: &mut [u8]) -> Option<()> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    prk.expand(info, Length(out.len())).ok()?.fill(out).ok()
}

/// A key that signs ES256, with the members of its JWK (RFC 7517).
pub struct P256Key {
    pkcs8_der: Zeroizing<Vec<u8>>,
    x: String,
    y: String,
    thumbprint: String,
}

impl P256Key {
    fn derive(prk: &hkdf::Prk, label: &str) -> Option<Self> {
        // One try in 2³² gives a number outside the group's order; the next counter is then used.
        let secret = (0..=u8::MAX).find_map(|counter| {
            let mut seed = Zeroizing::new([0; 32]);
            expand(prk, &[b"p256 ", label.as_bytes(), &[0, counter]], &mut *seed)?;
            p256::SecretKey::from_slice(&*seed).ok()
        })?;
        let point = secret.public_key().to_encoded_point(false);
        let (x, y) = (URL_SAFE_NO_PAD.encode(point.x()?), URL_SAFE_NO_PAD.encode(point.y()?));
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let thumbprint = URL_SAFE_NO_PAD.encode(sha256(members.as_bytes()));
        let der = secret.to_pkcs8_der().ok()?;
        Some(Self { pkcs8_der: Zeroizing::new(der.as_bytes().to_vec()), x, y, thumbprint })
    }

    /// The private key (PKCS#8, DER).
    pub fn pkcs8_der(&self) -> &[u8] {
        &self.pkcs8_der
    }

    /// JWK member `x` (RFC 7518 §6.2.1.2).
    pub fn x(&self) -> &str {
        &self.x
    }

    /// JWK member `y` (RFC 7518 §6.2.1.3).
    pub fn y(&self) -> &str {
        &self.y
    }

    /// JWK thumbprint (RFC 7638), used as `kid`.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }
}

impl fmt::Debug for P256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("P256Key").field("thumbprint", &self.thumbprint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
