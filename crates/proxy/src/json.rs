//! Members of JSON objects by their exact names.
//!
//! Some servers read names in any letter case, Go's library among them: a name that differs only in that would be another
//! member to the gateway and the same one to such a server.

use serde_json::{Map, Value};

/// A name that some servers take for another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a member differs from `{name}` in letter case only; write `{name}`")]
pub struct OtherSpelling {
    /// The name that it looks like.
    pub name: &'static str,
}

/// The member of this name, which is lower case.
///
/// # Errors
///
/// [`OtherSpelling`] if another member differs from it in letter case only.
pub(crate) fn member<'m>(
    members: &'m Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'m Value>, OtherSpelling> {
    match members.keys().any(|own| own != name && folded(own) == folded(name)) {
        true => Err(OtherSpelling { name }),
        false => Ok(members.get(name)),
    }
}

/// The name without letter case: `ſ` is a form of `s` and the Kelvin sign one of `k`.
fn folded(name: &str) -> String {
    name.to_lowercase().to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_another_letter_case_is_refused() {
        let members = |name: &str| Map::from_iter([(name.to_owned(), Value::Bool(true))]);
        assert_eq!(member(&members("stream"), "stream"), Ok(Some(&Value::Bool(true))));
        assert_eq!(member(&members("streams"), "stream"), Ok(None));
        for odd in ["Stream", "STREAM", "\u{17f}tream"] {
            let odd = members(odd);
            assert_eq!(member(&odd, "stream"), Err(OtherSpelling { name: "stream" }), "{odd:?}");
        }
        assert!(member(&members("to\u{212a}en"), "token").is_err());
    }
}
