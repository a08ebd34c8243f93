//! Authorization requests that their client signs (RFC 9101), so that neither an intermediary nor
//! the browser's user can change them.
//!
//! All parameters are in the object; beside it are those that OpenID Connect Core 1.0 §6.1 requires
//! of an OAuth 2.0 request. It is made for the issuer only, just before use, and valid for a
//! minute.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Parameters;
use crate::client::{ClientAuthError, PrivateKeyJwt};
use crate::issuer::Issuer;
use crate::random;
use crate::secret::Secret;

/// Lifetime of a request object.
const LIFETIME: Duration = Duration::from_secs(60);

/// `nbf` is this far in the past, for providers whose clock is late and that allow no leeway.
const CLOCKS_DIFFER: Duration = Duration::from_secs(10);

/// `typ` (RFC 9101 §10.8)
const MEDIA_TYPE: &str = "oauth-authz-req+jwt";

/// Signs these parameters as a request object with the current key.
pub(super) async fn signed(
    parameters: &Parameters,
    key: &PrivateKeyJwt,
    client_id: &str,
    issuer: &Issuer,
    now: SystemTime,
) -> Result<Secret, ClientAuthError> {
    let mut claims = Map::new();
    for (name, value) in parameters {
        add(&mut claims, name, typed(name, value));
    }
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

/// Adds a parameter; the values of a repeated one are a list (RFC 8707 §2).
fn add(claims: &mut Map<String, Value>, name: &str, value: Value) {
    match claims.get_mut(name) {
        None => drop(claims.insert(name.to_owned(), value)),
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// The parameters beside the object in a URL.
pub(super) fn beside(object: &Secret, parameters: Parameters) -> Parameters {
    let shown = |name: &str| matches!(name, "client_id" | "response_type" | "scope");
    let mut beside: Parameters = parameters.into_iter().filter(|(name, _)| shown(name)).collect();
    beside.push(("request".to_owned(), object.expose().to_owned()));
    beside
}

/// Numbers as JSON numbers and objects as JSON objects (RFC 9101 §4); in a query they are text.
fn typed(name: &str, value: &str) -> Value {
    let parsed = match name {
        "max_age" => value.parse::<u64>().ok().map(Value::from),
        "claims" | "authorization_details" => serde_json::from_str(value).ok(),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::from(value))
}
