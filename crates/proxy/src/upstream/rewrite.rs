//! Change of the path on its way to the upstream, and of the upstream's own paths on their way back.
//!
//! An upstream that does not know the prefix under which browsers reach it names its own paths in redirects and cookies. A path
//! that already has the prefix comes from an application that read `X-Forwarded-Prefix`; it stays as it is.

use std::borrow::Cow;

use http_canonical::{CanonicalPath, StripError};

/// Change of the path on its way. The policy sees the original path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Prefix to remove, in whole segments.
    pub strip_prefix: Option<CanonicalPath>,
    /// Prefix to add, after `strip_prefix` was removed.
    pub add_prefix: Option<CanonicalPath>,
    /// Prefix of the gateway's own URLs, which an upstream may name.
    pub own_urls: Option<CanonicalPath>,
    /// Whether the removed prefix is a resource of its own. Otherwise it is redirected to the same path with a slash.
    pub prefix_is_resource: bool,
}

impl Rewrite {
    /// The path that the upstream sees.
    ///
    /// # Errors
    ///
    /// [`StripError::DoubleSlash`] when the path would begin with `//`, which names a host.
    pub(super) fn there<'a>(&self, path: &'a CanonicalPath) -> Result<Cow<'a, str>, StripError> {
        let stripped = match &self.strip_prefix {
            Some(prefix) => match path.strip_prefix(prefix) {
                Ok(stripped) => Some(stripped),
                Err(StripError::NotBelow) => None,
                Err(refused) => return Err(refused),
            },
            None => None,
        };
        Ok(match (stripped, trimmed(self.add_prefix.as_ref())) {
            (None, None) => Cow::Borrowed(path.as_str()),
            (Some(path), None) => Cow::Owned(path.as_str().to_owned()),
            (None, Some(prefix)) => Cow::Owned(format!("{prefix}{path}")),
            (Some(path), Some(prefix)) => Cow::Owned(format!("{prefix}{path}")),
        })
    }

    /// Whether a path is the removed prefix without a slash at its end. Links of the upstream's page would leave the prefix, so
    /// it belongs to the same path with a slash.
    pub(super) fn lacks_slash(&self, path: &CanonicalPath) -> bool {
        let prefix = self.strip_prefix.as_ref().map(CanonicalPath::compared);
        !self.prefix_is_resource
            && prefix.is_some_and(|prefix| prefix.trim_end_matches('/') == path.compared())
    }

    /// The removed prefix, without a slash at its end.
    pub(super) fn stripped_prefix(&self) -> Option<&str> {
        trimmed(self.strip_prefix.as_ref())
    }

    /// Whether browsers know the upstream's paths by other names.
    pub(super) fn is_needed(&self) -> bool {
        self.stripped_prefix().is_some() || trimmed(self.add_prefix.as_ref()).is_some()
    }

    /// The path by which browsers reach a path of the upstream, which may have a query or a fragment; `None` when it stays as it
    /// is.
    pub(super) fn back(&self, path: &str) -> Option<String> {
        let strip = self.stripped_prefix().unwrap_or_default();
        if !path.starts_with('/') || below(path, strip).is_some_and(|_| !strip.is_empty()) {
            return None;
        }
        if self.own_urls.as_ref().is_some_and(|own| below(path, own.as_str()).is_some()) {
            return None;
        }
        let rest = below(path, trimmed(self.add_prefix.as_ref()).unwrap_or_default())?;
        let slash = if rest.starts_with('/') || !strip.is_empty() { "" } else { "/" };
        let public = format!("{strip}{slash}{rest}");
        (public != path && !names_a_host(&public)).then_some(public)
    }

    /// The `Path` of a cookie for browsers; `None` when it stays as it is.
    pub(super) fn cookie_path(&self, path: &str) -> Option<String> {
        match self.stripped_prefix() {
            // With a slash at its end, the cookie would be missing for the prefix itself.
            Some(prefix) if path == "/" => Some(prefix.to_owned()),
            None if path == "/" => None,
            _ => self.back(path).map(|path| match path.strip_suffix('/') {
                Some(bare) if Some(bare) == self.stripped_prefix() => bare.to_owned(),
                _ => path,
            }),
        }
    }
}

/// The rest of a reference behind a prefix of whole segments, with its query and fragment.
fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with(['/', '?', '#'])).then_some(rest)
}

/// Whether a browser reads a reference as one to another host.
pub(super) fn names_a_host(reference: &str) -> bool {
    let mut bytes = reference.bytes();
    let slash = |byte| matches!(byte, Some(b'/' | b'\\'));
    slash(bytes.next()) && slash(bytes.next())
}

