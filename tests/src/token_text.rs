//! Tokens in texts that must not hold any, and the claims of those that an upstream received.

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

/// The claims of a JWT, unverified.
pub fn claims(token: &str) -> Result<Value> {
    let payload = token.split('.').nth(1).context("no JWT")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
}

/// Whether the text has a JWT or the beginning of one. `eyJ` alone is no sign: one session identifier in thirteen thousand has it
/// inside; a key's thumbprint is 43 characters long.
pub fn has_token(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices("eyJ").any(|(at, _)| {
        let word = text[at..].split(|c| !inside(c)).next().unwrap_or_default();
        word.len() > 43 || text[at + word.len()..].starts_with('.')
    })
}

#[cfg(test)]
mod tests {
    use super::has_token;

    #[test]
    fn a_token_is_seen_and_an_identifier_is_not() {
        let jwt =
            "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUiLCJhdWQiOiJjaHVybiJ9.c2ln";
        let claims = &jwt[21..jwt.len() - 5];
        let line = |value: &str| format!(r#"{{"msg":"request","value":"{value}","status":200}}"#);
        for value in
            [jwt, claims, &jwt[..30], &format!("a token: {jwt}"), &format!("Bearer%20{jwt}")]
        {
            assert!(has_token(&line(value)), "{value}");
        }
        for value in [
            "4iO3eyJNclTtHumPtNyUAe",
            "eyJ3NclTtHumPtNyUAevuQ",
            "eyJ0JBuIKx3zOxza48FEb3Ztm1qV_TMvmufaLNZQ9wx",
        ] {
            assert!(!has_token(&line(value)), "{value}");
        }
    }
}
