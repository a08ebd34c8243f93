//! The key of `private_key_jwt` (OpenID Connect Core 1.0 §9, RFC 7523 §2.2): from PEM, from a
//! private JWK, or from a file with either that is read again when it changes.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::{ClientAuthError, Occasion, assertion, file};
use crate::jose::{InvalidPrivateKey, SigningKey};
use crate::secret::Secret;
use crate::token::Algorithm;

/// The key of `private_key_jwt`. `aud` of its assertions is the issuer identifier, nothing else.
///
/// ```
/// use oidc_core::Secret;
/// use oidc_core::client::PrivateKeyJwt;
/// // RFC 8037 §A.1
/// let jwk = Secret::from(
///     r#"{"kty":"OKP","crv":"Ed25519","kid":"2025-11",
///         "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
///         "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
/// );
/// let key = PrivateKeyJwt::from_jwk(&jwk)?;
/// assert_eq!(format!("{key:?}"), r#"PrivateKeyJwt(EdDSA, kid "2025-11")"#);
/// # Ok::<(), oidc_core::client::InvalidPrivateKey>(())
/// ```
#[derive(Clone)]
pub struct PrivateKeyJwt(Place);

#[derive(Clone)]
enum Place {
    Value(NamedKey),
    File(Arc<KeyFile>),
}

/// A key and its `kid`.
#[derive(Clone)]
struct NamedKey {
    key: SigningKey,
    key_id: Option<String>,
}

/// A file with a key, its last content, and the key read from that.
struct KeyFile {
    path: PathBuf,
    algorithm: Option<Algorithm>,
    key_id: Option<String>,
    last: Mutex<(Secret, NamedKey)>,
}

impl PrivateKeyJwt {
    /// Reads a private key in PEM (PKCS#8, PKCS#1, SEC 1); `key_id` is its `kid` at the provider, if
    /// it has one.
    ///
    /// # Errors
    /// If the PEM has no private key, or `algorithm` needs a key of another kind.
    pub fn from_pem(
        pem: &Secret,
        algorithm: Algorithm,
        key_id: Option<String>,
    ) -> Result<Self, InvalidPrivateKey> {
        let key = SigningKey::from_pem(pem, Some(algorithm))?;
        Ok(Self(Place::Value(NamedKey { key, key_id })))
    }

    /// Reads a private JWK (RFC 7517): `RSA`, `EC` or `OKP`. `alg` and `kid` are the JWK's; without
    /// `alg` its kind decides: RS256, ES256, ES384, ES512 or EdDSA.
    ///
    /// # Errors
    /// If it is not a JWK, or only a public one.
    pub fn from_jwk(jwk: &Secret) -> Result<Self, InvalidPrivateKey> {
        let (key, key_id) = SigningKey::from_jwk(jwk)?;
        Ok(Self(Place::Value(NamedKey { key, key_id })))
    }

    /// A file with a private key in PEM or a private JWK: read now, and again whenever it has
    /// changed.
    ///
    /// `algorithm` and `key_id` are for PEM; a JWK brings its own. Without `algorithm` the key's kind
    /// decides, as in [`PrivateKeyJwt::from_jwk`].
    ///
    /// # Errors
    /// If the file cannot be read, or has no key that can sign.
    pub fn from_file(
        path: impl Into<PathBuf>,
        algorithm: Option<Algorithm>,
        key_id: Option<String>,
    ) -> Result<Self, ClientAuthError> {
        let path = path.into();
        let text = file::read_now(&path)?;
        let key = NamedKey::parse(&text, algorithm, key_id.as_ref())
            .map_err(|source| ClientAuthError::KeyFile { path: path.clone(), source })?;
        let last = Mutex::new((text, key));
        Ok(Self(Place::File(Arc::new(KeyFile { path, algorithm, key_id, last }))))
    }

    pub(super) async fn assertion(
        &self,
        occasion: Occasion<'_>,
    ) -> Result<Secret, ClientAuthError> {
        self.sign("JWT", &assertion::claims(occasion)).await
    }

    /// Signs a JWT with this `typ`, with the current key.
    pub(crate) async fn sign(&self, typ: &str, claims: &Value) -> Result<Secret, ClientAuthError> {
        let NamedKey { key, key_id } = match &self.0 {
            Place::Value(key) => key.clone(),
            Place::File(file) => file.key().await?,
        };
        let mut header = json!({"alg": key.algorithm().as_str(), "typ": typ});
        if let (Some(header), Some(kid)) = (header.as_object_mut(), key_id) {
            header.insert("kid".to_owned(), json!(kid));
        }
        Ok(key.sign(&header, claims)?)
    }
}

impl NamedKey {
    fn parse(
        text: &Secret,
        algorithm: Option<Algorithm>,
        key_id: Option<&String>,
    ) -> Result<Self, InvalidPrivateKey> {
        if text.expose().trim_start().starts_with('{') {
            let (key, key_id) = SigningKey::from_jwk(text)?;
            return Ok(Self { key, key_id });
        }
        let key = SigningKey::from_pem(text, algorithm)?;
        Ok(Self { key, key_id: key_id.cloned() })
    }
}

impl KeyFile {
    /// The key currently in the file.
    async fn key(&self) -> Result<NamedKey, ClientAuthError> {
        // Compared by content: modification times are too coarse, and a mounted secret is replaced
        // by a link to another directory.
        let text = file::read(&self.path).await?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !last.0.matches(text.expose()) {
            let key = NamedKey::parse(&text, self.algorithm, self.key_id.as_ref())
                .map_err(|source| ClientAuthError::KeyFile { path: self.path.clone(), source })?;
            *last = (text, key);
        }
        Ok(last.1.clone())
    }
}

impl fmt::Debug for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key_id {
            Some(kid) => write!(f, "{}, kid {kid:?}", self.key.algorithm()),
            None => write!(f, "{}", self.key.algorithm()),
        }
    }
}

impl fmt::Debug for PrivateKeyJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Value(key) => write!(f, "PrivateKeyJwt({key:?})"),
            Place::File(file) => write!(f, "PrivateKeyJwt({})", file.path.display()),
        }
    }
}
