//! JSON Web Signature in compact form (RFC 7515), read strictly (RFC 8725).
//!
//! Checks form, size, header, algorithm, key and signature. It accepts no token by its claims,
//! fetches nothing, and no header can change which key is trusted. Each part is decoded once.

use aws_lc_rs::digest::{self, Digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::foreign_text::{bounded, quoted};
use crate::json::Document;
use crate::keys::{Jwk, JwkSet};
use crate::refusal::TokenRefusal;
use crate::token::Algorithm;

#[cfg(feature = "token")]
mod signing;
#[cfg(feature = "token")]
pub use signing::InvalidPrivateKey;
#[cfg(feature = "token")]
pub(crate) use signing::{SigningKey, signing_input};

/// Size limit of a token before decoding, in bytes.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Header members that are refused whatever they hold: extensions that must be understood (`crit`),
/// or another way to read the rest.
const REFUSED_MEMBERS: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// The public key of a DPoP proof (RFC 9449 §4.2).
const JWK: &str = "jwk";

/// Header members that name keys to trust. They are never used.
const KEY_MEMBERS: [&str; 4] = [JWK, "jku", "x5u", "x5c"];

/// The header members that are used.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    /// `typ`, lower case, without the optional `application/`.
    pub(crate) media_type: Option<String>,
    /// The first member that names a key to trust.
    key_member: Option<&'static str>,
}

/// A compact JWS whose form is right and whose signature is not checked yet.
#[derive(Debug)]
pub(crate) struct UnverifiedJws<'t> {
    pub(crate) header: Header,
    signing_input: &'t str,
    /// A digest of `signing_input`, if the caller has computed it.
    digest: Option<Digest>,
    payload: &'t str,
    /// The payload, if it was read before the signature was checked.
    claimed: Option<Result<Document, TokenRefusal>>,
    signature: Vec<u8>,
}

/// The header and payload of a valid signature; made by [`UnverifiedJws::verify`] only.
#[derive(Debug)]
pub(crate) struct VerifiedJws {
    pub(crate) header: Header,
    pub(crate) claims: Document,
}

/// The claims by which the issuer of a token is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'c> {
    /// `iss`
    pub(crate) issuer: Option<&'c str>,
    /// `sub`
    pub(crate) subject: Option<&'c str>,
}

impl<'t> UnverifiedJws<'t> {
    /// Splits and reads `token`; refuses everything but three parts of strict base64url.
    pub(crate) fn parse(token: &'t str) -> Result<Self, TokenRefusal> {
        Self::read(token, Header::parse)
    }

    /// Like [`Self::parse`], for a signed answer to an authorization request. Keycloak names its
    /// issuer there twice: as the claim of any JWT (JARM §2.1), and as the parameter of any answer
    /// (RFC 9207).
    #[cfg(feature = "login")]
    pub(crate) fn parse_with_repeats(token: &'t str) -> Result<Self, TokenRefusal> {
        let mut jws = Self::parse(token)?;
        let read = Document::parse_with_repeats(decode("payload", jws.payload)?);
        jws.claimed = Some(read.map_err(unreadable));
        Ok(jws)
    }

    /// Like [`Self::parse`], for a proof that contains its own public key as `jwk` (RFC 9449 §4.2).
    /// Returns that key without trusting it.
    pub(crate) fn parse_with_key(
        token: &'t str,
    ) -> Result<(Self, Map<String, Value>), TokenRefusal> {
        let mut key = None;
        let jws = Self::read(token, |bytes| {
            let (header, jwk) = Header::parse_with_key(bytes)?;
            key = Some(jwk);
            Ok(header)
        })?;
        Ok((jws, key.unwrap_or_default()))
    }

