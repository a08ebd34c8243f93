//! Proofs of possession ([RFC 9449](https://www.rfc-editor.org/rfc/rfc9449)): checks a request's proof
//! by the list of §4.3, and the nonces that proofs must contain if the provider requires them.
//!
//! A proof is accepted once, and so is a nonce. Every answer to a proof carries the next nonce.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method};
use jsonwebtoken::jwk::ThumbprintHash;
use jsonwebtoken::{AlgorithmFamily, DecodingKey};
use serde_json::{Map, Value};
use url::Url;

use crate::identifiers::random_handle;
use crate::jws::{self, Claims};
use crate::oauth_error::OAuthError;
use crate::shared::Shared;
use crate::used_identifiers::UsedIdentifiers;

const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// Largest accepted difference between a proof's `iat` and now, in seconds.
const WINDOW: u64 = 60;

/// Description of a proof that cannot be decoded.
const NOT_A_JWT: &str = "DPoP proof is not a JWT";

/// Lifetime of a nonce, in seconds.
const NONCE_LIFETIME: u64 = 60;

/// The parts of a request that its proof is checked against.
pub(crate) struct ProvenRequest<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) method: &'a Method,
    /// URL of the request.
    pub(crate) url: &'a str,
    /// Access token of the request.
    pub(crate) access_token: Option<&'a str>,
}

/// Used proofs, and issued nonces.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    nonce_required: bool,
    used: UsedIdentifiers,
    nonces: Shared<BTreeMap<String, u64>>,
}

impl Proofs {
    pub(crate) fn new(nonce_required: bool) -> Self {
        Self { nonce_required, ..Self::default() }
    }

    /// Adds the next nonce to an answer, if the provider requires nonces.
    pub(crate) fn add_nonce(&self, now: u64, headers: &mut HeaderMap) {
        if !self.nonce_required {
            return;
        }
        let nonce = random_handle();
        headers.extend(HeaderValue::from_str(&nonce).ok().map(|nonce| (DPOP_NONCE, nonce)));
        let mut nonces = self.nonces.lock();
        nonces.retain(|_, expires| *expires > now);
        nonces.insert(nonce, now + NONCE_LIFETIME);
    }

    /// The thumbprint ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)) of the key that the request's
    /// proof is signed with; `None` without a proof.
    pub(crate) fn check(
        &self,
        request: &ProvenRequest<'_>,
        now: u64,
    ) -> Result<Option<String>, OAuthError> {
        let mut proofs = request.headers.get_all("dpop").iter();
        let Some(proof) = proofs.next() else { return Ok(None) };
        let refused = OAuthError::InvalidDpopProof;
        if proofs.next().is_some() {
            return Err(refused("More than one DPoP header"));
        }
        let proof = proof.to_str().map_err(|_| refused(NOT_A_JWT))?;
        let (claims, thumbprint) = signed_by_its_own_key(proof).map_err(refused)?;
        check_claims(request, &claims, now).map_err(refused)?;
        if self.nonce_required {
            let nonce = jws::text(&claims, "nonce").unwrap_or_default();
            if !self.take_nonce(nonce, now) {
                return Err(OAuthError::UseDpopNonce);
            }
        }
        let jti = jws::text(&claims, "jti").ok_or(refused("DPoP proof has no jti"))?;
        // The proof would be accepted until then.
        match self.used.record(jti.to_owned(), now + 2 * WINDOW, now) {
            true => Ok(Some(thumbprint)),
            false => Err(refused("DPoP proof has already been used")),
        }
    }

    fn take_nonce(&self, nonce: &str, now: u64) -> bool {
        self.nonces.lock().remove(nonce).is_some_and(|expires| expires > now)
    }
}

/// §4.3, 2 to 7: the proof is a JWT of the right type, signed with the public key in its header.
fn signed_by_its_own_key(proof: &str) -> Result<(Claims, String), &'static str> {
    let raw = proof.split('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let raw: Map<String, Value> =
        raw.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or(NOT_A_JWT)?;
    let header = jsonwebtoken::decode_header(proof).map_err(|_| NOT_A_JWT)?;
    if header.typ.as_deref() != Some("dpop+jwt") {
        return Err("DPoP proof is not of typ dpop+jwt");
    }
    if header.alg.family() == AlgorithmFamily::Hmac {
        return Err("DPoP proof is not signed asymmetrically");
    }
    let jwk = header.jwk.ok_or("DPoP proof has no jwk")?;
    let private = ["d", "p", "q", "dp", "dq", "qi", "k"];
    let contains = |name: &&str| raw.get("jwk").is_some_and(|jwk| jwk.get(*name).is_some());
    if private.iter().any(contains) {
        return Err("DPoP proof contains a private key");
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| "DPoP proof has no usable jwk")?;
    let claims = jws::verify(proof, &key, header.alg).map_err(|_| "DPoP proof is not signed")?;
    let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256);
    Ok((claims, thumbprint.map_err(|_| "DPoP proof has no usable jwk")?))
}

/// §4.3, 8 to 11: the proof is for this request, and recent.
fn check_claims(
    request: &ProvenRequest<'_>,
    claims: &Claims,
    now: u64,
) -> Result<(), &'static str> {
    if jws::text(claims, "htm") != Some(request.method.as_str()) {
        return Err("DPoP proof is for another method");
    }
    let htu = jws::text(claims, "htu").unwrap_or_default();
    if target(htu).is_none() || target(htu) != target(request.url) {
        return Err("DPoP proof is for another URL");
    }
    let issued = claims.get("iat").and_then(Value::as_u64).ok_or("DPoP proof has no iat")?;
    if issued.abs_diff(now) > WINDOW {
        return Err("DPoP proof is not active");
    }
    let hash = |token: &str| URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
    if jws::text(claims, "ath").map(str::to_owned) != request.access_token.map(hash) {
        return Err("DPoP proof is not for this access token");
    }
    Ok(())
}

/// A URL in the form for comparison: normalized, without query and fragment.
fn target(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}
