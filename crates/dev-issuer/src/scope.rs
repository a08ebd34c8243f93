//! Scope: an ordered set of words ([RFC 6749 §3.3]).
//!
//! [RFC 6749 §3.3]: https://www.rfc-editor.org/rfc/rfc6749#section-3.3

use std::fmt;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope(Vec<String>);

impl Scope {
    pub(crate) fn parse(text: &str) -> Self {
        let mut scope = Self::default();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            scope.add(word);
        }
        scope
    }

    pub(crate) fn add(&mut self, word: &str) {
        if !self.contains(word) {
            self.0.push(word.to_owned());
        }
    }

    pub(crate) fn contains(&self, word: &str) -> bool {
        self.0.iter().any(|own| own == word)
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// True if every word of `self` is in `other` too.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.words().all(|word| other.contains(word))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}
