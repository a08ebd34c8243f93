//! Client authentication: `client_secret_basic`, `client_secret_post`, `private_key_jwt`, and none for
//! public clients ([RFC 6749 §2.3], [RFC 7523 §3]).
//!
//! One method per request; an assertion counts once.
//!
//! [RFC 6749 §2.3]: https://www.rfc-editor.org/rfc/rfc6749#section-2.3
//! [RFC 7523 §3]: https://www.rfc-editor.org/rfc/rfc7523#section-3

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use jsonwebtoken::{AlgorithmFamily, DecodingKey};
use serde_json::Value;

use crate::client::{Credential, DevClient};
use crate::jws::{self, Claims};
use crate::oauth_error::OAuthError;
use crate::params::Params;
use crate::provider::Provider;
use crate::server::path;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const FAILED: OAuthError =
    OAuthError::InvalidClient("Invalid client or Invalid client credentials");

/// The body as a form: it must be one, and must not repeat a parameter.
pub(crate) fn form(headers: &HeaderMap, body: &[u8]) -> Result<Params, OAuthError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_form = content_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    if !is_form {
        let wanted = "Content-Type must be application/x-www-form-urlencoded";
        return Err(OAuthError::InvalidRequest(wanted.to_owned()));
    }
    let params = Params::parse(body);
    match params.repeated() {
        Some(name) => {
            Err(OAuthError::InvalidRequest(format!("Parameter {name} came more than once")))
        }
        None => Ok(params),
    }
}

/// The client that sent this, proven.
pub(crate) fn authenticate(
    provider: &Provider,
    headers: &HeaderMap,
    params: &Params,
) -> Result<DevClient, OAuthError> {
    let basic = basic_credentials(headers)?;
    let posted = params.value("client_secret");
    let assertion = params.value("client_assertion");
    let methods = [basic.is_some(), posted.is_some(), assertion.is_some()];
    if methods.into_iter().filter(|used| *used).count() > 1 {
        let why = "More than one method of client authentication".to_owned();
        return Err(OAuthError::InvalidRequest(why));
    }
    if let Some(assertion) = assertion {
        return by_assertion(provider, params, assertion);
    }
    let (id, secret) = match &basic {
        Some((id, secret)) => (id.as_str(), Some(secret.as_str())),
        None => (params.value("client_id").ok_or(FAILED)?, posted),
    };
    let client = provider.registry.client(id).ok_or(FAILED)?;
    match (&client.credential, secret) {
        (Credential::Public, None) => Ok(client),
        (Credential::Secret(own), Some(sent))
            if verify_slices_are_equal(own.as_bytes(), sent.as_bytes()).is_ok() =>
        {
            Ok(client)
        }
        _ => Err(FAILED),
    }
}

fn basic_credentials(headers: &HeaderMap) -> Result<Option<(String, String)>, OAuthError> {
    let Some(value) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return Ok(None);
    };
    let Some((scheme, encoded)) = value.split_once(' ') else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let decoded = STANDARD.decode(encoded.trim()).map_err(|_| FAILED)?;
    let text = String::from_utf8(decoded).map_err(|_| FAILED)?;
    let (id, secret) = text.split_once(':').ok_or(FAILED)?;
    Ok(Some((form_decoded(id), form_decoded(secret))))
}

/// RFC 6749 §2.3.1: id and secret are form-encoded before they are joined.
fn form_decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("v={text}").as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

fn by_assertion(
    provider: &Provider,
    params: &Params,
    assertion: &str,
) -> Result<DevClient, OAuthError> {
    if params.value("client_assertion_type") != Some(ASSERTION_TYPE) {
        return Err(OAuthError::InvalidRequest("Invalid client_assertion_type".to_owned()));
    }
    let unverified = unverified_subject(assertion).ok_or(FAILED)?;
    let client = provider.registry.client(&unverified).ok_or(FAILED)?;
    let Credential::PublicKey(pem) = &client.credential else { return Err(FAILED) };
    let claims = verified(assertion, pem).ok_or(FAILED)?;
    let names_client = params.value("client_id").is_none_or(|named| named == client.id);
    let is_own = ["iss", "sub"].iter().all(|name| jws::text(&claims, name) == Some(&client.id));
    if !names_client || !is_own {
        return Err(FAILED);
    }
    let audiences = [provider.issuer.clone(), provider.at(path::TOKEN), provider.at(path::PAR)];
    if !audiences.iter().any(|audience| jws::has_audience(&claims, audience)) {
        return Err(OAuthError::InvalidClient("Invalid token audience"));
    }
    spend(provider, &claims)?;
    Ok(client)
}

/// Takes the assertion's `jti`, which no other may have until it has expired.
fn spend(provider: &Provider, claims: &Claims) -> Result<(), OAuthError> {
    let now = provider.clock.seconds();
    let expires = claims.get("exp").and_then(Value::as_u64).unwrap_or(0);
    if expires <= now {
        return Err(OAuthError::InvalidClient("Token is not active"));
    }
    let jti = jws::text(claims, "jti");
    let jti = jti.ok_or(OAuthError::InvalidClient("Missing jti in the client assertion"))?;
    let mut spent = provider.assertions.lock();
    spent.retain(|_, expires| *expires > now);
    match spent.insert(jti.to_owned(), expires) {
        Some(_) => Err(OAuthError::InvalidClient("Token reuse detected")),
        None => Ok(()),
    }
}

/// Whose key to look for. Nothing is believed yet.
fn unverified_subject(assertion: &str) -> Option<String> {
    let claims: Claims = jsonwebtoken::dangerous::insecure_decode_claims(assertion).ok()?;
    jws::text(&claims, "sub").map(str::to_owned)
}

fn verified(assertion: &str, public_key_pem: &str) -> Option<Claims> {
    let algorithm = jsonwebtoken::decode_header(assertion).ok()?.alg;
    let pem = public_key_pem.as_bytes();
    let key = match algorithm.family() {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
        AlgorithmFamily::Hmac => return None,
    };
    jws::verify(assertion, &key.ok()?, algorithm).ok()
}
