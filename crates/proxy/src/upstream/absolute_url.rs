//! Absolute URLs of http and https, and references that begin with `//`, as an upstream writes them.
//!
//! Nothing is normalised: the path is passed on in the upstream's own bytes. An authority with user information, or with any
//! byte that a host must not have, is not read.

use std::borrow::Cow;

use http_canonical::{CanonicalHost, Scheme};

/// Scheme, authority, and the rest.
pub(super) struct AbsoluteUrl<'a> {
    /// `None` for a reference that begins with `//`.
    scheme: Option<Scheme>,
    host: CanonicalHost,
    rest: &'a str,
}

impl<'a> AbsoluteUrl<'a> {
    /// Reads a reference; `None` when it has no authority, or one that is not a host with an optional port.
    pub(super) fn read(reference: &'a str) -> Option<Self> {
        let (scheme, after) = match reference.strip_prefix("//") {
            Some(after) => (None, after),
            None => {
                let (scheme, after) = reference.split_once("://")?;
                let scheme = match scheme {
                    _ if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
                    _ if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
                    _ => return None,
                };
                (Some(scheme), after)
            }
        };
        let end = after.find(['/', '?', '#', '\\']).unwrap_or(after.len());
        let (authority, rest) = after.split_at_checked(end)?;
        if rest.starts_with('\\') {
            return None;
        }
        Some(Self { scheme, host: authority.parse().ok()?, rest })
    }

    /// Path, query and fragment.
    pub(super) fn reference(&self) -> Cow<'a, str> {
        if self.rest.starts_with('/') {
            Cow::Borrowed(self.rest)
        } else {
            Cow::Owned(format!("/{}", self.rest))
        }
    }

    /// Whether it names this host and port over `scheme`.
    pub(super) fn names(&self, scheme: Scheme, host: &str, port: u16) -> bool {
        self.scheme.is_none_or(|own| own == scheme)
            && self.host.port().unwrap_or(scheme.default_port()) == port
            && self.host.name().trim_matches(['[', ']']).eq_ignore_ascii_case(host)
    }

    /// Whether it is of the host that the client asked for. An application behind TLS of the gateway often writes `http`.
    pub(super) fn is_of(&self, asked: &CanonicalHost) -> bool {
        let plain = |host: &CanonicalHost| match (self.scheme, host.port()) {
            (Some(scheme), Some(port)) if port == scheme.default_port() => None,
            (_, port) => port,
        };
        self.host.name() == asked.name() && plain(&self.host) == plain(asked)
    }
}
