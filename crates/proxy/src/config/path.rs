//! Paths as they may be written: in the one form requests are compared in.
//!
//! Which request a pattern matches is [`PathPattern`]'s to say; here is only how it looks in the file.

use super::text::written_as_text;
use crate::canonical::{CanonicalPath, PathPattern, PathRefusal};

written_as_text!(PathPattern, "a path pattern", "/models/churn/docs/**");

/// Why no request has a path.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// It does not begin at the root.
    #[error("`{path}` must begin with `/`")]
    Relative {
        /// What was written.
        path: String,
    },
    /// Such a path is refused when a request has it.
    #[error("no request has the path `{path}`: {refusal}")]
    Refused {
        /// What was written.
        path: String,
        /// Why it is refused.
        refusal: PathRefusal,
    },
    /// The same path is compared in another spelling.
    #[error("requests are compared in the form `{canonical}`: write that")]
    Spelling {
        /// The spelling.
        canonical: String,
    },
}

/// Whether a path is spelled as requests are compared.
pub(super) fn check(path: &str) -> Result<(), PathError> {
    if !path.starts_with('/') {
        return Err(PathError::Relative { path: path.to_owned() });
    }
    let canonical = CanonicalPath::from_written(path)
        .map_err(|refusal| PathError::Refused { path: path.to_owned(), refusal })?;
    if canonical.as_str() == path {
        Ok(())
    } else {
        Err(PathError::Spelling { canonical: canonical.as_str().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn another_spelling_is_told() {
        for (path, canonical) in
            [("/%61", "/a"), ("/café", "/caf%C3%A9"), ("/a b", "/a%20b"), ("/%c3%a9", "/%C3%A9")]
        {
            let told = check(path).unwrap_err().to_string();
            assert!(told.contains(&format!("`{canonical}`")), "{told}");
            check(canonical).unwrap();
        }
        for path in ["", "a", "/a/../b", "//a", "/%2e", "/a?b", "/a#b", "/a%2Fb", "/\u{7f}", "/%zz"]
        {
            assert!(check(path).is_err(), "{path}");
        }
    }
}
