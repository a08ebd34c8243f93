//! The upstream of a route: its targets, the choice among them, and the rewrite of the path.

mod absolute_url;
mod balance;
mod bound;
mod budget;
mod check;
mod dial;
mod failure;
mod follow;
mod health;
mod name;
mod pool;
mod probe;
mod race;
mod readmit;
mod rewrite;
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

use http_canonical::{CanonicalHost, CanonicalPath, StripError};
use tokio::time::Instant;
use web_sessions::OwnNames;

use self::{
    absolute_url::AbsoluteUrl, balance::Balancer, budget::RetryBudget, rewrite::names_a_host,
};
pub use self::{
    balance::Balance,
    bound::bound_connections,
    check::HealthCheck,
    dial::{ConnectError, InvalidUpstream},
    rewrite::Rewrite,
    target::TargetStatus,
    tls::{TlsError, UpstreamTls},
};
pub(crate) use self::{
    failure::{explain, is_hang_up},
    pool::Lease,
    target::{InFlight, Target},
    upload::Upload,
};
use crate::config::{UpstreamHost, UpstreamUrl};

/// The service behind a route, on one or several targets.
///
/// Owns its connections. At a reload, [`Upstream::after`] shares them with the next one; the others are dropped with their route,
/// and exchanges in progress continue.
pub struct Upstream {
    targets: Vec<Arc<Target>>,
    balancer: Arc<Balancer>,
    rewrite: Rewrite,
    cookie_dropped: AtomicBool,
    large_identity: AtomicBool,
    own_cookies: OwnNames,
    check: Option<HealthCheck>,
    retries: RetryBudget,
}

impl Upstream {
    /// An upstream on these targets.
    ///
    /// # Errors
    ///
    /// [`InvalidUpstream`] without a target, or with one that TLS cannot name.
    pub fn new(targets: &[UpstreamUrl], tls: &UpstreamTls) -> Result<Self, InvalidUpstream> {
        Self::after(None, targets, tls)
    }

    /// An upstream on these targets, which shares those that `earlier` had too: their connections, health and exchanges. The
    /// earlier one must have the same TLS and the same host in requests.
    ///
    /// # Errors
    ///
    /// As [`Upstream::new`].
    pub fn after(
        earlier: Option<&Self>,
        targets: &[UpstreamUrl],
        tls: &UpstreamTls,
    ) -> Result<Self, InvalidUpstream> {
        if targets.is_empty() {
            return Err(InvalidUpstream::NoTarget);
        }
        let kept = |url: &UpstreamUrl| {
            let name = url.to_string();
            earlier?.targets.iter().find(|target| target.name() == name).cloned()
        };
        let targets = targets
            .iter()
            .map(|url| match kept(url) {
                Some(target) => Ok(target),
                None => Target::new(url, tls).map(Arc::new),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            targets,
            balancer: earlier.map(|earlier| Arc::clone(&earlier.balancer)).unwrap_or_default(),
            rewrite: Rewrite::default(),
            cookie_dropped: AtomicBool::new(false),
            large_identity: AtomicBool::new(false),
            own_cookies: OwnNames::default(),
            check: None,
            retries: RetryBudget::default(),
        })
    }

    /// Sets the host in requests; the default is the client's.
    #[must_use]
    pub fn with_host(mut self, host: &UpstreamHost) -> Self {
        for target in &mut self.targets {
            // No other owner exists before the first exchange; one that is kept has this host already.
            if let Some(target) = Arc::get_mut(target) {
                target.set_host(host);
            }
        }
        self
    }

    /// Checks the health of each target, once [`Upstream::begin_checks`] was called.
    #[must_use]
    pub fn with_check(mut self, check: Option<HealthCheck>) -> Self {
        self.check = check;
        self
    }

    /// Counts the ejections of its targets under the name of its route.
    #[must_use]
    pub fn with_meters(mut self, route: &str) -> Self {
        for target in &mut self.targets {
            if let Some(target) = Arc::get_mut(target) {
                target.set_meters(route);
            }
        }
        self
    }

    /// Has its own connections for each of so many workers. Without it, all threads share them.
    #[must_use]
    pub fn with_workers(mut self, workers: usize) -> Self {
        for target in &mut self.targets {
            // One that is kept has them already.
            if let Some(target) = Arc::get_mut(target) {
                target.set_workers(workers);
            }
        }
        self
    }

    /// Sets the distribution of requests; the default is [`Balance::LeastInFlight`].
    #[must_use]
    pub fn with_balance(mut self, balance: Balance) -> Self {
        self.balancer = Arc::new(Balancer::new(balance));
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
        self.rewrite.there(path)
    }

