//! Stage 2, route: chooses the most specific route for a host and a path.
//!
//! An exact host comes before a wildcard, and a wildcard before a route without host; then the longer path prefix wins.
//! Prefixes end at a segment boundary: `/models` serves `/models/churn` and not `/modelsx`.

use access_policy::Policy;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_canonical::Wants;
use http_canonical::{CanonicalHost, CanonicalPath, Keep, PathRefusal, Scheme};
use m2m::Exchange;
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};
use url::Url;

mod cors;
mod fields;
mod offer;
mod table;

pub use cors::{Cors, CorsFields, Preflight};
pub use fields::{ResponseFields, SetFields};
pub use offer::Offer;

use self::table::Table;

use crate::{
    config::{
        BearerTokens, HostPattern, IdentityForwarding, PerUserLimits, Ping, PortalCard, SignIn,
        SignedOut, Streams, Timeouts, Underscores, UsageForm, WebOrigin,
    },
    listen::{Body, CanonicalRequest},
    mcp::{Resource, Resources},
    metric::RouteMeters,
    refusal::Refusal,
    upstream::Upstream,
};

/// One service behind the gateway: its host and path, its access rules, its upstream.
#[derive(Debug)]
pub struct Route {
    /// Its name in the configuration; also the audience of its assertions.
    pub name: String,
    /// Its name on pages.
    pub title: String,
    /// The hosts it answers to.
    pub host: HostPattern,
    /// The path prefix it owns, in whole segments; `/` owns everything.
    pub prefix: CanonicalPath,
    /// The scheme of `public_url`: browsers use it for the route, wherever TLS ends.
    pub browser_scheme: Scheme,
    /// Forms that its paths may hold although they are refused otherwise.
    pub keep: Keep,
    /// Treatment of fields whose name has `_`.
    pub underscores: Underscores,
    /// Counts the fields that were removed for it.
    pub underscored: metrics::Counter,
    /// Treatment of an unknown caller that must sign in.
    pub sign_in: SignIn,
    /// Owner of the bearer tokens in `Authorization`.
    pub bearer: BearerTokens,
    /// Whether a token may be the password of Basic.
    pub basic: bool,
    /// Path of the token endpoint, for a container registry.
    pub registry: Option<String>,
    /// Accepted `aud` of bearer tokens, sorted; empty for the issuers' own.
    pub audience: Vec<String>,
    /// Other origins whose pages may open a WebSocket with a session.
    pub origins: Vec<WebOrigin>,
    /// Pages of other origins that may read its answers.
    pub cors: Option<Cors>,
    /// The card on the portal page.
    pub portal: PortalCard,
    /// Its access rules.
    pub policy: Policy,
    /// Data about the caller that the upstream receives.
    pub identity: IdentityForwarding,
    /// The exchange of callers' tokens for that of its upstream.
    pub exchange: Option<Arc<Exchange>>,
    /// The groups that its upstream receives; all when `None`.
    pub groups: Option<Arc<BTreeSet<String>>>,
    /// Fields that its upstream receives, filled from facts about the caller.
    pub set: Option<Arc<SetFields>>,
    /// Fields that no client may send to its upstream, besides those of every route.
    pub reserved: Vec<HeaderName>,
    /// `Authorization` that its upstream receives with every request; sensitive.
    pub credentials: Option<HeaderValue>,
    /// Changes to the responses of its upstream.
    pub response: ResponseFields,
    /// Timeouts of its upstream.
    pub timeouts: Timeouts,
    /// Effect of the end of a bearer token on its open streams.
    pub streams: Streams,
    /// Interval at which the gateway pings quiet WebSockets.
    pub ping: Ping,
    /// Answer to a script of a page whose session has ended.
    pub signed_out: SignedOut,
    /// The largest request body, in bytes.
    pub body_limit: Option<u64>,
    /// Bounds on each of its users.
    pub per_user: Option<PerUserLimits>,
    /// The protected resource that it is, for clients of MCP.
    pub mcp: Option<Resource>,
    /// Form in which its answers state the tokens that they took.
    pub usage: Option<UsageForm>,
    /// Records what it forwards.
    pub meters: RouteMeters,
    /// Upstream of its requests; `None` for a route that only answers forward-auth questions.
    pub upstream: Option<Upstream>,
}

impl Route {
    /// The origin of this route's pages as a browser writes it, for the requested host (RFC 6454 §6.2).
    pub fn origin(&self, host: &CanonicalHost) -> String {
        let port = host.port().filter(|port| *port != self.browser_scheme.default_port());
        match port {
            Some(port) => format!("{}://{}:{port}", self.browser_scheme.as_str(), host.name()),
            None => format!("{}://{}", self.browser_scheme.as_str(), host.name()),
        }
    }

    /// Whether an unknown caller that sends a request with these fields is redirected to sign in, rather than challenged.
    pub fn sends_to_sign_in(&self, websocket: bool, headers: &HeaderMap) -> bool {
        match self.sign_in {
            SignIn::Auto => !websocket && Wants::of(headers) == Wants::Page,
            SignIn::Redirect => !websocket,
            SignIn::Challenge => false,
        }
    }
}

