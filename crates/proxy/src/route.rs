//! Stage 2, route: host and path choose the route, the most specific first.
//!
//! An exact host comes before a wildcard, a wildcard before none; then the longer path prefix. Prefixes end at a segment
//! boundary: `/models` serves `/models/churn` and not `/modelsx`.

use std::sync::Arc;

use crate::{
    authorize::Policy,
    canonical::{CanonicalHost, CanonicalPath, CanonicalRequest, Keep, PathRefusal, is_below},
    config::{HostPattern, IdentityForwarding, SignIn, Timeouts},
    forward::Upstream,
    listen::Scheme,
    respond::{Refusal, Wants},
};

/// One service behind the gateway: where it is found, who may use it, where it runs.
#[derive(Debug)]
pub struct Route {
    /// Its name in the configuration; also the audience of its assertions.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// The hosts it answers to.
    pub host: HostPattern,
    /// The path prefix it owns, in whole segments; `/` owns everything.
    pub prefix: CanonicalPath,
    /// The scheme of `public_url`: how browsers reach the route, wherever TLS ends.
    pub browser_scheme: Scheme,
    /// What its paths may hold that is otherwise refused.
    pub keep: Keep,
    /// How somebody unknown is asked to sign in.
    pub sign_in: SignIn,
    /// Who may use it.
    pub policy: Policy,
    /// What the upstream is told about the caller.
    pub identity: IdentityForwarding,
    /// How long its upstream may take.
    pub timeouts: Timeouts,
    /// The largest request body, in octets.
    pub body_limit: Option<u64>,
    /// Counts the requests it forwarded.
    pub forwarded: metrics::Counter,
    /// Where its requests go; `None` for a route that only answers forward-auth questions.
    pub upstream: Option<Upstream>,
}

impl Route {
    fn owns(&self, host: &CanonicalHost, path: &str) -> bool {
        self.host.matches(host.name()) && is_below(path, &self.prefix)
    }

    /// The origin of this route's pages as a browser writes it, for the host it asked for (RFC 6454 §6.2).
    pub fn origin(&self, host: &CanonicalHost) -> String {
        let port = host.port().filter(|port| *port != self.browser_scheme.default_port());
        match port {
            Some(port) => format!("{}://{}:{port}", self.browser_scheme.as_str(), host.name()),
            None => format!("{}://{}", self.browser_scheme.as_str(), host.name()),
        }
    }

    /// Whether somebody unknown who sends this is redirected to sign in, rather than challenged.
    pub fn sends_to_sign_in(&self, request: &CanonicalRequest) -> bool {
        match self.sign_in {
            SignIn::Auto => {
                request.upgrade().is_none() && Wants::of(request.headers()) == Wants::Page
            }
            SignIn::Redirect => request.upgrade().is_none(),
            SignIn::Challenge => false,
        }
    }
}

/// All routes, and the hosts they make ours.
#[derive(Debug)]
pub struct Routes {
    /// Most specific first.
    routes: Vec<Arc<Route>>,
    public_host: String,
}

/// A request whose route is chosen and whose path the route takes.
#[derive(Debug)]
pub struct Routed {
    /// Boxed: it is handed from stage to stage, and futures that hold it are copied.
    pub(crate) request: Box<CanonicalRequest>,
    pub(crate) route: Arc<Route>,
}

impl Routes {
    /// Puts routes in order. `public_host` is ours even where no route owns `/`: the gateway's own pages live there.
    pub fn new(routes: Vec<Route>, public_host: impl Into<String>) -> Self {
        let mut routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
        routes.sort_by(|a, b| {
            let key = |route: &Route| (specificity(&route.host), route.prefix.as_str().len());
            key(b).cmp(&key(a)).then_with(|| a.name.cmp(&b.name))
        });
        Self { routes, public_host: public_host.into() }
    }

    /// All routes, the most specific first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }

    /// Whether a host is one this gateway answers for.
    pub fn knows_host(&self, host: &CanonicalHost) -> bool {
        host.name() == self.public_host
            || self.routes.iter().any(|route| route.host.matches(host.name()))
    }

    /// The route that owns a host and one reading of a path.
    ///
    /// # Errors
    ///
    /// [`Refusal::Misdirected`] for a host that is none of ours (421), [`Refusal::NoRoute`] for a path that is nobody's (404).
    fn find(&self, host: &CanonicalHost, path: &str) -> Result<&Arc<Route>, Refusal> {
        self.routes.iter().find(|route| route.owns(host, path)).ok_or_else(|| {
            if self.knows_host(host) { Refusal::NoRoute } else { Refusal::Misdirected }
        })
    }

    /// Chooses the route and lets it judge the path's form.
    ///
    /// # Errors
    ///
    /// [`Refusal::Misdirected`] for a host that is none of ours (421), [`Refusal::NoRoute`] for a path that no route owns (404), and
    /// [`Refusal::Malformed`] for a path form the route does not take, or that another server
    /// could read as a path of another route.
    pub fn route(&self, request: impl Into<Box<CanonicalRequest>>) -> Result<Routed, Refusal> {
        let request = request.into();
        let route = self.choose(request.host(), request.path())?;
        Ok(Routed { request, route })
    }

    /// The route for a path in every way it can be read.
    ///
    /// # Errors
    ///
    /// Those of [`Routes::route`].
    pub fn choose(
        &self,
        host: &CanonicalHost,
        path: &CanonicalPath,
    ) -> Result<Arc<Route>, Refusal> {
        let route = self.find(host, path.as_str())?;
        path.check(route.keep)?;
        for reading in path.readings() {
            if !self.find(host, reading).is_ok_and(|other| Arc::ptr_eq(other, route)) {
                return Err(PathRefusal::Ambiguous.into());
            }
        }
        Ok(Arc::clone(route))
    }
}

/// An exact host before a wildcard, a longer wildcard before a shorter.
fn specificity(host: &HostPattern) -> (u8, usize) {
    match host {
        HostPattern::Exact(name) => (1, name.len()),
        HostPattern::Below(name) => (0, name.len()),
    }
}
