//! `SubjectPattern`: a pattern for the subjects of jobs.

use oidc_core::token;
use pyo3::prelude::*;

use crate::errors;

/// A pattern for the subjects that platforms give their jobs: GitLab CI, GitHub Actions, Kubernetes, SPIFFE.
///
/// ``*`` stands for at least one character and crosses neither ``:`` nor ``/``; everything else is compared byte by byte. A subject is unique
/// within its issuer only: compare it after :attr:`Claims.issuer`, as ``doorward.access.Require(subjects=…)`` does.
///
/// >>> main = doorward.SubjectPattern("project_path:data/*:ref_type:branch:ref:main")
/// >>> main.matches("project_path:data/churn:ref_type:branch:ref:main")
/// True
///
/// Args:
///     pattern: the pattern, such as ``system:serviceaccount:run:*``.
///
/// Raises:
///     ConfigurationError: if it could be read in two ways, or lets everyone in: ``**``, ``repo:*/…``.
#[pyclass(frozen, eq, hash, module = "doorward")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct SubjectPattern(token::SubjectPattern);

#[pymethods]
impl SubjectPattern {
    #[new]
    fn new(py: Python<'_>, pattern: &str) -> PyResult<Self> {
        pattern.parse().map(Self).map_err(|error: token::InvalidPattern| {
            let message = error.to_string();
            let (reason, remedy) = message.split_once("; ").unwrap_or((&message, "write another"));
            let reason = format!("invalid pattern {pattern:?}: {reason}");
            errors::configuration(py, "subjects", reason, remedy.to_owned())
        })
    }

    /// True if the pattern matches this subject.
    fn matches(&self, subject: &str) -> bool {
        self.0.matches(subject)
    }

    fn __getnewargs__(&self) -> (&str,) {
        (self.0.as_str(),)
    }

    fn __str__(&self) -> &str {
        self.0.as_str()
    }

    fn __repr__(&self) -> String {
        format!("SubjectPattern({:?})", self.0.as_str())
    }
}
