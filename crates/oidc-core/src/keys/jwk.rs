//! One key of the set: accepted, or refused with the reason.

use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::signature::{
    self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::roca;
use crate::token::Algorithm;

/// A public key that may verify, parsed once for each of its algorithms.
pub(crate) struct Jwk {
    id: Option<String>,
    /// `alg`, when the key is for one algorithm only.
    algorithm: Option<Algorithm>,
    /// `issuer`: the issuer whose tokens the key signs, as Microsoft Entra states it.
    issuer: Option<String>,
    kind: Kind,
    /// The public key material: modulus and exponent, or the coordinates of the point.
    material: Vec<Vec<u8>>,
    parsed: Vec<(Algorithm, ParsedPublicKey)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

/// Algorithms an RSA key may verify with (RFC 7518 §3.3, §3.5).
static RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::RS256, &signature::RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::RS384, &signature::RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::RS512, &signature::RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::PS256, &signature::RSA_PSS_2048_8192_SHA256),
    (Algorithm::PS384, &signature::RSA_PSS_2048_8192_SHA384),
    (Algorithm::PS512, &signature::RSA_PSS_2048_8192_SHA512),
];

impl Jwk {
    pub(crate) fn parse(members: &Map<String, Value>) -> Result<Self, &'static str> {
        let kty = text(members, "kty")?.ok_or("it has no kty")?;
        if kty == "oct" {
            return Err("symmetric keys never verify here");
        }
        match text(members, "use")? {
            // SPIFFE names the kind of SVID that a key signs (Trust Domain and Bundle §4.2.2).
            None | Some("sig" | "jwt-svid") => {}
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
        let issuer = text(members, "issuer")?.map(str::to_owned);
        let (kind, material, mut parsed) = match kty {
            "RSA" => rsa(members)?,
            "EC" => ec(members)?,
            "OKP" => okp(members)?,
            _ => return Err("its kty is not known here"),
        };
        parsed.retain(|(fitting, _)| algorithm.is_none_or(|own| own == *fitting));
        if parsed.is_empty() {
            return Err("its alg does not fit its kty and crv");
        }
        Ok(Self { id, algorithm, issuer, kind, material, parsed })
    }

    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// `issuer`, where the provider states for each key whose tokens it signs.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whether `kid` does not tell this key and another apart: a signature with some algorithm fits both (RFC 7517 §4.5).
    pub(super) fn is_confused_with(&self, other: &Self) -> bool {
        self.id.is_some()
            && self.id == other.id
            && self.parsed.iter().any(|(algorithm, _)| other.fits(*algorithm))
    }

    /// Whether this key may verify a signature with `algorithm`.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifying(algorithm).is_some()
    }

    /// The parsed key for `algorithm`, if it may verify with that.
    pub(crate) fn verifying(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.parsed.iter().find(|(fitting, _)| *fitting == algorithm).map(|(_, key)| key)
    }

    /// Bytes that are equal only for the same key with the same purpose.
    pub(super) fn print(&self) -> Vec<u8> {
        let lengths: Vec<usize> = self.material.iter().map(Vec::len).collect();
        let Self { id, algorithm, issuer, kind, .. } = self;
        let head = format!("{kind:?}|{algorithm:?}|{id:?}|{issuer:?}|{lengths:?}|");
        [head.into_bytes(), self.material.concat()].concat()
    }

    /// The key as a JWK with its public members only (RFC 7518 §6, RFC 8037 §2).
    #[cfg(feature = "openidconnect")]
    pub(crate) fn to_members(&self) -> Map<String, Value> {
        let (kty, crv, names): (_, _, &[&str]) = match self.kind {
            Kind::Rsa => ("RSA", None, &["n", "e"]),
            Kind::P256 => ("EC", Some("P-256"), &["x", "y"]),
            Kind::P384 => ("EC", Some("P-384"), &["x", "y"]),
            Kind::P521 => ("EC", Some("P-521"), &["x", "y"]),
            Kind::Ed25519 => ("OKP", Some("Ed25519"), &["x"]),
        };
        let texts = [
            ("kty", Some(kty)),
            ("crv", crv),
            ("use", Some("sig")),
            ("kid", self.id()),
            ("alg", self.algorithm.map(Algorithm::as_str)),
        ];
        let numbers = names.iter().zip(&self.material).map(|(name, octets)| {
            ((*name).to_owned(), Value::from(URL_SAFE_NO_PAD.encode(octets)))
        });
        texts
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?))))
            .chain(numbers)
            .collect()
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

type Parts = (Kind, Vec<Vec<u8>>, Vec<(Algorithm, ParsedPublicKey)>);

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
    let components = RsaPublicKeyComponents { n: &n, e: &e };
    let parsed = RSA
        .iter()
        .map(|&(algorithm, rules)| Ok((algorithm, components.to_parsed_public_key(rules)?)))
        .collect::<Result<_, KeyRejected>>()
        .map_err(|_| "its RSA numbers make no key")?;
    Ok((Kind::Rsa, vec![n, e], parsed))
}

fn ec(members: &Map<String, Value>) -> Result<Parts, &'static str> {
    let (kind, size, algorithm, rules): (_, _, _, &dyn VerificationAlgorithm) =
        match text(members, "crv")? {
            Some("P-256") => {
                (Kind::P256, 32, Algorithm::ES256, &signature::ECDSA_P256_SHA256_FIXED)
            }
            Some("P-384") => {
                (Kind::P384, 48, Algorithm::ES384, &signature::ECDSA_P384_SHA384_FIXED)
            }
            Some("P-521") => {
                (Kind::P521, 66, Algorithm::ES512, &signature::ECDSA_P521_SHA512_FIXED)
            }
            _ => return Err("its crv is not known here"),
        };
    let x = octets(members, "x")?;
    let y = octets(members, "y")?;
    if x.len() != size || y.len() != size {
        return Err("its coordinates do not have the curve's length");
    }
    let point = [&[4], &x[..], &y[..]].concat();
    let parsed =
        ParsedPublicKey::new(rules, &point).map_err(|_| "its point is not on the curve")?;
    Ok((kind, vec![x, y], vec![(algorithm, parsed)]))
}

fn okp(members: &Map<String, Value>) -> Result<Parts, &'static str> {
    if text(members, "crv")? != Some("Ed25519") {
        return Err("its crv is not known here");
    }
    let x = octets(members, "x")?;
    let not_a_key = "its x is not an Ed25519 public key";
    if x.len() != 32 {
        return Err(not_a_key);
    }
    let parsed = ParsedPublicKey::new(&signature::ED25519, &x).map_err(|_| not_a_key)?;
    let names = [(Algorithm::EdDSA, parsed.clone()), (Algorithm::Ed25519, parsed)];
    Ok((Kind::Ed25519, vec![x], names.into()))
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

/// Big-endian without leading zero bytes, which some providers send against RFC 7518 §6.3.1.1.
fn number(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, &'static str> {
    let octets = octets(members, name)?;
    Ok(octets.into_iter().skip_while(|octet| *octet == 0).collect())
}

fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| 8 * number.len() - first.leading_zeros() as usize)
}
