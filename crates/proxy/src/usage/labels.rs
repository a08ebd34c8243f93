//! Names that are labels of metrics: few, whatever clients, issuers and upstreams write.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
};

/// The label of a name beyond those that are known, and of an answer without one.
const OTHER: &str = "other";
/// Models that have a label of their own.
const MODELS: usize = 64;
/// Clients that have a label of their own.
const CLIENTS: usize = 256;
/// The longest name that is a label.
const LONGEST: usize = 80;

/// The label of a model. The names of this process's first models are kept; an upstream that repeats the name that a client
/// wrote adds no series beyond them.
pub(crate) fn known_model(model: Option<&str>) -> &str {
    static KNOWN: LazyLock<Names> = LazyLock::new(|| Names::at_most(MODELS));
    KNOWN.label(model)
}

/// The label of a client. Where clients register themselves, an issuer has any number of them.
pub(crate) fn known_client(client: Option<&str>) -> &str {
    static KNOWN: LazyLock<Names> = LazyLock::new(|| Names::at_most(CLIENTS));
    KNOWN.label(client)
}

/// The first names of one kind.
struct Names {
    most: usize,
    known: Mutex<HashSet<String>>,
}

impl Names {
    fn at_most(most: usize) -> Self {
        Self { most, known: Mutex::default() }
    }

    fn label<'n>(&self, name: Option<&'n str>) -> &'n str {
        name.filter(|name| self.is_known(name)).unwrap_or(OTHER)
    }

    fn is_known(&self, name: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/@+".contains(&byte);
        if name.is_empty() || name.len() > LONGEST || !name.bytes().all(plain) {
            return false;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(name) || (known.len() < self.most && known.insert(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_first_ones_share_a_label() {
        let names = Names::at_most(64);
        for number in 0..64 {
            let name = format!("org/model-{number}:7b");
            assert_eq!(names.label(Some(&name)), name);
        }
        assert_eq!(names.label(Some("another")), OTHER);
        assert_eq!(names.label(Some("org/model-3:7b")), "org/model-3:7b");
        let fresh = Names::at_most(64);
        for odd in ["", "a b", "a\"b", "é", "a\n", &"m".repeat(81)] {
            assert_eq!(fresh.label(Some(odd)), OTHER, "{odd:?}");
        }
        assert!(fresh.known.into_inner().unwrap().is_empty());
    }
}