fn trimmed(prefix: Option<&CanonicalPath>) -> Option<&str> {
    let prefix = prefix?.as_str().trim_end_matches('/');
    (!prefix.is_empty()).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use http_canonical::Keep;

    use super::*;

    fn rewrite(strip: Option<&str>, add: Option<&str>) -> Rewrite {
        let parse = |text: &str| text.parse::<CanonicalPath>().unwrap();
        Rewrite {
            strip_prefix: strip.map(parse),
            add_prefix: add.map(parse),
            own_urls: Some(parse("/oauth2")),
            prefix_is_resource: false,
        }
    }

    #[test]
    fn a_path_is_rewritten_by_whole_segments() {
        for (strip, add, path, sent) in [
            (None, None, "/a/b", "/a/b"),
            (Some("/app"), None, "/app/x", "/x"),
            (Some("/app"), None, "/app", "/"),
            (Some("/app"), None, "/app/", "/"),
            (Some("/app"), None, "/apple/x", "/apple/x"),
            (Some("/"), None, "/a", "/a"),
            (None, Some("/base"), "/a", "/base/a"),
            (None, Some("/"), "/a", "/a"),
            (Some("/app"), Some("/base"), "/app", "/base/"),
            (Some("/app"), Some("/base/"), "/app/x/", "/base/x/"),
        ] {
            let path: CanonicalPath = path.parse().unwrap();
            assert_eq!(rewrite(strip, add).there(&path).unwrap(), sent, "{strip:?} {add:?} {path}");
        }
    }

    #[test]
    fn a_path_that_would_begin_with_two_slashes_is_not_sent() {
        let path = CanonicalPath::parse("/app//evil.test/x", Keep::ALL).unwrap();
        let refused = rewrite(Some("/app"), None).there(&path);
        assert!(matches!(refused, Err(StripError::DoubleSlash)));
    }

    #[test]
    fn a_path_of_the_upstream_returns_under_the_prefix() {
        for (strip, add, path, public) in [
            (Some("/app"), None, "/x", Some("/app/x")),
            (Some("/app"), None, "/", Some("/app/")),
            (Some("/app/"), None, "/x/?a=/b#c", Some("/app/x/?a=/b#c")),
            (Some("/app"), None, "/?q", Some("/app/?q")),
            (Some("/app"), None, "/apple", Some("/app/apple")),
            (Some("/app"), None, "/app/x", None),
            (Some("/app"), None, "/app", None),
            (Some("/app"), None, "/app?q", None),
            (Some("/app"), None, "/oauth2/sign_out?rd=/", None),
            (Some("/app"), None, "/oauth2x", Some("/app/oauth2x")),
            (Some("/app"), None, "x", None),
            (Some("/app"), None, "", None),
            (None, None, "/x", None),
            (Some("/"), None, "/x", None),
            (None, Some("/base"), "/base/x", Some("/x")),
            (None, Some("/base"), "/base", Some("/")),
            (None, Some("/base"), "/base?q", Some("/?q")),
            (None, Some("/base"), "/other", None),
            (None, Some("/base"), "/base//evil.test", None),
            (None, Some("/base"), "/base/\\evil.test", None),
            (Some("/app"), Some("/base"), "/base/x", Some("/app/x")),
            (Some("/app"), Some("/base"), "/base", Some("/app")),
            (Some("/app"), Some("/base"), "/other", None),
        ] {
            let mapped = rewrite(strip, add).back(path);
            assert_eq!(mapped.as_deref(), public, "{strip:?} {add:?} {path}");
        }
    }

    #[test]
    fn a_cookie_for_the_whole_upstream_is_one_for_the_prefix() {
        for (strip, add, path, public) in [
            (Some("/app"), None, "/", Some("/app")),
            (Some("/app"), None, "/x", Some("/app/x")),
            (Some("/app"), None, "/app", None),
            (Some("/app"), Some("/base"), "/base/", Some("/app")),
            (Some("/app"), Some("/base"), "/", Some("/app")),
            (None, Some("/base"), "/base", Some("/")),
            (None, Some("/base"), "/", None),
            (None, None, "/", None),
        ] {
            let mapped = rewrite(strip, add).cookie_path(path);
            assert_eq!(mapped.as_deref(), public, "{strip:?} {add:?} {path}");
        }
    }

    #[test]
    fn only_the_bare_prefix_lacks_a_slash() {
        let lacks = |rewrite: &Rewrite, path: &str| rewrite.lacks_slash(&path.parse().unwrap());
        let strips = rewrite(Some("/a%40b/"), None);
        assert!(lacks(&strips, "/a@b"));
        assert!(!lacks(&strips, "/a@b/") && !lacks(&strips, "/a@b/x") && !lacks(&strips, "/"));
        assert!(!lacks(&rewrite(None, Some("/a")), "/a"));
        assert!(!lacks(&rewrite(Some("/"), None), "/"));
        assert!(!lacks(&Rewrite { prefix_is_resource: true, ..strips }, "/a@b"));
    }
}