    fn read(
        token: &'t str,
        header: impl FnOnce(Vec<u8>) -> Result<Header, TokenRefusal>,
    ) -> Result<Self, TokenRefusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenRefusal::TooLarge { limit: MAX_TOKEN_BYTES });
        }
        let mut parts = token.split('.');
        let (Some(head), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            let reason = match token.split('.').count() {
                5 => "it is encrypted (JWE, five parts), a signed JWT has three".to_owned(),
                1 => "it has no dots, a signed JWT has three parts between dots".to_owned(),
                n => format!("it has {n} parts between dots, a signed JWT has three"),
            };
            return Err(TokenRefusal::Malformed { part: "token", reason });
        };
        let header = header(decode("header", head)?)?;
        if signature.is_empty() {
            let reason = "it is empty".to_owned();
            return Err(TokenRefusal::Malformed { part: "signature", reason });
        }
        let signature = decode("signature", signature)?;
        let signing_input = token.get(..head.len() + 1 + payload.len()).unwrap_or_default();
        Ok(Self { header, signing_input, digest: None, payload, claimed: None, signature })
    }

    /// `digest` is of the token up to its last dot, if the caller has computed it; it is not
    /// computed again.
    #[must_use]
    pub(crate) fn with_digest(self, digest: Option<Digest>) -> Self {
        Self { digest, ..self }
    }

    /// The key of `keys` that this token must be signed with: by `kid`, or, without one, the only
    /// key that fits the algorithm.
    pub(crate) fn select<'k>(&self, keys: &'k JwkSet) -> Option<&'k Jwk> {
        keys.select(self.header.algorithm, self.header.key_id.as_deref())
    }

    /// `iss` and `sub` of the payload before the signature is checked. Use them to refuse a token,
    /// never to accept one.
    pub(crate) fn claimed_origin(&mut self) -> Result<Origin<'_>, &TokenRefusal> {
        let payload = self.payload;
        let members = self.claimed.get_or_insert_with(|| read(payload)).as_ref()?.members();
        let text = |name| members.get(name).and_then(|value| value.as_str());
        Ok(Origin { issuer: text("iss"), subject: text("sub") })
    }

    /// The refusal for a token that no key of the issuer fits.
    pub(crate) fn unknown_key(&self) -> TokenRefusal {
        TokenRefusal::UnknownKey { kid: self.header.key_id.as_deref().map(quoted) }
    }

    /// Ignores header members that name keys to trust. Without this call [`Self::check_header`] and
    /// [`Self::verify`] refuse them.
    pub(crate) fn ignore_key_members(&mut self) {
        self.header.key_member = None;
    }

    /// Refuses header members that name keys to trust.
    pub(crate) fn check_header(&self) -> Result<(), TokenRefusal> {
        match self.header.key_member {
            Some(member) => Err(TokenRefusal::HeaderNotAllowed { member }),
            None => Ok(()),
        }
    }

    /// Checks the signature, then reads the payload.
    pub(crate) fn verify(self, key: &Jwk) -> Result<VerifiedJws, TokenRefusal> {
        self.check_header()?;
        self.check_signature(key)?;
        self.checked()
    }

    /// Reads the payload, after the signature was checked.
    fn checked(self) -> Result<VerifiedJws, TokenRefusal> {
        let claims = self.claimed.unwrap_or_else(|| read(self.payload))?;
        Ok(VerifiedJws { header: self.header, claims })
    }

    /// Like [`Self::verify`]; a message whose signature does not fit comes back, for another key.
    pub(crate) fn verify_or_return(
        self,
        key: &Jwk,
    ) -> Result<Result<VerifiedJws, TokenRefusal>, Box<Self>> {
        match self.check_signature(key) {
            Ok(()) => Ok(self.checked()),
            Err(TokenRefusal::BadSignature) => Err(Box::new(self)),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    pub(crate) fn check_signature(&self, key: &Jwk) -> Result<(), TokenRefusal> {
        let algorithm = self.header.algorithm;
        let key = key.verifying(algorithm).ok_or_else(|| self.unknown_key())?;
        let checked = match &self.digest {
            Some(known) if known.algorithm() == hash(algorithm) => {
                key.verify_digest_sig(known, &self.signature)
            }
            _ => key.verify_sig(self.signing_input.as_bytes(), &self.signature),
        };
        checked.map_err(|_| TokenRefusal::BadSignature)
    }
}

fn read(payload: &str) -> Result<Document, TokenRefusal> {
    Document::parse(decode("payload", payload)?).map_err(unreadable)
}

fn unreadable(reason: String) -> TokenRefusal {
    TokenRefusal::Malformed { part: "payload", reason }
}

impl Header {
    /// Reads a header; a `jwk` is refused unless it is wanted (RFC 9449 §4.2).
    fn parse(bytes: Vec<u8>) -> Result<Self, TokenRefusal> {
        let header = Document::parse(bytes).map_err(malformed)?;
        Self::of(&header, &KEY_MEMBERS)
    }

    fn parse_with_key(bytes: Vec<u8>) -> Result<(Self, Map<String, Value>), TokenRefusal> {
        let header = Document::parse(bytes).map_err(malformed)?;
        let key = header.members().get(JWK).and_then(|key| key.as_object());
        let key = key.ok_or_else(|| malformed("`jwk` is missing or not an object".to_owned()))?;
        let [_, others @ ..] = &KEY_MEMBERS;
        let read = Self::of(&header, others)?;
        match read.key_member {
            Some(member) => Err(TokenRefusal::HeaderNotAllowed { member }),
            None => Ok((read, key.to_map())),
        }
    }

    /// `keys` are the members that must not name a key to trust.
    fn of(header: &Document, keys: &'static [&'static str]) -> Result<Self, TokenRefusal> {
        let members = header.members();
        let first = |names: &'static [&'static str]| {
            names.iter().copied().find(|name| members.contains(name))
        };
        if let Some(member) = first(&REFUSED_MEMBERS) {
            return Err(TokenRefusal::HeaderNotAllowed { member });
        }
        let text = |name: &'static str| match members.get(name) {
            None => Ok(None),
            Some(value) => match value.as_str() {
                Some(text) => Ok(Some(text)),
                None => Err(malformed(format!("`{name}` is not a string"))),
            },
        };
        let alg = text("alg")?.ok_or_else(|| malformed("`alg` is missing".to_owned()))?;
        let algorithm = alg.parse().map_err(|_| TokenRefusal::AlgorithmNotAllowed {
            alg: quoted(alg),
            allowed: Algorithm::ALL.to_vec(),
        })?;
        // A JWT in a JWT (RFC 7519 §5.2).
        if text("cty")?.is_some_and(|cty| media_type(cty) == "jwt") {
            return Err(TokenRefusal::HeaderNotAllowed { member: "cty" });
        }
        let media_type = text("typ")?.map(media_type);
        let key_id = text("kid")?.map(str::to_owned);
        Ok(Self { algorithm, key_id, media_type, key_member: first(keys) })
    }
}

