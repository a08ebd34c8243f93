//! Demonstrating Proof of Possession (RFC 9449): proofs that clients make and resource servers check.
//!
//! | to … | use |
//! |---|---|
#![cfg_attr(
    feature = "token",
    doc = "| request tokens that are bound to a key | [`DpopKey`] → [`TokenEndpoint::with_dpop`](crate::client::TokenEndpoint::with_dpop) |\n| make a proof for a request (§4.2) | [`DpopKey::proof`], with the server's nonce from [`DpopNonces`] |"
)]
//! | accept bound tokens (§7.1) | [`DpopPolicy`] → [`Verifier::with_dpop`](crate::Verifier::with_dpop) |
//! | require a nonce of this server in proofs (§9) | [`DpopPolicy::with_nonces`] |
//! | refuse a used proof in every process (§11.1) | your own [`ReplayMemory`] → [`Verifier::with_dpop_memory`](crate::Verifier::with_dpop_memory) |
//! | answer a refused proof | [`ProofRefusal::code`] |
//!
//! ```
//! # #[cfg(feature = "token")]
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use http::Method;
//! use oidc_core::dpop::DpopKey;
//! use oidc_core::{Clock, Secret, SystemClock};
//!
//! let key = DpopKey::generate()?;
//! let token = Secret::from("eyJ…");
//! let url = "https://api.example/score".parse()?;
//! let proof = key.proof(&Method::POST, &url, Some(&token), None, SystemClock.now())?;
//! assert_eq!(proof.expose().split('.').count(), 3);
//! # Ok(()) }
//! # #[cfg(feature = "token")]
//! # run().unwrap();
//! ```

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use url::Url;

mod check;
#[cfg(feature = "token")]
mod key;
#[cfg(feature = "token")]
mod nonces;
mod policy;
mod replay;
mod server_nonce;
mod target;

pub use check::{DpopChecker, ProofRefusal};
pub(crate) use check::{ProvenRequest, UncountedProof};
#[cfg(feature = "token")]
pub use key::DpopKey;
#[cfg(feature = "token")]
pub use nonces::DpopNonces;
pub use policy::DpopPolicy;
pub use replay::{LocalReplayMemory, ProofUse, ReplayMemory, ReplayMemoryUnavailable, UsedProof};

/// `typ` of a proof (RFC 9449 §4.2).
pub(crate) const PROOF_TYPE: &str = "dpop+jwt";

/// The SHA-256 thumbprint of a public JWK (RFC 7638 §3, RFC 8037 §2), as in `cnf.jkt`; `None` if a
/// required member is missing or of the wrong type.
pub(crate) fn thumbprint(jwk: &Map<String, Value>) -> Option<String> {
    // RFC 7638 §3.3: the required members only, in the order of their names, without white space.
    let required: &[&str] = match jwk.get("kty")?.as_str()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let mut text = String::from("{");
    for name in required {
        let value = jwk.get(*name).filter(|value| value.is_string())?;
        let comma = if text.len() == 1 { "" } else { "," };
        text.push_str(&format!("{comma}\"{name}\":{value}"));
    }
    text.push('}');
    Some(hash(text.as_bytes()))
}

/// `htu`: the address without query and fragment (RFC 9449 §4.2), normalized as [`Url`] does (§4.3).
pub(crate) fn target_uri(url: &Url) -> String {
    let mut target = url.clone();
    target.set_query(None);
    target.set_fragment(None);
    target.into()
}

/// `ath`: the SHA-256 of the access token (RFC 9449 §4.2).
pub(crate) fn access_token_hash(access_token: &str) -> String {
    hash(access_token.as_bytes())
}

fn hash(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, octets))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{access_token_hash, target_uri, thumbprint};

    fn of(jwk: &Value) -> Option<String> {
        thumbprint(jwk.as_object()?)
    }

    #[test]
    fn thumbprints_are_those_of_the_specifications() {
        // RFC 7638 §3.1
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let rsa = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
        assert_eq!(of(&rsa).as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
        // RFC 8037 §A.3
        let okp = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(of(&okp).as_deref(), Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
        // RFC 9449 §6.1
        let ec = json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"});
        assert_eq!(of(&ec).as_deref(), Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"));
    }

    #[test]
    fn an_invalid_key_has_no_thumbprint() {
        for jwk in [
            json!({}),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "EC", "crv": "P-256", "x": "AA"}),
            json!({"kty": "RSA", "n": 1, "e": "AQAB"}),
        ] {
            assert_eq!(of(&jwk), None, "{jwk}");
        }
    }

    #[test]
    fn query_and_fragment_are_no_part_of_the_target() {
        for (url, target) in [
            ("https://server.example.com/token", "https://server.example.com/token"),
            ("https://Server.example.com:443/a%2Fb?x=1#y", "https://server.example.com/a%2Fb"),
            ("http://127.0.0.1:8080?x", "http://127.0.0.1:8080/"),
        ] {
            assert_eq!(url.parse().map(|url| target_uri(&url)).as_deref(), Ok(target));
        }
    }

    #[test]
    fn the_hash_of_an_access_token_is_that_of_the_specification() {
        // RFC 9449 §7.1
        let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
        assert_eq!(access_token_hash(token), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
    }
}
