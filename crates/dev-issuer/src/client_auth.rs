//! Client authentication: `client_secret_basic`, `client_secret_post`, `client_secret_jwt`,
//! `private_key_jwt`, assertions of a trusted issuer, and none for public clients ([RFC 6749 §2.3],
//! [RFC 7523 §3]).
//!
//! A request must use exactly one method, the one that the client is registered for. An assertion that
//! the client signs itself is accepted once.
//!
//! [RFC 6749 §2.3]: https://www.rfc-editor.org/rfc/rfc6749#section-2.3
//! [RFC 7523 §3]: https://www.rfc-editor.org/rfc/rfc7523#section-3

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use crate::client::{Credential, DevClient};
use crate::jws::{self, Claims};
use crate::oauth_error::OAuthError;
use crate::params::Params;
use crate::path;
use crate::provider::Provider;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const SPIFFE_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
const FAILED: OAuthError =
    OAuthError::InvalidClient("Invalid client or Invalid client credentials");

/// Parses the body, which must be a form without a repeated parameter.
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

/// Authenticates the client that sent the request.
pub(crate) fn authenticate(
    provider: &Provider,
    headers: &HeaderMap,
    params: &Params,
) -> Result<DevClient, OAuthError> {
    let basic = basic_credentials(headers)?;
    if basic.is_some() && !provider.dialect.lock().takes_basic() {
        return Err(FAILED);
    }
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
    let kind = params.value("client_assertion_type").unwrap_or_default();
    if ![ASSERTION_TYPE, SPIFFE_ASSERTION_TYPE].contains(&kind) {
        return Err(OAuthError::InvalidRequest("Invalid client_assertion_type".to_owned()));
    }
    let unverified = unverified_subject(assertion).ok_or(FAILED)?;
    if let Some(client) = provider.registry.federated_client(&unverified) {
        by_foreign_assertion(provider, &client, kind, assertion)?;
        return named_as(params, client);
    }
    let client = provider.registry.client(&unverified).ok_or(FAILED)?;
    let claims = match &client.credential {
        _ if kind != ASSERTION_TYPE => None,
        Credential::PublicKeys(keys) => keys.verify(assertion),
        Credential::SecretJwt(secret) => verified_under(secret, assertion),
        _ => None,
    };
    let claims = claims.ok_or(FAILED)?;
    if ["iss", "sub"].iter().any(|name| jws::text(&claims, name) != Some(&client.id)) {
        return Err(FAILED);
    }
    let audiences = [provider.issuer.clone(), provider.at(path::TOKEN), provider.at(path::PAR)];
    if !audiences.iter().any(|audience| jws::has_audience(&claims, audience)) {
        return Err(OAuthError::InvalidClient("Invalid token audience"));
    }
    use_once(provider, &claims)?;
    named_as(params, client)
}

/// Checks that the form's `client_id`, if there is one, is this client's.
fn named_as(params: &Params, client: DevClient) -> Result<DevClient, OAuthError> {
    match params.value("client_id").is_none_or(|named| named == client.id) {
        true => Ok(client),
        false => Err(FAILED),
    }
}

/// Verifies a trusted issuer's assertion about a workload. A JWT-SVID has its own
/// `client_assertion_type`, and may leave out `iss`.
fn by_foreign_assertion(
    provider: &Provider,
    client: &DevClient,
    kind: &str,
    assertion: &str,
) -> Result<(), OAuthError> {
    let Credential::Federated { issuer, subject } = &client.credential else { return Err(FAILED) };
    let is_svid = subject.starts_with("spiffe://");
    if is_svid != (kind == SPIFFE_ASSERTION_TYPE) {
        return Err(FAILED);
    }
    let claims = provider.trusted.verify(issuer, assertion).ok_or(FAILED)?;
    let issuer_fits = match jws::text(&claims, "iss") {
        Some(named) => named == issuer,
        None => is_svid,
    };
    if !issuer_fits || jws::text(&claims, "sub") != Some(subject) {
        return Err(FAILED);
    }
    if !jws::has_audience(&claims, &provider.issuer) {
        return Err(OAuthError::InvalidClient("Invalid token audience"));
    }
    match jws::is_current(&claims, provider.clock.seconds()) {
        true => Ok(()),
        false => Err(OAuthError::InvalidClient("Token is not active")),
    }
}

/// Records the assertion's `jti`, which no other assertion may have until this one has expired.
fn use_once(provider: &Provider, claims: &Claims) -> Result<(), OAuthError> {
    let now = provider.clock.seconds();
    let expires = claims.get("exp").and_then(Value::as_u64).unwrap_or(0);
    if expires <= now {
        return Err(OAuthError::InvalidClient("Token is not active"));
    }
    let jti = jws::text(claims, "jti");
    let jti = jti.ok_or(OAuthError::InvalidClient("Missing jti in the client assertion"))?;
    match provider.used_assertions.record(jti.to_owned(), expires, now) {
        true => Ok(()),
        false => Err(OAuthError::InvalidClient("Token reuse detected")),
    }
}

/// The `sub` of the unverified assertion, used only to find the key.
fn unverified_subject(assertion: &str) -> Option<String> {
    let claims: Claims = jsonwebtoken::dangerous::insecure_decode_claims(assertion).ok()?;
    jws::text(&claims, "sub").map(str::to_owned)
}

/// The claims, if the HMAC is made with this secret, and the secret is at least as long as the hash.
fn verified_under(secret: &str, assertion: &str) -> Option<Claims> {
    let algorithm = jsonwebtoken::decode_header(assertion).ok()?.alg;
    let needed = match algorithm {
        Algorithm::HS256 => 32,
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => return None,
    };
    let key = (secret.len() >= needed).then(|| DecodingKey::from_secret(secret.as_bytes()))?;
    jws::verify(assertion, &key, algorithm).ok()
}