/// Lower case, without the optional `application/` (RFC 7515 §4.1.9).
fn media_type(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    match text.strip_prefix("application/") {
        Some(short) => short.to_owned(),
        None => text,
    }
}

fn malformed(reason: String) -> TokenRefusal {
    TokenRefusal::Malformed { part: "header", reason }
}

/// Strict base64url without padding (RFC 7515 §2): no white space, no stray bits.
fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, TokenRefusal> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| TokenRefusal::Malformed {
        part,
        reason: format!("it is not base64url without padding: {}", bounded(&error.to_string())),
    })
}

/// The issuer that a JWT claims (`iss`, RFC 7519 §4.1.1), unverified. Use it to ignore a token that
/// is meant for another service, never to accept one. `None` if the text is not a JWT, or is one
/// that two parsers could read differently.
///
/// ```
/// // {"alg":"HS256"}.{"iss":"https://app.example"}
/// let token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2FwcC5leGFtcGxlIn0.c2ln";
/// assert_eq!(oidc_core::verify::unverified_issuer(token).as_deref(), Some("https://app.example"));
/// assert_eq!(oidc_core::verify::unverified_issuer("opaque"), None);
/// ```
pub fn unverified_issuer(token: &str) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    Some(Document::parse(payload).ok()?.members().get("iss")?.as_str()?.to_owned())
}

/// Left half of the hash of `text`, base64url: `at_hash` and `c_hash` (OpenID Connect Core 1.0
/// §3.1.3.6). The hash is the one in the ID token's `alg`; EdDSA on Ed25519 uses SHA-512.
pub(crate) fn half_hash(algorithm: Algorithm, text: &str) -> String {
    let digest = digest::digest(hash(algorithm), text.as_bytes());
    let half = digest.as_ref().get(..digest.as_ref().len() / 2).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(half)
}

/// The hash of a signature algorithm. EdDSA on Ed25519 hashes more than the message.
fn hash(algorithm: Algorithm) -> &'static digest::Algorithm {
    match algorithm {
        Algorithm::RS256 | Algorithm::PS256 | Algorithm::ES256 => &digest::SHA256,
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => &digest::SHA384,
        Algorithm::RS512
        | Algorithm::PS512
        | Algorithm::ES512
        | Algorithm::EdDSA
        | Algorithm::Ed25519 => &digest::SHA512,
    }
}

/// The claims of a JWT without any check, not even of its signature. For tokens that this program
/// verified before and kept itself, and for showing a token to its owner; never accept one by them.
pub fn dangerous_unverified_claims(token: &str) -> Option<crate::token::Claims> {
    let payload = token.split('.').nth(1).filter(|_| token.len() <= MAX_TOKEN_BYTES)?;
    let document = Document::parse(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    crate::token::Claims::of(document).ok()
}

/// `exp` of a JWT without any check: an estimate of how long our access token will be accepted.
/// Never use it to accept one.
#[cfg(feature = "token")]
pub(crate) fn unverified_expiry(token: &str) -> Option<std::time::SystemTime> {
    dangerous_unverified_claims(token)?.expires_at
}

#[cfg(test)]
mod tests;
