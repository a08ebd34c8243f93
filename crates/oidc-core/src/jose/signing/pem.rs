//! Private keys in PEM (RFC 7468): PKCS#8 (RFC 5958), PKCS#1 (RFC 8017 §A.1.2), SEC 1 (RFC 5915).

use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use super::{InvalidPrivateKey, Pair, ec_algorithm};
use crate::secret::Secret;
use crate::token::Algorithm;

/// The first private key of the file.
pub(super) fn private_key(pem: &Secret) -> Result<PrivateKeyDer<'static>, InvalidPrivateKey> {
    PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| InvalidPrivateKey::NotPem)
}

/// The key, if it is of the kind that `algorithm` needs.
pub(super) fn pair(key: &PrivateKeyDer<'_>, algorithm: Algorithm) -> Option<Pair> {
    if let Some(ec) = ec_algorithm(algorithm) {
        return match key {
            PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(ec, der.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(der) => {
                EcdsaKeyPair::from_private_key_der(ec, der.secret_sec1_der())
            }
            _ => return None,
        }
        .ok()
        .map(Pair::Ec);
    }
    match (algorithm, key) {
        (Algorithm::EdDSA | Algorithm::Ed25519, PrivateKeyDer::Pkcs8(der)) => {
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).ok().map(Pair::Ed)
        }
        (Algorithm::EdDSA | Algorithm::Ed25519, _) => None,
        (_, PrivateKeyDer::Pkcs8(der)) => {
            RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok().map(Pair::Rsa)
        }
        (_, PrivateKeyDer::Pkcs1(der)) => {
            RsaKeyPair::from_der(der.secret_pkcs1_der()).ok().map(Pair::Rsa)
        }
        _ => None,
    }
}
