//! The upstream of a route: its targets, the choice among them, and the rewrite of the path.

mod balance;
mod dial;
mod failure;
mod pool;
mod target;
mod tls;
mod upload;

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http_canonical::{CanonicalPath, StripError};
use tokio::time::Instant;
use web_sessions::OwnNames;

use self::balance::Balancer;
pub use self::{
    balance::Balance,
    dial::{ConnectError, InvalidUpstream},
    target::TargetStatus,
    tls::{TlsError, UpstreamTls},
};
pub(crate) use self::{
    failure::{explain, is_hang_up},
    pool::Lease,
    target::{InFlight, Target},
    upload::Upload,
};
use crate::config::UpstreamUrl;

/// The service behind a route, on one or several targets.
///
/// Owns its connections. Dropped with its route at a reload; exchanges in progress continue.
pub struct Upstream {
    targets: Vec<Arc<Target>>,
    balancer: Balancer,
    rewrite: Rewrite,
    cookie_dropped: AtomicBool,
    own_cookies: OwnNames,
}

/// Change of the path on its way. The policy sees the original path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Prefix to remove, in whole segments.
    pub strip_prefix: Option<CanonicalPath>,
    /// Prefix to add, after `strip_prefix` was removed.
    pub add_prefix: Option<CanonicalPath>,
}

impl Upstream {
    /// An upstream on these targets.
    ///
    /// # Errors
    ///
    /// [`InvalidUpstream`] without a target, or with one that TLS cannot name.
    pub fn new(targets: &[UpstreamUrl], tls: &UpstreamTls) -> Result<Self, InvalidUpstream> {
        if targets.is_empty() {
            return Err(InvalidUpstream::NoTarget);
        }
        let targets = targets
            .iter()
            .map(|url| Target::new(url, tls).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            targets,
            balancer: Balancer::default(),
            rewrite: Rewrite::default(),
            cookie_dropped: AtomicBool::new(false),
            own_cookies: OwnNames::default(),
        })
    }

    /// Sets the distribution of requests; the default is [`Balance::LeastInFlight`].
    #[must_use]
    pub fn with_balance(mut self, balance: Balance) -> Self {
        self.balancer.balance = balance;
        self
    }

    /// Changes paths on their way.
    #[must_use]
    pub fn with_rewrite(mut self, rewrite: Rewrite) -> Self {
        self.rewrite = rewrite;
        self
    }

    /// Neither gets nor sets cookies of these names.
    #[must_use]
    pub fn with_own_cookies(mut self, own_cookies: OwnNames) -> Self {
        self.own_cookies = own_cookies;
        self
    }

    /// Names of cookies that are the gateway's.
    pub(crate) fn own_cookies(&self) -> &OwnNames {
        &self.own_cookies
    }

    /// The targets as configured.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().map(|target| target.name())
    }

    /// Status of the targets.
    pub fn status(&self) -> Vec<TargetStatus> {
        self.targets.iter().map(|target| target.status()).collect()
    }

    /// The path the upstream sees, for display. A path that cannot be rewritten is shown unchanged; it is not sent.
    pub fn rewritten<'a>(&self, path: &'a CanonicalPath) -> Cow<'a, str> {
        self.rewrite(path).unwrap_or(Cow::Borrowed(path.as_str()))
    }

    /// The path the upstream sees.
    ///
    /// # Errors
    ///
    /// [`StripError::DoubleSlash`] when the path would begin with `//`, which names a host.
    pub(super) fn rewrite<'a>(&self, path: &'a CanonicalPath) -> Result<Cow<'a, str>, StripError> {
        let stripped = match &self.rewrite.strip_prefix {
            Some(prefix) => match path.strip_prefix(prefix) {
                Ok(stripped) => Some(stripped),
                Err(StripError::NotBelow) => None,
                Err(refused) => return Err(refused),
            },
            None => None,
        };
        let add =
            self.rewrite.add_prefix.as_ref().map(|prefix| prefix.as_str().trim_end_matches('/'));
        Ok(match (stripped, add) {
            (None, None | Some("")) => Cow::Borrowed(path.as_str()),
            (Some(path), None | Some("")) => Cow::Owned(path.as_str().to_owned()),
            (None, Some(prefix)) => Cow::Owned(format!("{prefix}{path}")),
            (Some(path), Some(prefix)) => Cow::Owned(format!("{prefix}{path}")),
        })
    }

    /// The removed prefix, for `X-Forwarded-Prefix`.
    pub(super) fn stripped_prefix(&self) -> Option<&str> {
        let prefix = self.rewrite.strip_prefix.as_ref()?.as_str().trim_end_matches('/');
        (!prefix.is_empty()).then_some(prefix)
    }

    /// The target for the next exchange and its index; another than `except` if there is one.
    pub(super) fn choose(&self, except: Option<usize>) -> Option<(usize, &Arc<Target>)> {
        let place = self.balancer.choose(&self.targets, except, Instant::now())?;
        self.targets.get(place).map(|target| (place, target))
    }

    /// Whether this is the first time that the upstream set a cookie of the gateway's.
    pub(super) fn first_stolen_cookie(&self) -> bool {
        !self.cookie_dropped.swap(true, Ordering::Relaxed)
    }

    /// Whether a second target exists.
    pub(super) fn has_alternative(&self) -> bool {
        self.targets.len() > 1
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("targets", &self.targets().collect::<Vec<_>>())
            .field("balance", &self.balancer.balance)
            .field("rewrite", &self.rewrite)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_canonical::Keep;

    fn upstream(strip: Option<&str>, add: Option<&str>) -> Upstream {
        let parse = |text: &str| text.parse::<CanonicalPath>().unwrap();
        Upstream::new(&["http://127.0.0.1:1".parse().unwrap()], &UpstreamTls::platform())
            .unwrap()
            .with_rewrite(Rewrite { strip_prefix: strip.map(parse), add_prefix: add.map(parse) })
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
            assert_eq!(upstream(strip, add).rewritten(&path), sent, "{strip:?} {add:?} {path}");
        }
    }

    #[test]
    fn a_path_that_would_begin_with_two_slashes_is_not_sent() {
        let path = CanonicalPath::parse("/app//evil.test/x", Keep::ALL).unwrap();
        assert!(matches!(
            upstream(Some("/app"), None).rewrite(&path),
            Err(StripError::DoubleSlash)
        ));
    }

    #[test]
    fn an_upstream_needs_a_target() {
        let none = Upstream::new(&[], &UpstreamTls::platform());
        assert!(matches!(none, Err(InvalidUpstream::NoTarget)));
    }
}
