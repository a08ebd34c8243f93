//! `WWW-Authenticate` by RFC 6750 §3.
//!
//! A caller that presented no token learns only the realm (§3.1). A caller whose token was refused learns the reason, in
//! printable ASCII without quotes, whatever the token held.

use http::HeaderValue;

use super::Site;
use crate::refusal::Refusal;

const DESCRIPTION_CHARS: usize = 300;

/// The challenge for a refusal, if it has one.
pub(super) fn challenge(refusal: &Refusal, site: &Site) -> Option<HeaderValue> {
    let mut challenge = format!("Bearer realm=\"{}\"", quotable(site.realm(), 100));
    match refusal {
        Refusal::LoginNeeded { .. } => {}
        Refusal::BadCredentials(refusal) if !refusal.is_unavailable() => {
            let description = quotable(&refusal.to_string(), DESCRIPTION_CHARS);
            challenge.push_str(", error=\"invalid_token\", error_description=\"");
            challenge.push_str(&description);
            challenge.push('"');
        }
        Refusal::Forbidden { bearer: true, unmet, .. } => {
            challenge.push_str(", error=\"insufficient_scope\"");
            let mut scopes: Vec<String> =
                unmet.scopes.iter().map(|scope| scope_token(scope)).collect();
            scopes.sort_unstable();
            scopes.dedup();
            if !scopes.is_empty() {
                challenge.push_str(&format!(", scope=\"{}\"", scopes.join(" ")));
            }
        }
        _ => return None,
    }
    HeaderValue::try_from(challenge).ok()
}

/// Text that is allowed in a quoted string of RFC 6750 §3: %x20-21 / %x23-5B / %x5D-7E.
fn quotable(text: &str, chars: usize) -> String {
    text.chars()
        .take(chars)
        .map(|letter| match letter {
            '"' | '\\' => '\'',
            ' '..='~' => letter,
            _ => '?',
        })
        .collect()
}

/// A scope without the characters that RFC 6749 §3.3 forbids.
fn scope_token(scope: &str) -> String {
    scope
        .chars()
        .take(100)
        .filter(|letter| matches!(letter, '!'..='~') && !matches!(letter, '"' | '\\'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{quotable, scope_token};

    #[test]
    fn nothing_leaves_the_quotes() {
        assert_eq!(quotable("a\"b\\c\r\nd\u{202e}é", 200), "a'b'c??d??");
        assert_eq!(quotable(&"x".repeat(10_000), 200).len(), 200);
        assert_eq!(scope_token("score\", error=\"x y"), "score,error=xy");
    }
}
