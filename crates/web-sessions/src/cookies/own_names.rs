//! The names by which a gateway's cookies are recognised in what upstreams get and set.

use std::sync::Arc;

use http::HeaderValue;

use super::{NAME, read};

/// Names of the gateway's cookies: the configured one, and always `doorward`, of which a cookie may be left from before.
///
/// ```
/// use http::HeaderValue;
/// use web_sessions::OwnNames;
///
/// let sent = HeaderValue::from_static("a=1; __Host-lab=secret; doorward=old");
/// assert_eq!(OwnNames::new("lab").strip(&sent).unwrap(), "a=1");
/// assert_eq!(OwnNames::default().strip(&sent).unwrap(), "a=1; __Host-lab=secret");
/// ```
#[derive(Debug, Clone, Default)]
pub struct OwnNames {
    /// In lower case; `None` for `doorward`.
    configured: Option<Arc<str>>,
}

impl OwnNames {
    /// The names of a gateway whose session cookie has this name, without prefix.
    pub fn new(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        Self { configured: (name != NAME).then(|| name.into()) }
    }

    /// A `Cookie` header without any cookie that is ours or that some parser could take for ours; `None` when nothing is left.
    /// The bytes of the other cookies stay as they are.
    pub fn strip(&self, header: &HeaderValue) -> Option<HeaderValue> {
        read::strip(header, self.configured.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(names: &OwnNames, cookie: &str) -> Option<String> {
        let header = HeaderValue::from_str(cookie).unwrap();
        names.strip(&header).map(|left| left.to_str().unwrap().to_owned())
    }

    #[test]
    fn every_lookalike_of_a_configured_name_is_removed() {
        let names = OwnNames::new("Lab");
        for ours in [
            "lab=x",
            "Lab=x",
            "__Host-lab=x",
            "__host-LAB.0=x",
            "__Host-lab-login-abcdefgh=x",
            "=__Host-lab=x",
            "\"lab\"=x",
            "$lab=x",
            "l%61b=x",
            "doorward=x",
            "__Host-doorward.1=x",
            "__Host-doorward-other=x",
            "__Host-doorward-other.0=x",
        ] {
            assert_eq!(left(&names, ours), None, "{ours}");
            assert_eq!(left(&names, &format!("a=1; {ours}")).as_deref(), Some("a=1"), "{ours}");
        }
        for theirs in ["labs=1", "my-lab=1", "lab-theme=1", "lab.theme=1", "doorward-theme=dark"] {
            assert_eq!(left(&names, theirs).as_deref(), Some(theirs));
        }
    }
}
