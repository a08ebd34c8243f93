//! Authorization requests that the client signs ([RFC 9101]), by value or within a pushed request
//! ([RFC 9126 §3]).
//!
//! The object is the whole request: parameters beside it are ignored (RFC 9101 §6.3).
//!
//! [RFC 9101]: https://www.rfc-editor.org/rfc/rfc9101
//! [RFC 9126 §3]: https://www.rfc-editor.org/rfc/rfc9126#section-3

use serde_json::Value;

use crate::client::DevClient;
use crate::jws::{self, Claims};
use crate::params::Params;
use crate::provider::Provider;
use crate::public_keys::PublicKeys;

/// `typ` of the header (RFC 9101 §10.8)
const MEDIA_TYPE: &str = "oauth-authz-req+jwt";

/// Longest accepted life of an object, in seconds.
const LONGEST_LIFE: u64 = 3600;

/// Claims about the object itself, which are not parameters of the request.
const ABOUT_THE_OBJECT: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

/// Forbidden claims: another request, or `sub`, which would make the object a client assertion.
const FORBIDDEN: [&str; 3] = ["request", "request_uri", "sub"];

/// The parameters of the signed request, or the plain ones where these are allowed.
pub(crate) fn resolve(provider: &Provider, params: Params) -> Result<Params, &'static str> {
    let client = params.value("client_id").and_then(|id| provider.registry.client(id));
    let Some(object) = params.value("request") else {
        return match client.is_some_and(|client| client.require_signed_request) {
            true => Err("This client must sign its requests (request)."),
            false => Ok(params),
        };
    };
    let client = client.ok_or("No client is named beside the request object.")?;
    // A client without a key gets `request_not_supported` later, at its redirect URI.
    let Some(keys) = &client.request_object_key else { return Ok(params) };
    let claims = verified(provider, &client, keys, object)?;
    let parameters =
        claims.into_iter().filter(|(name, _)| !ABOUT_THE_OBJECT.contains(&name.as_str()));
    Ok(Params::from_pairs(parameters.map(|(name, value)| (name, as_parameter(value)))))
}

fn verified(
    provider: &Provider,
    client: &DevClient,
    keys: &PublicKeys,
    object: &str,
) -> Result<Claims, &'static str> {
    let header =
        jsonwebtoken::decode_header(object).map_err(|_| "The request object is not a JWT.")?;
    if header.typ.as_deref() != Some(MEDIA_TYPE) {
        return Err("The request object's typ is not oauth-authz-req+jwt.");
    }
    let claims =
        keys.verify(object).ok_or("The request object's signature is not the client's.")?;
    let is_clients =
        ["iss", "client_id"].iter().all(|name| jws::text(&claims, name) == Some(&client.id));
    if !is_clients {
        return Err("The request object's iss or client_id is not the client.");
    }
    if !jws::has_audience(&claims, &provider.issuer) {
        return Err("The request object is not for this issuer (aud).");
    }
    if FORBIDDEN.iter().any(|name| claims.contains_key(*name)) {
        return Err("The request object holds request, request_uri or sub.");
    }
    check_times(&claims, provider.clock.seconds())?;
    use_once(provider, client, &claims)?;
    Ok(claims)
}

fn check_times(claims: &Claims, now: u64) -> Result<(), &'static str> {
    let time = |name: &str| claims.get(name).and_then(Value::as_u64);
    let ends = time("exp").ok_or("The request object has no exp.")?;
    let begins = time("nbf").or(time("iat")).unwrap_or(now);
    if ends <= now || begins > now {
        return Err("The request object is not valid now.");
    }
    match ends - begins <= LONGEST_LIFE {
        true => Ok(()),
        false => Err("The request object is valid for more than an hour."),
    }
}

/// Records the `jti`: an object that has one is accepted once.
fn use_once(provider: &Provider, client: &DevClient, claims: &Claims) -> Result<(), &'static str> {
    let Some(jti) = jws::text(claims, "jti") else { return Ok(()) };
    let now = provider.clock.seconds();
    let ends = claims.get("exp").and_then(Value::as_u64).unwrap_or(now);
    let identifier = format!("request of {}: {jti}", client.id);
    match provider.used_assertions.record(identifier, ends, now) {
        true => Ok(()),
        false => Err("The request object was used before."),
    }
}

/// The value as in a query.
fn as_parameter(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
