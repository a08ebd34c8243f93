//! Content of a token, read without verification: to show, never to decide.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oidc_core::token::Actor;
use oidc_core::{Claims, Secret};
use serde_json::{Map, Value};

/// Largest token that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// Header and claims of a token.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    header: Map<String, Value>,
    pub(super) claims: Option<Claims>,
}

impl Claimed {
    /// Reads the parts that are well-formed.
    pub(super) fn of(token: &Secret) -> Self {
        let part = |index: usize| {
            let text = token.expose();
            let part = text.split('.').nth(index).filter(|_| text.len() <= LONGEST)?;
            URL_SAFE_NO_PAD.decode(part).ok()
        };
        let header = part(0).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let claims = part(1).and_then(|bytes| Claims::parse(&bytes).ok());
        Self { header: header.unwrap_or_default(), claims }
    }

    /// A string in the header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }
}

/// Actors that act for the subject, the present one first (`act`, RFC 8693 §4.1).
pub(super) fn actors(claims: &Claims) -> Vec<&str> {
    claims.actors().map(name).collect()
}

fn name<'c>(actor: Actor<'c>) -> &'c str {
    actor.subject().or(actor.client_id()).unwrap_or("an unnamed actor")
}
