//! A place that does not keep a rule.

use std::fmt;

/// Something against a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Path of the file.
    pub(crate) path: String,
    /// Line, where the rule is about one.
    pub(crate) line: Option<usize>,
    /// The fault and the remedy.
    pub(crate) message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map(|line| format!("{line}:")).unwrap_or_default();
        write!(f, "{}:{line} {}", self.path, self.message)
    }
}
