//! Assertions that a client makes itself (RFC 7523 §3, OpenID Connect Core 1.0 §9): one for each
//! request, with the issuer as audience, valid for a minute.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{ClientAuthError, Occasion};
use crate::issuer::IssuerTemplate;
use crate::jose::signing_input;
use crate::random;
use crate::secret::Secret;

/// Lifetime of an assertion.
const LIFETIME: Duration = Duration::from_secs(60);

pub(super) fn claims(occasion: Occasion<'_>) -> Value {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // A template is no identifier that a provider would find in `aud`.
    let issuer = occasion.metadata.issuer.as_str();
    let endpoint = occasion.metadata.token_endpoint.as_ref();
    let audience = match endpoint.filter(|_| IssuerTemplate::is_template(issuer)) {
        Some(endpoint) => endpoint.as_str(),
        None => issuer,
    };
    json!({
        "iss": occasion.client_id,
        "sub": occasion.client_id,
        "aud": audience,
        "jti": random::text(),
        "iat": seconds(occasion.now),
        "exp": seconds(occasion.now + LIFETIME),
    })
}

/// `client_secret_jwt`
pub(super) fn under_secret(
    secret: &Secret,
    occasion: Occasion<'_>,
) -> Result<Secret, ClientAuthError> {
    let offered = &occasion.metadata.token_endpoint_auth_signing_alg_values_supported;
    let (name, algorithm) =
        [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
            .into_iter()
            .find(|(name, _)| offered.is_empty() || offered.iter().any(|other| other == name))
            .ok_or(ClientAuthError::NoHmacOffered)?;
    let octets = secret.expose().as_bytes();
    let needed = algorithm.digest_algorithm().output_len();
    if octets.len() < needed {
        let bytes = octets.len();
        return Err(ClientAuthError::SecretTooShort { algorithm: name, bytes, needed });
    }
    let message = signing_input(&json!({"alg": name, "typ": "JWT"}), &claims(occasion));
    let tag = hmac::sign(&hmac::Key::new(algorithm, octets), message.as_bytes());
    Ok(Secret::from(format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))))
}
