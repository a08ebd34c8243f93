//! One key of the set: admitted, or refused with the reason.

use aws_lc_rs::signature::{self, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::roca;
use crate::algorithm::Algorithm;

/// A public key that may verify, parsed once.
pub(crate) struct Jwk {
    id: Option<String>,
    /// `alg`, when the key is for one algorithm only.
    algorithm: Option<Algorithm>,
    kind: Kind,
    /// What identifies the material: modulus and exponent, or the point.
    material: Vec<u8>,
    decoding: Option<DecodingKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

impl Kind {
    fn fits(self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => self == Self::Rsa,
            Algorithm::ES256 => self == Self::P256,
            Algorithm::ES384 => self == Self::P384,
            Algorithm::ES512 => self == Self::P521,
            Algorithm::EdDSA => self == Self::Ed25519,
        }
    }
}

impl Jwk {
    pub(crate) fn parse(members: &Map<String, Value>) -> Result<Self, &'static str> {
        let kty = text(members, "kty")?.ok_or("it has no kty")?;
        if kty == "oct" {
            return Err("symmetric keys never verify here");
        }
        match text(members, "use")? {
            None | Some("sig") => {}
            Some("enc") => return Err("it is for encryption (use)"),
            Some(_) => return Err("its use is not sig"),
        }
        match members.get("key_ops") {
            None => {}
            Some(Value::Array(operations)) if operations.iter().any(|o| o == "verify") => {}
            Some(_) => return Err("its key_ops do not include verify"),
        }
        let id = text(members, "kid")?.map(str::to_owned);
        let algorithm = match text(members, "alg")? {
            None => None,
            Some(name) => Some(name.parse().map_err(|_| "its alg is not a signature known here")?),
        };
        let (kind, material, decoding) = match kty {
            "RSA" => rsa(members)?,
            "EC" => ec(members)?,
            "OKP" => okp(members)?,
            _ => return Err("its kty is not known here"),
        };
        if algorithm.is_some_and(|algorithm| !kind.fits(algorithm)) {
            return Err("its alg does not fit its kty and crv");
        }
        Ok(Self { id, algorithm, kind, material, decoding })
    }

    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether this key may verify a signature with `algorithm`.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind.fits(algorithm) && self.algorithm.is_none_or(|own| own == algorithm)
    }

    pub(crate) fn decoding_key(&self) -> Option<&DecodingKey> {
        self.decoding.as_ref()
    }

    /// The uncompressed point of an elliptic-curve key.
    pub(crate) fn point(&self) -> &[u8] {
        &self.material
    }

    /// Bytes that two keys share only if they are the same key for the same purpose.
    pub(super) fn print(&self) -> Vec<u8> {
        let head =
            format!("{:?}|{:?}|{:?}|{}|", self.kind, self.algorithm, self.id, self.material.len());
        [head.as_bytes(), &self.material].concat()
    }
}

impl PartialEq for Jwk {
    fn eq(&self, other: &Self) -> bool {
        self.print() == other.print()
    }
}

impl std::fmt::Debug for Jwk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jwk({:?}, {:?}, {:?})", self.kind, self.id, self.algorithm)
    }
}

type Parts = (Kind, Vec<u8>, Option<DecodingKey>);

fn rsa(members: &Map<String, Value>) -> Result<Parts, &'static str> {
    let n = number(members, "n")?;
    let e = number(members, "e")?;
    match bits(&n) {
        0..2048 => return Err("its RSA modulus is shorter than 2048 bits"),
        2048..=8192 => {}
        _ => return Err("its RSA modulus is longer than 8192 bits"),
    }
    if n.last().is_none_or(|low| low % 2 == 0) {
        return Err("its RSA modulus is even");
    }
    if e.last().is_none_or(|low| low % 2 == 0) {
        return Err("its RSA exponent is even");
    }
    // FIPS 186-5 §5.4: at least 65537; the library stops at 33 bits.
    if !(17..=33).contains(&bits(&e)) {
        return Err("its RSA exponent is not between 65537 and 2^33");
    }
    if roca::is_vulnerable(&n) {
        return Err("its RSA modulus has the ROCA weakness (CVE-2017-15361)");
    }
    let decoding = DecodingKey::from_rsa_raw_components(&n, &e);
    let material = [&n[..], b"|", &e[..]].concat();
    Ok((Kind::Rsa, material, Some(decoding)))
}

fn ec(members: &Map<String, Value>) -> Result<Parts, &'static str> {
    let (kind, size, curve) = match text(members, "crv")? {
        Some("P-256") => (Kind::P256, 32, &signature::ECDSA_P256_SHA256_FIXED),
        Some("P-384") => (Kind::P384, 48, &signature::ECDSA_P384_SHA384_FIXED),
        Some("P-521") => (Kind::P521, 66, &signature::ECDSA_P521_SHA512_FIXED),
        _ => return Err("its crv is not known here"),
    };
    let x = octets(members, "x")?;
    let y = octets(members, "y")?;
    if x.len() != size || y.len() != size {
        return Err("its coordinates do not have the curve's length");
    }
    let point = [&[4], &x[..], &y[..]].concat();
    if ParsedPublicKey::new(curve, &point).is_err() {
        return Err("its point is not on the curve");
    }
    let decoding = (kind != Kind::P521).then(|| DecodingKey::from_ec_der(&point));
    Ok((kind, point, decoding))
}

fn okp(members: &Map<String, Value>) -> Result<Parts, &'static str> {
    if text(members, "crv")? != Some("Ed25519") {
        return Err("its crv is not known here");
    }
    let x = octets(members, "x")?;
    if x.len() != 32 || ParsedPublicKey::new(&signature::ED25519, &x).is_err() {
        return Err("its x is not an Ed25519 public key");
    }
    let decoding = DecodingKey::from_ed_der(&x);
    Ok((Kind::Ed25519, x, Some(decoding)))
}

fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Result<Option<&'m str>, &'static str> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("a member that must be a string is not"),
    }
}

fn octets(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = text(members, name)?.ok_or("a member of the key is missing")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a member of the key is not base64url")
}

/// Big-endian without leading zero octets, which some providers send against RFC 7518 §6.3.1.1.
fn number(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let octets = octets(members, name)?;
    Ok(octets.into_iter().skip_while(|octet| *octet == 0).collect())
}

fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| 8 * number.len() - first.leading_zeros() as usize)
}
