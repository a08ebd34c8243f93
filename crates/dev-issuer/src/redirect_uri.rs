//! Registered redirect URIs ([RFC 9700 §2.1]): exact string comparison, except that a registered `*`
//! matches one port or one whole host label, so that a test can register before it has a port.
//!
//! Never a prefix, never a wildcard in the path, never part of a label.
//!
//! [RFC 9700 §2.1]: https://www.rfc-editor.org/rfc/rfc9700#section-2.1

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedirectUri(String);

impl RedirectUri {
    pub(crate) fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> Option<&str> {
        let authority = self.0.find("://")? + "://".len();
        let path = self.0.get(authority..)?.find(['/', '?', '#']);
        path.map_or(Some(self.0.as_str()), |path| self.0.get(..authority + path))
    }

    pub(crate) fn matches(&self, presented: &str) -> bool {
        if self.0 == presented {
            return !presented.contains(['*', '#']);
        }
        let (Some(ours), Some(theirs)) = (Parts::of(&self.0), Parts::of(presented)) else {
            return false;
        };
        ours.scheme == theirs.scheme
            && ours.rest == theirs.rest
            && !theirs.rest.contains('#')
            && labels_match(ours.host, theirs.host)
            && port_matches(ours.port, theirs.port)
    }
}

struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<&'a str>,
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(uri: &'a str) -> Option<Self> {
        let (scheme, after) = uri.split_once("://")?;
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        let (host, port) = match authority.rfind(':') {
            Some(colon) if !authority.ends_with(']') => {
                let (host, port) = authority.split_at(colon);
                (host, port.strip_prefix(':'))
            }
            _ => (authority, None),
        };
        Some(Self { scheme, host, port, rest })
    }
}

fn labels_match(ours: &str, theirs: &str) -> bool {
    let (mut ours, mut theirs) = (ours.split('.'), theirs.split('.'));
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return true,
            (Some("*"), Some(label)) if is_label(label) => {}
            (Some(our), Some(their)) if our == their && our != "*" => {}
            _ => return false,
        }
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn port_matches(ours: Option<&str>, theirs: Option<&str>) -> bool {
    match (ours, theirs) {
        (Some("*"), Some(port)) => {
            !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())
        }
        (ours, theirs) => ours == theirs,
    }
}

#[cfg(test)]
mod tests {
    use super::RedirectUri;

    fn matches(pattern: &str, presented: &str) -> bool {
        RedirectUri::new(pattern).matches(presented)
    }

    #[test]
    fn exact_text_matches() {
        assert!(matches("https://app.example/cb", "https://app.example/cb"));
        assert!(!matches("https://app.example/cb", "https://app.example/cb/"));
        assert!(!matches("https://app.example/cb", "https://app.example/cb?x=1"));
        assert!(!matches("https://app.example/cb", "https://APP.example/cb"));
    }

    #[test]
    fn star_is_one_port() {
        let pattern = "http://127.0.0.1:*/cb";
        assert!(matches(pattern, "http://127.0.0.1:4567/cb"));
        assert!(!matches(pattern, "http://127.0.0.1/cb"));
        assert!(!matches(pattern, "http://127.0.0.1:/cb"));
        assert!(!matches(pattern, "http://127.0.0.1:80@evil.example/cb"));
        assert!(!matches(pattern, "http://127.0.0.1:4567/cb/../other"));
        assert!(!matches(pattern, "http://127.0.0.1:4567/cb#x"));
        assert!(!matches(pattern, "http://127.0.0.1:*/cb"));
    }

    #[test]
    fn star_is_one_host_label() {
        let pattern = "https://*.lab.example/cb";
        assert!(matches(pattern, "https://hub.lab.example/cb"));
        assert!(!matches(pattern, "https://a.b.lab.example/cb"));
        assert!(!matches(pattern, "https://evil.example/x.lab.example/cb"));
        assert!(!matches(pattern, "https://user@lab.example/cb"));
        assert!(!matches(pattern, "https://.lab.example/cb"));
    }

    #[test]
    fn ipv6_hosts_keep_their_colons() {
        assert!(matches("http://[::1]:*/cb", "http://[::1]:8080/cb"));
        assert!(!matches("http://[::1]:*/cb", "http://[::2]:8080/cb"));
    }
}