    /// Whether a path is the removed prefix without the slash that the upstream's page needs.
    pub(super) fn lacks_slash(&self, path: &CanonicalPath) -> bool {
        self.rewrite.lacks_slash(path)
    }

    /// The removed prefix, for `X-Forwarded-Prefix`.
    pub(super) fn stripped_prefix(&self) -> Option<&str> {
        self.rewrite.stripped_prefix()
    }

    /// The reference by which browsers reach what the upstream's `reference` names; `None` when it stays as it is. A URL of the
    /// upstream's own origin becomes a path; so does one of the origin that the client asked for, if its path changes.
    pub(super) fn public_reference(
        &self,
        reference: &str,
        asked: &CanonicalHost,
    ) -> Option<String> {
        let Some(url) = AbsoluteUrl::read(reference) else {
            return (!names_a_host(reference)).then(|| self.rewrite.back(reference)).flatten();
        };
        let own = self.targets.iter().any(|target| target.is_named_by(&url));
        let path = url.reference();
        match self.rewrite.back(&path) {
            Some(public) if own || url.is_of(asked) => Some(public),
            None if own && !names_a_host(&path) => Some(path.into_owned()),
            _ => None,
        }
    }

    /// The `Path` of a cookie for browsers; `None` when it stays as it is.
    pub(super) fn cookie_path(&self, path: &str) -> Option<String> {
        self.rewrite.cookie_path(path)
    }

    /// Whether browsers know the upstream's paths by other names.
    pub(super) fn renames_paths(&self) -> bool {
        self.rewrite.is_needed()
    }

    /// Counts a request, a share of which may be tried again.
    pub(super) fn count_request(&self) {
        self.retries.request();
    }

    /// Whether a request may be tried again now.
    pub(super) fn may_retry(&self) -> bool {
        self.retries.retry(Instant::now())
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

    /// Whether this is the first time that the upstream gets an identity that many servers find too large.
    pub(super) fn first_large_identity(&self) -> bool {
        !self.large_identity.swap(true, Ordering::Relaxed)
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

    fn upstream(strip: &str) -> Upstream {
        let urls = ["http://app.svc:8000", "http://[::1]:80"].map(|url| url.parse().unwrap());
        Upstream::new(&urls, &UpstreamTls::platform()).unwrap().with_rewrite(Rewrite {
            strip_prefix: Some(strip.parse().unwrap()),
            ..Rewrite::default()
        })
    }

    #[test]
    fn urls_of_the_upstream_and_of_the_client_become_paths() {
        let asked: CanonicalHost = "platform.example".parse().unwrap();
        for (reference, public) in [
            ("/x", Some("/app/x")),
            ("http://app.svc:8000/x?a#b", Some("/app/x?a#b")),
            ("HTTP://APP.svc:8000", Some("/app/")),
            ("http://app.svc:8000?q", Some("/app/?q")),
            ("//app.svc:8000/x", Some("/app/x")),
            ("http://[::1]/x", Some("/app/x")),
            ("http://app.svc:8000/app/x", Some("/app/x")),
            ("https://platform.example/x", Some("/app/x")),
            ("http://platform.example:80/x", Some("/app/x")),
            ("https://platform.example/app/x", None),
            ("https://platform.example:8443/x", None),
            ("http://app.svc:8001/x", None),
            ("https://app.svc:8000/x", None),
            ("http://app.svc:8000.evil.test/x", None),
            ("http://app.svc:8000@evil.test/x", None),
            ("http://platform.example\\@evil.test/x", None),
            ("https://evil.test/x", None),
            ("//evil.test/x", None),
            ("/\\evil.test/x", None),
            ("ftp://app.svc:8000/x", None),
            ("x/y", None),
        ] {
            let mapped = upstream("/app").public_reference(reference, &asked);
            assert_eq!(mapped.as_deref(), public, "{reference}");
        }
        for hidden in ["http://app.svc:8000//evil.test", "http://app.svc:8000/\\evil.test"] {
            assert_eq!(upstream("/").public_reference(hidden, &asked), None, "{hidden}");
        }
        let plain = upstream("/").public_reference("http://app.svc:8000/x", &asked);
        assert_eq!(plain.as_deref(), Some("/x"));
    }

    #[test]
    fn an_upstream_needs_a_target() {
        let none = Upstream::new(&[], &UpstreamTls::platform());
        assert!(matches!(none, Err(InvalidUpstream::NoTarget)));
    }
}
