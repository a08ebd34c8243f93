//! Strict JSON that parsers cannot read differently (RFC 8259; RFC 7519 §4: duplicate names are
//! refused).
//!
//! An object at the top, UTF-8, no member twice at any depth, nothing after the end, bounded depth.
//!
//! A program may build `serde_json` with its feature `arbitrary_precision`, which delivers a number as an object with one
//! member of a reserved name. Text that holds this name is refused, so such an object is always a number.

use serde_json::{Map, Value};

mod document;
mod value;
pub(crate) use document::Document;
pub use value::{ClaimArray, ClaimObject, ClaimValue};

/// Nesting limit of arrays and objects.
const MAX_DEPTH: usize = 32;

/// Reads one JSON object with arrays and objects nested at most `deepest` levels.
///
/// A member that is repeated at any depth is refused: two readers could take different values.
///
/// ```
/// # use oidc_core::strict_json;
/// let message = strict_json(br#"{ "method": "tools/list" }"#, 32)?;
/// assert_eq!(message["method"], "tools/list");
/// assert!(strict_json(br#"{ "method": "a", "method": "b" }"#, 32).is_err());
/// # Ok::<(), oidc_core::NotStrictJson>(())
/// ```
///
/// # Errors
///
/// [`NotStrictJson`]
pub fn strict_json(bytes: &[u8], deepest: usize) -> Result<Map<String, Value>, NotStrictJson> {
    let document = Document::with_levels(bytes.to_vec(), deepest);
    let document = document.map_err(|reason| NotStrictJson { reason })?;
    Ok(document.members().to_map())
}

/// Text that is not one JSON object, or that two readers could read differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotStrictJson {
    /// Position and cause; it quotes no value.
    pub reason: String,
}

/// Reads one JSON object.
///
/// The error is the parser's message; it names position and cause and quotes no values.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    Ok(Document::parse(bytes.to_vec())?.members().to_map())
}

#[cfg(test)]
mod tests {
    use super::{parse_object, strict_json};

    #[test]
    fn forged_numbers_of_arbitrary_precision_are_refused() {
        for forged in [
            r#"{"exp":{"$serde_json::private::Number":"9999999999"}}"#,
            r#"{"exp":"$serde_json::private::Number"}"#,
        ] {
            assert!(parse_object(forged.as_bytes()).is_err(), "{forged}");
        }
        let escaped = r#"{"exp":{"\u0024serde_json::private::Number":"9999999999"}}"#;
        assert!(parse_object(escaped.as_bytes()).unwrap()["exp"].is_object());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        for (depth, good) in [(31, true), (32, false), (100_000, false)] {
            assert_eq!(parse_object(nested(depth).as_bytes()).is_ok(), good, "{depth}");
        }
        for (levels, good) in [(4, true), (3, false)] {
            assert_eq!(strict_json(nested(3).as_bytes(), levels).is_ok(), good, "{levels}");
        }
    }
}
