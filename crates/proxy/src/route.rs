//! Stage 2, route: host and path choose the route, the most specific first.
//!
//! An exact host comes before a wildcard, a wildcard before none; then the longer path prefix. Prefixes end at a segment
//! boundary: `/models` serves `/models/churn` and not `/modelsx`.

use std::sync::Arc;

use crate::{
    authorize::Policy,
    canonical::{CanonicalHost, CanonicalRequest, Keep},
    config::{Identity as IdentityConfig, SignIn, Timeouts},
    forward::Upstream,
    respond::Refusal,
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
    /// The path prefix it owns, canonical, without a trailing slash; `""` owns everything.
    pub prefix: String,
    /// What its paths may hold that is otherwise refused.
    pub keep: Keep,
    /// How somebody unknown is asked to sign in.
    pub sign_in: SignIn,
    /// Who may use it.
    pub policy: Policy,
    /// What the upstream is told about the caller.
    pub identity: IdentityConfig,
    /// How long its upstream may take.
    pub timeouts: Timeouts,
    /// The largest request body, in octets.
    pub body_limit: Option<u64>,
    /// Where its requests go; `None` for a route that only answers forward-auth questions.
    pub upstream: Option<Upstream>,
}

/// The hosts a route answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// The host of `public_url`.
    Public(String),
    /// This host.
    Exact(String),
    /// Every host that ends in this suffix, which begins with a dot: `.example` for `*.example`.
    Suffix(String),
}

impl HostPattern {
    /// Whether a host is one of these.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Public(own) | Self::Exact(own) => own == host,
            Self::Suffix(suffix) => {
                host.len() > suffix.len()
                    && host.ends_with(suffix.as_str())
                    && !host.starts_with('.')
            }
        }
    }

    fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Exact(host) | Self::Public(host) => (1, host.len()),
            Self::Suffix(suffix) => (0, suffix.len()),
        }
    }
}

impl Route {
    fn owns(&self, host: &CanonicalHost, path: &str) -> bool {
        self.host.matches(host.as_str()) && self.owns_path(path)
    }

    fn owns_path(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether somebody unknown who sends this is redirected to sign in, rather than challenged.
    pub fn sends_to_sign_in(&self, request: &CanonicalRequest) -> bool {
        match self.sign_in {
            SignIn::Auto => request.is_navigation(),
            SignIn::Redirect => request.websocket.is_none(),
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
    pub(crate) request: CanonicalRequest,
    pub(crate) route: Arc<Route>,
}

impl Routes {
    /// Puts routes in order. `public_host` is ours even where no route owns `/`: the gateway's own pages live there.
    pub fn new(routes: Vec<Route>, public_host: impl Into<String>) -> Self {
        let mut routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
        routes.sort_by(|a, b| {
            let key = |route: &Route| (route.host.specificity(), route.prefix.len());
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
        host.as_str() == self.public_host
            || self.routes.iter().any(|route| route.host.matches(host.as_str()))
    }

    /// The route that owns a host and path.
    ///
    /// # Errors
    ///
    /// [`Refusal::Misdirected`] for a host that is none of ours (421), [`Refusal::NoRoute`] for a path that is nobody's (404).
    pub fn find(&self, host: &CanonicalHost, path: &str) -> Result<&Arc<Route>, Refusal> {
        self.routes.iter().find(|route| route.owns(host, path)).ok_or_else(|| {
            if self.knows_host(host) { Refusal::NoRoute } else { Refusal::Misdirected }
        })
    }

    /// Chooses the route and lets it judge the path's form.
    ///
    /// # Errors
    ///
    /// Those of [`Routes::find`], and [`Refusal::Malformed`] for a path form the route does not take.
    pub fn route(&self, request: CanonicalRequest) -> Result<Routed, Refusal> {
        let route = Arc::clone(self.find(&request.host, request.path.as_str())?);
        request.path.check(route.keep)?;
        Ok(Routed { request, route })
    }
}
