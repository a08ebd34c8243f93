//! Proof Key for Code Exchange ([RFC 7636]), S256 only.
//!
//! [RFC 7636]: https://www.rfc-editor.org/rfc/rfc7636

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::params::Params;

/// Challenge of a request. The request that redeems the code must send its verifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge(String);

impl Challenge {
    /// The challenge of a request, if it has one; `Err` describes an invalid one.
    pub(crate) fn read(params: &Params) -> Result<Option<Self>, &'static str> {
        let method = params.value("code_challenge_method");
        match params.value("code_challenge") {
            None if method.is_some() => Err("Missing parameter: code_challenge"),
            None => Ok(None),
            Some(challenge) if !is_s256(challenge) => Err("Invalid parameter: code_challenge"),
            Some(_) if method != Some("S256") => {
                Err("Invalid parameter: code_challenge_method, S256 is required")
            }
            Some(challenge) => Ok(Some(Self(challenge.to_owned()))),
        }
    }

    /// True if the challenge was made of `verifier` (§4.6).
    pub(crate) fn is_answered_by(&self, verifier: &str) -> bool {
        let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        (43..=128).contains(&verifier.len())
            && verify_slices_are_equal(hash.as_bytes(), self.0.as_bytes()).is_ok()
    }
}

/// True for the base64url form of 32 bytes, as in every S256 challenge (§4.2).
fn is_s256(challenge: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    challenge.len() == 43 && challenge.bytes().all(is_base64url)
}
