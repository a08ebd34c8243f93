//! Nonces that servers hand out for proofs (RFC 9449 §8, §9): the latest of each origin counts.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use url::{Origin, Url};

/// Longest nonce that is kept, in bytes.
const LONGEST: usize = 1024;

/// Origins whose nonces are kept; at more, all are forgotten, which costs one request each.
const MOST: usize = 256;

/// The latest `DPoP-Nonce` of each origin. A nonce is sent to the origin that gave it and to no other.
///
/// ```
/// use oidc_core::DpopNonces;
/// let nonces = DpopNonces::default();
/// let api = "https://api.example/v1".parse()?;
/// let mut headers = http::HeaderMap::new();
/// headers.insert("dpop-nonce", "eyJ7S_zG".parse()?);
/// nonces.note(&api, &headers);
/// assert_eq!(nonces.latest(&"https://api.example/v2".parse()?).as_deref(), Some("eyJ7S_zG"));
/// assert_eq!(nonces.latest(&"https://other.example".parse()?), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct DpopNonces(Mutex<HashMap<Origin, String>>);

impl DpopNonces {
    /// What a proof for `url` must hold now, if its origin has said so.
    pub fn latest(&self, url: &Url) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&url.origin()).cloned()
    }

    /// Notes the `DPoP-Nonce` of an answer of `url` (RFC 9449 §8.2); says whether there was one.
    pub fn note(&self, url: &Url, headers: &HeaderMap) -> bool {
        let nonce = headers.get("dpop-nonce").and_then(|value| value.to_str().ok());
        let Some(nonce) = nonce.filter(|text| !text.is_empty() && text.len() <= LONGEST) else {
            return false;
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST && !kept.contains_key(&url.origin()) {
            kept.clear();
        }
        kept.insert(url.origin(), nonce.to_owned());
        true
    }
}

impl fmt::Debug for DpopNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DpopNonces(..)")
    }
}
