//! Authorization requests that their client signs (RFC 9101): nobody between it and the provider, the
//! browser's owner included, can change what was asked.
//!
//! All parameters are in the object; beside it stands what OpenID Connect Core 1.0 §6.1 wants to see
//! of an OAuth 2.0 request. It is made for the issuer only, at once, and good for a minute.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Parameters;
use crate::client_auth::{ClientAuthError, PrivateKeyJwt};
use crate::issuer::Issuer;
use crate::random;
use crate::secret::Secret;

/// How long a request object is good for.
const LIFETIME: Duration = Duration::from_secs(60);

/// `nbf` lies this far back, for providers whose clock is late and that know no leeway.
const CLOCKS_DIFFER: Duration = Duration::from_secs(10);

/// `typ` (RFC 9101 §10.8)
const MEDIA_TYPE: &str = "oauth-authz-req+jwt";

/// The request object of these parameters, by the key's current value.
pub(super) async fn signed(
    parameters: &Parameters,
    key: &PrivateKeyJwt,
    client_id: &str,
    issuer: &Issuer,
    now: SystemTime,
) -> Result<Secret, ClientAuthError> {
    let mut claims: Map<String, Value> =
        parameters.iter().map(|(name, value)| (name.clone(), typed(name, value))).collect();
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let own = [
        ("iss", json!(client_id)),
        ("aud", json!(issuer.as_str())),
        ("iat", json!(seconds(now))),
        ("nbf", json!(seconds(now.checked_sub(CLOCKS_DIFFER).unwrap_or(now)))),
        ("exp", json!(seconds(now + LIFETIME))),
        ("jti", json!(random::text())),
    ];
    claims.extend(own.map(|(name, value)| (name.to_owned(), value)));
    key.sign(MEDIA_TYPE, &Value::Object(claims)).await
}

/// What stands beside the object in a URL.
pub(super) fn beside(object: &Secret, parameters: Parameters) -> Parameters {
    let shown = |name: &str| matches!(name, "client_id" | "response_type" | "scope");
    let mut beside: Parameters = parameters.into_iter().filter(|(name, _)| shown(name)).collect();
    beside.push(("request".to_owned(), object.expose().to_owned()));
    beside
}

/// Numbers as numbers and objects as objects (RFC 9101 §4); in a query they are text.
fn typed(name: &str, value: &str) -> Value {
    let parsed = match name {
        "max_age" => value.parse::<u64>().ok().map(Value::from),
        "claims" | "authorization_details" => serde_json::from_str(value).ok(),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::from(value))
}
