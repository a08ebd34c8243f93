//! How a client proves itself at the token endpoint (RFC 6749 §2.3, RFC 7523, OpenID Connect Core
//! 1.0 §9).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde_json::json;

use crate::algorithm::Algorithm;
use crate::issuer::Issuer;
use crate::jose::{InvalidPrivateKey, SigningKey};
use crate::secret::Secret;
use crate::token::Form;

/// How long a client assertion is good for.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a client proves itself.
///
/// ```
/// use oidc_core::{ClientAuth, Secret};
/// let auth = ClientAuth::SecretBasic(Secret::from("hunter2"));
/// assert_eq!(format!("{auth:?}"), "SecretBasic(Secret(..))");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientAuth {
    /// A public client: only its id is sent.
    None,
    /// `client_secret_basic`: id and secret in the `Authorization` header.
    SecretBasic(Secret),
    /// `client_secret_post`: id and secret in the body.
    SecretPost(Secret),
    /// `private_key_jwt`: a fresh signed assertion for each request. Nothing secret is sent.
    PrivateKeyJwt(PrivateKeyJwt),
    /// An assertion that somebody else made, such as a platform's workload identity (RFC 7523 §2.2).
    Assertion(Secret),
}

/// The key of `private_key_jwt`. `aud` of its assertions is the issuer identifier, nothing else.
#[derive(Clone, Debug)]
pub struct PrivateKeyJwt {
    key: SigningKey,
    key_id: Option<String>,
}

impl PrivateKeyJwt {
    /// Reads a private key in PEM (PKCS#8); `key_id` is its `kid` at the provider, if it has one.
    pub fn from_pem(
        pem: &Secret,
        algorithm: Algorithm,
        key_id: Option<String>,
    ) -> Result<Self, InvalidPrivateKey> {
        Ok(Self { key: SigningKey::from_pem(pem, algorithm)?, key_id })
    }

    fn assertion(
        &self,
        client_id: &str,
        issuer: &Issuer,
        now: SystemTime,
    ) -> Result<Secret, InvalidPrivateKey> {
        let mut header = json!({"alg": self.key.algorithm().as_str(), "typ": "JWT"});
        if let (Some(header), Some(kid)) = (header.as_object_mut(), &self.key_id) {
            header.insert("kid".to_owned(), json!(kid));
        }
        let seconds =
            |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": issuer.as_str(),
            "jti": random_text(),
            "iat": seconds(now),
            "exp": seconds(now + ASSERTION_LIFETIME),
        });
        self.key.sign(&header, &claims)
    }
}

/// 128 random bits, base64url.
pub(crate) fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}

impl ClientAuth {
    /// Puts the proof on a form request; returns the `Authorization` header if there is one.
    pub(crate) fn prove(
        &self,
        client_id: &str,
        issuer: &Issuer,
        now: SystemTime,
        form: &mut Form,
    ) -> Result<Option<HeaderValue>, InvalidPrivateKey> {
        if let Self::SecretBasic(secret) = self {
            return Ok(basic(client_id, secret));
        }
        // A pushed authorization request holds it already (RFC 9126 §2.1).
        if !form.iter().any(|(name, _)| name == "client_id") {
            form.push(("client_id".into(), Secret::from(client_id)));
        }
        let assertion = match self {
            Self::None | Self::SecretBasic(_) => return Ok(None),
            Self::SecretPost(secret) => {
                form.push(("client_secret".into(), secret.clone()));
                return Ok(None);
            }
            Self::PrivateKeyJwt(key) => key.assertion(client_id, issuer, now)?,
            Self::Assertion(assertion) => assertion.clone(),
        };
        form.push(("client_assertion_type".into(), Secret::from(JWT_BEARER)));
        form.push(("client_assertion".into(), assertion));
        Ok(None)
    }
}

/// RFC 6749 §2.3.1: both parts are form-encoded before they are joined.
fn basic(client_id: &str, secret: &Secret) -> Option<HeaderValue> {
    let encoded =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Secret::from(format!("{}:{}", encoded(client_id), encoded(secret.expose())));
    let mut value =
        HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair.expose()))).ok()?;
    value.set_sensitive(true);
    Some(value)
}
