//! Identifiers that are accepted once: the `jti` of client assertions, request objects and proofs of possession.

use std::collections::BTreeMap;

use crate::shared::Shared;

/// Used identifiers, each kept until the message that carried it has expired.
#[derive(Debug, Default)]
pub(crate) struct UsedIdentifiers(Shared<BTreeMap<String, u64>>);

impl UsedIdentifiers {
    /// Records a use. Returns false if the identifier was used before and its message has not expired.
    pub(crate) fn record(&self, identifier: String, expires: u64, now: u64) -> bool {
        let mut used = self.0.lock();
        used.retain(|_, expires| *expires > now);
        used.insert(identifier, expires).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::UsedIdentifiers;

    #[test]
    fn an_identifier_is_accepted_once_until_it_expires() {
        let used = UsedIdentifiers::default();
        assert!(used.record("a".to_owned(), 20, 10));
        assert!(!used.record("a".to_owned(), 20, 19));
        assert!(used.record("b".to_owned(), 20, 19));
        assert!(used.record("a".to_owned(), 40, 20));
    }
}
