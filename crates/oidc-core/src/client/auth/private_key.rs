//! The key of `private_key_jwt` (OpenID Connect Core 1.0 §9, RFC 7523 §2.2): from PEM, from a
//! private JWK, or from a file with either that is read again when it changes.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::{ClientAuthError, Occasion, assertion, file};
use crate::jose::{InvalidPrivateKey, SigningKey};
use crate::secret::Secret;
use crate::token::{Algorithm, thumbprint};

/// The key of `private_key_jwt`. `aud` of its assertions is the issuer identifier, nothing else, unless
/// [`PrivateKeyJwt::with_audience`] says otherwise.
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
pub struct PrivateKeyJwt {
    place: Place,
    audience: Option<Arc<str>>,
    x5t_s256: Option<Arc<str>>,
}

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
        Ok(Self::at(Place::Value(NamedKey { key, key_id })))
    }

    /// Reads a private JWK (RFC 7517): `RSA`, `EC` or `OKP`. `alg` and `kid` are the JWK's; without
    /// `alg` its kind decides: RS256, ES256, ES384, ES512 or EdDSA.
    ///
    /// # Errors
    /// If it is not a JWK, or only a public one.
    pub fn from_jwk(jwk: &Secret) -> Result<Self, InvalidPrivateKey> {
        let (key, key_id) = SigningKey::from_jwk(jwk)?;
        Ok(Self::at(Place::Value(NamedKey { key, key_id })))
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
        Ok(Self::at(Place::File(Arc::new(KeyFile { path, algorithm, key_id, last }))))
    }

    fn at(place: Place) -> Self {
        Self { place, audience: None, x5t_s256: None }
    }

    /// Sets `aud` of assertions, where the provider wants another than its issuer identifier: Microsoft Entra and Okta want the
    /// token endpoint's URL (RFC 7523 §3). The issuer identifier is the safer one: an assertion for a URL could be used by
    /// another server that answers there.
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into().into());
        self
    }

    /// Names the key by its certificate, in DER: the header `x5t#S256` (RFC 7515 §4.1.8), which Microsoft Entra wants. A `kid`
    /// is sent besides.
    #[must_use]
    pub fn with_certificate_thumbprint(mut self, certificate: &[u8]) -> Self {
        self.x5t_s256 = Some(thumbprint(certificate).into());
        self
    }

    pub(super) async fn assertion(
        &self,
        occasion: Occasion<'_>,
    ) -> Result<Secret, ClientAuthError> {
        let mut claims = assertion::claims(occasion);
        if let (Some(claims), Some(audience)) = (claims.as_object_mut(), &self.audience) {
            claims.insert("aud".to_owned(), json!(&**audience));
        }
        self.sign("JWT", &claims).await
    }

    /// Signs a JWT with this `typ`, with the current key.
    pub(crate) async fn sign(&self, typ: &str, claims: &Value) -> Result<Secret, ClientAuthError> {
        let NamedKey { key, key_id } = match &self.place {
            Place::Value(key) => key.clone(),
            Place::File(file) => file.key().await?,
        };
        let mut header = json!({"alg": key.algorithm().as_str(), "typ": typ});
        let names = [("kid", key_id.as_deref()), ("x5t#S256", self.x5t_s256.as_deref())];
        for (name, value) in names {
            if let (Some(header), Some(value)) = (header.as_object_mut(), value) {
                header.insert(name.to_owned(), json!(value));
            }
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
        match &self.place {
            Place::Value(key) => write!(f, "PrivateKeyJwt({key:?})"),
            Place::File(file) => write!(f, "PrivateKeyJwt({})", file.path.display()),
        }
    }
}