/// All routes, and the hosts that the gateway serves.
#[derive(Debug)]
pub struct Routes {
    /// Most specific first.
    routes: Vec<Arc<Route>>,
    table: Table,
    public_host: String,
    /// The origin of `public_url`.
    public_origin: String,
    /// Ports that a request may name; 0 for any.
    ports: Vec<u16>,
    /// Documents about the routes that are protected resources.
    resources: Resources,
}

/// A request whose route is chosen, and whose path the route accepts.
#[derive(Debug)]
pub struct Routed {
    /// Boxed because it is passed from stage to stage, and futures that hold it are copied.
    pub(crate) request: Box<CanonicalRequest>,
    pub(crate) route: Arc<Route>,
}

impl Routes {
    /// Sorts the routes. The host of `public_url` is served even if no route owns `/`, because the gateway's own pages are there.
    /// A request may name the port of `public_url` or one of `listen`; with 0 among these, which the system replaces by a free
    /// port, it may name any.
    pub fn new(
        routes: Vec<Route>,
        public_url: &Url,
        listen: impl IntoIterator<Item = u16>,
    ) -> Self {
        let mut routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
        routes.sort_by(|a, b| {
            let key = |route: &Route| (route.host.specificity(), route.prefix.compared().len());
            key(b).cmp(&key(a)).then_with(|| a.name.cmp(&b.name))
        });
        Self {
            resources: Resources::new(routes.iter().filter_map(|route| route.mcp.as_ref())),
            table: Table::new(routes.iter().map(|route| (&route.host, &route.prefix))),
            routes,
            public_host: public_url.host_str().unwrap_or_default().to_owned(),
            public_origin: public_url.origin().ascii_serialization(),
            ports: public_url.port_or_known_default().into_iter().chain(listen).collect(),
        }
    }

    /// All routes, the most specific first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }

    /// Whether a host is one this gateway answers for.
    pub fn knows_host(&self, host: &CanonicalHost) -> bool {
        self.knows_name(host) && self.serves_port_of(host)
    }

    /// The same for a host by its name, whatever its port.
    pub(crate) fn knows_name(&self, host: &CanonicalHost) -> bool {
        host.name() == self.public_host || self.table.has_host(host.name())
    }

    fn serves_port_of(&self, host: &CanonicalHost) -> bool {
        host.port().is_none_or(|port| self.ports.contains(&port) || self.ports.contains(&0))
    }

    /// The answer to a request for a document about a protected resource; `None` for every other request.
    pub(crate) fn metadata(&self, request: &CanonicalRequest) -> Option<Response<Body>> {
        let (method, host, path) = (request.method(), request.host(), request.path());
        self.resources.answer(method, host, path).filter(|_| self.serves_port_of(host))
    }

    /// The refusal for a host that the gateway does not serve.
    pub fn misdirected(&self) -> Refusal {
        Refusal::Misdirected { instead: self.public_origin.clone() }
    }

    /// The route that owns a host and one reading of a path.
    ///
    /// # Errors
    ///
    /// [`Refusal::Misdirected`] for a host that the gateway does not serve (421), [`Refusal::NoRoute`] for a path that no route
    /// owns (404).
    fn find(&self, host: &CanonicalHost, path: &str) -> Result<&Arc<Route>, Refusal> {
        let found = self.table.find(host.name(), path).and_then(|place| self.routes.get(place));
        match found {
            Some(route) if self.serves_port_of(host) => Ok(route),
            None if self.knows_host(host) => Err(Refusal::NoRoute),
            _ => Err(self.misdirected()),
        }
    }

    /// Chooses the route, which then checks the form of the path.
    ///
    /// # Errors
    ///
    /// [`Refusal::Misdirected`] for a host that the gateway does not serve (421), [`Refusal::NoRoute`] for a path that no route
    /// owns (404), and [`Refusal::Malformed`] for a path form that the route does not accept, or that another server could read
    /// as a path of another route.
    pub fn route(&self, request: impl Into<Box<CanonicalRequest>>) -> Result<Routed, Refusal> {
        let request = request.into();
        let route = self.choose(request.host(), request.path())?;
        match (request.underscored(), route.underscores) {
            (0, _) => {}
            (count, Underscores::Drop) => route.underscored.increment(count as u64),
            (_, Underscores::Refuse) => {
                return Err(Refusal::Malformed {
                    status: StatusCode::BAD_REQUEST,
                    reason: Cow::Borrowed("a header name has `_`, which this route refuses"),
                });
            }
        }
        Ok(Routed { request, route })
    }

    /// The route of a path in all its readings.
    ///
    /// # Errors
    ///
    /// Those of [`Routes::route`].
    pub fn choose(
        &self,
        host: &CanonicalHost,
        path: &CanonicalPath,
    ) -> Result<Arc<Route>, Refusal> {
        let route = self.find(host, path.compared())?;
        path.check(route.keep)?;
        for reading in path.readings() {
            if !self.find(host, reading).is_ok_and(|other| Arc::ptr_eq(other, route)) {
                return Err(PathRefusal::Ambiguous.into());
            }
        }
        Ok(Arc::clone(route))
    }
}
