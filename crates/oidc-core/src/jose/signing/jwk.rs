//! Private keys as JSON Web Keys (RFC 7517 §4): `RSA` and `EC` (RFC 7518 §6), `OKP` (RFC 8037 §2).

use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pkcs1::RsaPrivateKey;
use pkcs1::der::Encode as _;
use pkcs1::der::asn1::UintRef;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{InvalidPrivateKey, Pair, ec_algorithm};
use crate::json;
use crate::secret::Secret;
use crate::token::Algorithm;

type Members = Map<String, Value>;
type Octets = Zeroizing<Vec<u8>>;

/// The key, the algorithm it is for, and its `kid`.
pub(super) fn read(jwk: &Secret) -> Result<(Pair, Algorithm, Option<String>), InvalidPrivateKey> {
    let members = json::parse_object(jwk.expose().as_bytes())
        .map_err(|_| bad("it is not a JSON object with each member once"))?;
    if text(&members, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(bad("its use is not sig"));
    }
    if !members.contains_key("d") {
        return Err(bad("it has no d, so it is a public key; the private half is needed"));
    }
    let (pair, fits): (Pair, &[Algorithm]) = match text(&members, "kty")? {
        Some("RSA") => (rsa(&members)?, &RSA),
        Some("EC") => ec(&members)?,
        Some("OKP") => (okp(&members)?, &[Algorithm::EdDSA]),
        _ => return Err(bad("its kty is none of RSA, EC and OKP")),
    };
    let algorithm = match text(&members, "alg")? {
        // RFC 9864 calls EdDSA on Ed25519 by the curve's name; more providers verify the older name.
        Some("Ed25519") => Some(Algorithm::EdDSA),
        Some(name) => Some(name.parse().map_err(|_| bad("its alg is not known here"))?),
        None => fits.first().copied(),
    };
    match algorithm.filter(|algorithm| fits.contains(algorithm)) {
        Some(algorithm) => Ok((pair, algorithm, text(&members, "kid")?.map(str::to_owned))),
        None => Err(bad("its alg does not fit its kty and crv")),
    }
}

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// RFC 7518 §6.3. All numbers are required; missing ones are not computed.
fn rsa(members: &Members) -> Result<Pair, InvalidPrivateKey> {
    let complete = ["p", "q", "dp", "dq", "qi"].iter().all(|name| members.contains_key(*name));
    if !complete || members.contains_key("oth") {
        return Err(bad("an RSA key needs n, e, d, p, q, dp, dq and qi, and no oth"));
    }
    let [n, e, d, p] = numbers(members, ["n", "e", "d", "p"])?;
    let [q, dp, dq, qi] = numbers(members, ["q", "dp", "dq", "qi"])?;
    let uint = |octets| UintRef::new(octets).map_err(|_| bad("one of its numbers is too large"));
    let key = RsaPrivateKey {
        modulus: uint(&n)?,
        public_exponent: uint(&e)?,
        private_exponent: uint(&d)?,
        prime1: uint(&p)?,
        prime2: uint(&q)?,
        exponent1: uint(&dp)?,
        exponent2: uint(&dq)?,
        coefficient: uint(&qi)?,
        other_prime_infos: None,
    };
    let der = key.to_der().map(Zeroizing::new);
    let der = der.map_err(|_| bad("one of its numbers is too large"))?;
    RsaKeyPair::from_der(&der)
        .map(Pair::Rsa)
        .map_err(|_| bad("its numbers are no RSA key of 2048 to 8192 bits"))
}

fn numbers<const N: usize>(
    members: &Members,
    names: [&str; N],
) -> Result<[Octets; N], InvalidPrivateKey> {
    let mut numbers = std::array::from_fn(|_| Octets::default());
    for (number, name) in numbers.iter_mut().zip(names) {
        *number = octets(members, name)?;
    }
    Ok(numbers)
}

/// RFC 7518 §6.2
fn ec(members: &Members) -> Result<(Pair, &'static [Algorithm]), InvalidPrivateKey> {
    let (algorithm, size): (&[Algorithm], usize) = match text(members, "crv")? {
        Some("P-256") => (&[Algorithm::ES256], 32),
        Some("P-384") => (&[Algorithm::ES384], 48),
        Some("P-521") => (&[Algorithm::ES512], 66),
        _ => return Err(bad("its crv is none of P-256, P-384 and P-521")),
    };
    let [d, x, y] = numbers(members, ["d", "x", "y"])?;
    if [&d, &x, &y].into_iter().any(|number| number.len() != size) {
        return Err(bad("d, x or y does not have the curve's length"));
    }
    let point = [&[4][..], &x[..], &y[..]].concat();
    let pair =
        algorithm.first().copied().and_then(ec_algorithm).and_then(|curve| {
            EcdsaKeyPair::from_private_key_and_public_key(curve, &d, &point).ok()
        });
    let pair = pair.ok_or(bad("d does not belong to the point x, y"))?;
    Ok((Pair::Ec(pair), algorithm))
}

/// RFC 8037 §2
fn okp(members: &Members) -> Result<Pair, InvalidPrivateKey> {
    if text(members, "crv")? != Some("Ed25519") {
        return Err(bad("its crv is not Ed25519"));
    }
    let [d, x] = numbers(members, ["d", "x"])?;
    Ed25519KeyPair::from_seed_and_public_key(&d, &x)
        .map(Pair::Ed)
        .map_err(|_| bad("d does not belong to x"))
}

fn text<'m>(members: &'m Members, name: &str) -> Result<Option<&'m str>, InvalidPrivateKey> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(bad("a member that must be a string is not")),
    }
}

fn octets(members: &Members, name: &str) -> Result<Octets, InvalidPrivateKey> {
    let text = text(members, name)?.ok_or(bad("a member of the key is missing"))?;
    let octets = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad("a member is not base64url"))?;
    Ok(Zeroizing::new(octets))
}

fn bad(reason: &'static str) -> InvalidPrivateKey {
    InvalidPrivateKey::NotJwk { reason }
}
