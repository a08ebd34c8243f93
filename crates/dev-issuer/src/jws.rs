//! Signed tokens in compact form ([RFC 7515 §7.1]). Signing takes any header, so that a test can use a
//! wrong one. Reading accepts only the algorithm that the caller names.
//!
//! [RFC 7515 §7.1]: https://www.rfc-editor.org/rfc/rfc7515#section-7.1

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use serde_json::{Map, Value, json};

use crate::keys::{Keys, SigningKey};

pub(crate) type Claims = Map<String, Value>;

/// Error for a token that is not this provider's. Callers do not report the reason.
#[derive(Debug)]
pub(crate) struct NotOurs;

/// The header of a token that `key` signs, with this `typ` if there is one.
pub(crate) fn header(key: &SigningKey, typ: Option<&str>) -> Claims {
    let mut header = Map::new();
    header.insert("alg".to_owned(), json!(key.algorithm().to_string()));
    if let Some(typ) = typ {
        header.insert("typ".to_owned(), json!(typ));
    }
    header.insert("kid".to_owned(), json!(key.id));
    header
}

pub(crate) fn sign(
    header: &Claims,
    claims: &Claims,
    key: &EncodingKey,
    algorithm: Algorithm,
) -> Result<String, jsonwebtoken::errors::Error> {
    let input = signing_input(header, claims)?;
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), key, algorithm)?;
    Ok(format!("{input}.{signature}"))
}

/// Header and payload, encoded and joined: the input of a signature.
pub(crate) fn signing_input(
    header: &Claims,
    claims: &Claims,
) -> Result<String, jsonwebtoken::errors::Error> {
    let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(header)?);
    let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?);
    Ok(format!("{header}.{claims}"))
}

/// The claims of an access, ID or logout token that one of the published keys signed. Does not check
/// its times.
pub(crate) fn open(token: &str, keys: &Keys) -> Result<Claims, NotOurs> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| NotOurs)?;
    let candidates = match header.kid {
        Some(id) => Vec::from_iter(keys.find(&id)),
        None => keys.published(),
    };
    let mut claims = candidates
        .iter()
        .filter_map(|key| verify(token, key.verifies(), key.algorithm().into()).ok());
    claims.next().ok_or(NotOurs)
}

/// The claims of a refresh token of this provider. Does not check its times.
pub(crate) fn open_refresh(token: &str, keys: &Keys) -> Result<Claims, NotOurs> {
    verify(token, &DecodingKey::from_secret(keys.refresh_secret()), Algorithm::HS512)
}

/// The claims, if the signature is valid. The caller checks times, by the provider's clock, and
/// audience.
pub(crate) fn verify(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
) -> Result<Claims, NotOurs> {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode::<Claims>(token, key, &validation)
        .map(|token| token.claims)
        .map_err(|_| NotOurs)
}

/// True if `exp` is in the future.
pub(crate) fn is_current(claims: &Claims, now: u64) -> bool {
    claims.get("exp").and_then(Value::as_u64).is_some_and(|exp| now < exp)
}

pub(crate) fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// True if `aud`, a string or a list, contains `audience`.
pub(crate) fn has_audience(claims: &Claims, audience: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(own)) => own == audience,
        Some(Value::Array(all)) => all.iter().any(|own| own == audience),
        _ => false,
    }
}
