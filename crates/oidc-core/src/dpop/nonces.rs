//! Nonces that servers issue for proofs (RFC 9449 §8, §9): only the latest of each origin is kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use url::{Origin, Url};

/// Length limit of a nonce, in bytes.
const LONGEST: usize = 1024;

/// Limit on origins. Above it all nonces are dropped, which costs one more request per origin.
const MOST: usize = 256;

/// The latest `DPoP-Nonce` of each origin. A nonce is sent only to the origin that issued it.
///
/// ```
/// use oidc_core::dpop::DpopNonces;
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
    /// The nonce for a proof for `url`, if its origin issued one.
    pub fn latest(&self, url: &Url) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&url.origin()).cloned()
    }

    /// Stores the `DPoP-Nonce` of an answer from `url` (RFC 9449 §8.2); returns whether there was
    /// one.
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
