//! Paths that do not keep a rule yet. An exemption that is not needed is a complaint, so both lists only become shorter.

/// Files and folders exempt from the rules of [`crate::texts`].
pub(crate) const TEXTS: &[&str] = &["CHANGELOG.md", "crates/m2m", "crates/py-bindings"];

/// Files longer than [`crate::shape`] allows.
pub(crate) const LENGTH: &[&str] = &["crates/oidc-core/tests/keys.rs"];

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

impl Complaint {
    fn shown(&self) -> String {
        let line = self.line.map(|line| format!("{line}:")).unwrap_or_default();
        format!("{}:{line} {}", self.path, self.message)
    }
}

/// The complaints outside of the exempt paths, and one for each exemption that is not needed.
pub(crate) fn outside(exempt: &[&str], complaints: &[Complaint]) -> Vec<String> {
    let covers = |path: &str, complaint: &Complaint| {
        complaint
            .path
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let kept = complaints
        .iter()
        .filter(|complaint| !exempt.iter().any(|path| covers(path, complaint)))
        .map(Complaint::shown);
    let stale = exempt
        .iter()
        .filter(|path| !complaints.iter().any(|complaint| covers(path, complaint)))
        .map(|path| format!("xtask/src/exempt.rs: `{path}` keeps the rule: remove its exemption"));
    kept.chain(stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exemption_covers_its_folder_until_it_is_stale() {
        let complaint = |path: &str, line| Complaint {
            path: path.to_owned(),
            line,
            message: "fix it".to_owned(),
        };
        let complaints = [complaint("crates/m2m/a.rs", Some(7)), complaint("crates/m2mx.rs", None)];
        assert_eq!(outside(&["crates/m2m"], &complaints), ["crates/m2mx.rs: fix it"]);
        assert_eq!(outside(&[], &complaints)[0], "crates/m2m/a.rs:7: fix it");
        let stale = outside(&["crates/m2m", "crates/proxy"], &complaints).pop().unwrap();
        assert!(stale.contains("`crates/proxy` keeps the rule"), "{stale}");
    }
}
