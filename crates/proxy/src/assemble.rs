//! Builds the running application from a configuration. Only this module and those below it name a concrete adapter.

mod bearer;
mod certificates;
mod fields;
mod in_background;
mod owners;
mod issuers;
mod outbound;
mod proofs;
mod rotation;
mod routes;
mod store;

pub(crate) use bearer::{http, is_origin};
pub(crate) use certificates::callers as certificate_callers;
pub(crate) use issuers::{client_auth, provider};
pub use issuers::{issuer_client, issuers};
pub(crate) use outbound::{target as outbound_target, token_endpoint as outbound_client};
pub use routes::{route, routes};
pub use store::ask_store;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use http_canonical::{CanonicalPath, Keep, Trust};
use oidc_core::dpop::ReplayMemory;
use oidc_core::{Clock, SystemClock};
use tokio_util::sync::CancellationToken;
use web_sessions::{
    ApiKeys, Cookies, Keys, Limits, Logins, OwnNames, RenewError, SessionStore, Sessions,
};

use self::{
    owners::noting,
    rotation::{Rotation, octets, session_secrets, signer},
};
use crate::{
    config::{self, Config, TrustedProxy},
    endpoints::{Endpoints, OwnUrls, backchannel_logout::SeenLogoutTokens},
    forward::{Assertions, Exchanges, OnBehalf, Upstreams, farewell},
    gateway::{App, Gateway},
    identify::{
        Identify,
        api_key::KeyGate,
        cookie::SessionCookie,
        issuers::{Issuers, keeps_identity, renew},
    },
    listen::Drain,
    outbound::Current,
    respond::Site,
    review::Review,
    telemetry::{self, Telemetry, TracedStore},
    throttle::Throttle,
    upstream::Upstream,
};

/// The reason a valid configuration could not be applied.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct AssembleError {
    /// The configuration key with the problem.
    pub place: String,
    /// The cause.
    pub reason: String,
}

fn at<E: std::fmt::Display>(place: impl Into<String>) -> impl FnOnce(E) -> AssembleError {
    let place = place.into();
    move |error| AssembleError { place, reason: error.to_string() }
}

/// State that outlives a reload: sessions, keys, counters.
#[derive(Debug, Clone)]
pub struct Lasting {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// Storage of sessions, and of logins in progress.
    pub store: Arc<dyn SessionStore>,
    /// The API keys, in the same store.
    pub api_keys: Arc<ApiKeys>,
    /// Keys that seal cookies and records.
    pub keys: Arc<Keys>,
    /// Signs the identity assertions for upstreams.
    pub assertions: Arc<Assertions>,
    /// Ends streams when the process ends.
    pub drain: Drain,
    /// Judges open streams again, by the current rules.
    pub review: Arc<Review>,
    /// The trusted proxies in front; shared with the listener.
    trust: Trust,
    /// The current issuers, which refresh the sessions.
    issuers: Arc<ArcSwap<Issuers>>,
    /// The current exchanges of callers' tokens, whose results end with their sessions.
    exchanges: Arc<ArcSwap<Exchanges>>,
    /// The current targets of the local listener.
    pub(crate) outbound: Current,
    seen_logout_tokens: SeenLogoutTokens,
    throttle: Arc<Throttle>,
    /// Used DPoP proofs.
    proofs: Arc<dyn ReplayMemory>,
    /// Number of workers, each with its own connections to upstreams.
    workers: usize,
    /// Records traces, when configured.
    pub(crate) telemetry: Option<Telemetry>,
}

impl Lasting {
    /// Opens the session store and derives the keys. Blocks while the store's file is opened. A store of the network needs
    /// a Tokio runtime.
    ///
    /// # Errors
    ///
    /// A key that cannot be read or is too short, a store that cannot be opened, a collector that cannot be called.
    pub fn new(config: &Config, drain: Drain) -> Result<Self, AssembleError> {
        Self::with_telemetry(config, drain, telemetry(config)?)
    }

    /// The same, with the telemetry that the issuers have already.
    ///
    /// # Errors
    ///
    /// Those of [`Lasting::new`].
    pub(crate) fn with_telemetry(
        config: &Config,
        drain: Drain,
        telemetry: Option<Telemetry>,
    ) -> Result<Self, AssembleError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let secrets = session_secrets(config)?;
        let keys = Arc::new(Keys::new(&octets(&secrets)).map_err(at("session.key"))?);
        let store::Opened { store, proofs } = store::open(config, &keys, &clock)?;
        let limits = Limits::new(config.session.idle, config.session.lifetime);
        let issuers = Arc::new(ArcSwap::from_pointee(Issuers::default()));
        let exchanges = Arc::new(ArcSwap::from_pointee(Exchanges::new()));
        let store = traced(store, config, telemetry.as_ref());
        let api_keys = ApiKeys::new(Arc::clone(&store), Arc::clone(&keys), Arc::clone(&clock));
        let api_keys = Arc::new(api_keys);
        let sessions = Sessions::new(Arc::clone(&store), limits, Arc::clone(&clock))
            .with_renew(noting(renew(Arc::clone(&issuers)), &api_keys, &clock))
            .with_api_keys(Arc::clone(&api_keys))
            .with_identity_kept(keeps_identity(Arc::clone(&issuers)))
            .with_carry(Arc::new(telemetry::carry))
            .with_farewell(farewell(Arc::clone(&issuers), Arc::clone(&exchanges)));
        let assertions = Assertions::new(signer(config, &keys)?, Arc::clone(&clock));
        Ok(Self {
            throttle: Arc::new(Throttle::new(Arc::clone(&clock))),
            clock,
            proofs,
            sessions: Arc::new(sessions),
            api_keys,
            seen_logout_tokens: SeenLogoutTokens::new(Arc::clone(&store)),
            store,
            keys,
            assertions: Arc::new(assertions),
            drain,
            review: Arc::default(),
            trust: Trust::none(),
            issuers,
            exchanges,
            outbound: Current::default(),
            workers: 0,
            telemetry,
        })
    }
}

impl Lasting {
    /// Has its own connections to upstreams for each of so many workers. Without it, all threads share them.
    #[must_use]
    pub fn with_workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Shares what users have used of their budgets with the other processes that use the store, until `stop`.
    pub(crate) fn share_tokens(
        &self,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        Arc::clone(&self.throttle).share_tokens(Arc::clone(&self.store), stop)
    }

    /// Refreshes no session any more: another process does, and a refresh token is used once.
    pub fn stop_refreshing(&self) {
        let reason = "another process has taken over";
        self.sessions.set_renew(Arc::new(move |_| {
            std::future::ready(Err(RenewError::unavailable(reason))).boxed()
        }));
    }
}

/// The recorder of traces, if the configuration asks for one.
///
/// # Errors
///
/// A collector that cannot be called.
pub(crate) fn telemetry(config: &Config) -> Result<Option<Telemetry>, AssembleError> {
    Telemetry::start(&config.telemetry).map_err(at("telemetry"))
}

/// The store, with its calls recorded where traces are. A cookie needs no call.
fn traced(
    store: Arc<dyn SessionStore>,
    settings: &Config,
    telemetry: Option<&Telemetry>,
) -> Arc<dyn SessionStore> {
    let system = match &settings.session.store {
        config::SessionStoreConfig::Embedded(_) => "redb",
        config::SessionStoreConfig::Redis(_) => "redis",
        config::SessionStoreConfig::Cookie => return store,
    };
    if telemetry.is_none() || settings.session.key.is_empty() {
        return store;
    }
    Arc::new(TracedStore::new(store, system))
}

/// The configuration in use, from which a new one keeps what is unchanged.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The application that was made from it.
    pub app: &'a App,
    /// Files whose contents have changed since.
    pub changed: &'a BTreeSet<PathBuf>,
}

impl Before<'_> {
    /// Whether none of these files has changed.
    fn has_same(&self, mut files: impl Iterator<Item = PathBuf>) -> bool {
        files.all(|file| !self.changed.contains(&file))
    }
}

/// Builds the application from a configuration and puts it in use, as a whole or not at all. Unchanged issuers keep their keys
/// and their verified tokens, unchanged upstreams their connections and their health.
///
/// # Errors
///
/// The configuration key that cannot be applied, and the reason.
pub fn app(
    config: &Config,
    lasting: &Lasting,
    before: Option<Before<'_>>,
) -> Result<App, AssembleError> {
    let issuers = issuers(config, &lasting.clock, lasting.telemetry.as_ref(), before)?;
    app_with(config, lasting, issuers, before)
}

/// Builds the application with issuers that were made before.
///
/// # Errors
///
/// Those of [`app`].
pub fn app_with(
    config: &Config,
    lasting: &Lasting,
    issuers: Arc<Issuers>,
    before: Option<Before<'_>>,
) -> Result<App, AssembleError> {
    // Everything that can fail comes first, so that `lasting` keeps the old configuration when the new one is refused.
    let rotation = match before {
        Some(before) => Rotation::prepare(config, lasting, before)?,
        None => None,
    };
    let routes = Arc::new(routes::after(config, lasting.workers, before)?);
    let public_host = config.public_url.host_str().unwrap_or_default().to_owned();
    let prefix_path =
        CanonicalPath::parse(&config.endpoints, Keep::default()).map_err(at("endpoints"))?;
    let mut cookies = Cookies::new(&config.public_url, Arc::clone(&lasting.keys))
        .with_name(&config.session.cookie_name);
    if let Some(domain) = &config.session.dangerous_cookie_domain {
        cookies = cookies.with_dangerous_domain(domain);
    }
    let lifetime = config.session.lifetime;
    let cookie = SessionCookie::new(
        cookies.clone(),
        Arc::clone(&lasting.sessions),
        Arc::clone(&issuers),
        lifetime,
    );
    let keys = rotation.as_ref().and_then(|rotation| rotation.keys.as_ref());
    let proofs = proofs::checker(config, keys.unwrap_or(&lasting.keys), &lasting.proofs)?;
    let local = outbound::outbound(config, lasting, &issuers, &proofs, before)?;
    let dpop = proofs::are_required(config).then(|| proofs.algorithms());
    let gate = config.api_keys.as_ref();
    let gate = gate.map(|keys| KeyGate::new(Arc::clone(&lasting.api_keys), keys));
    let identify = Identify::new(
        Arc::clone(&issuers),
        cookie,
        Arc::clone(&lasting.throttle),
        Arc::clone(&lasting.clock),
    );
    let identify = identify
        .with_proofs(proofs)
        .with_certificates(certificates::callers(config)?)
        .with_keys(gate);
    let identify = Arc::new(identify);
    let upstreams = Upstreams::new(
        Arc::clone(&lasting.assertions),
        Arc::clone(&lasting.clock),
        lasting.drain.clone(),
        Arc::clone(&lasting.review),
        Arc::clone(&lasting.throttle),
    )
    .with_sessions(Arc::clone(&lasting.sessions))
    .with_own_cookies(OwnNames::new(&config.session.cookie_name));
    let on_behalf = OnBehalf::new(Arc::clone(&issuers), Arc::clone(&lasting.clock));
    let upstreams = upstreams.with_exchanges(on_behalf.clone());
    let endpoints = Arc::new(Endpoints {
        prefix: config.endpoints.clone(),
        prefix_path,
        public_url: config.public_url.clone(),
        routes: Arc::clone(&routes),
        issuers: Arc::clone(&issuers),
        identify: Arc::clone(&identify),
        sessions: Arc::clone(&lasting.sessions),
        logins: Logins::new(cookies.clone(), Arc::clone(&lasting.store)),
        cookies,
        keys: Arc::clone(&lasting.keys),
        assertions: Arc::clone(&lasting.assertions),
        clock: Arc::clone(&lasting.clock),
        on_behalf,
        lifetime,
        seen_logout_tokens: lasting.seen_logout_tokens.clone(),
        throttle: Arc::clone(&lasting.throttle),
        api_keys: Arc::clone(&lasting.api_keys),
    });
    // Nothing below fails: a configuration takes effect as a whole or not at all.
    if let Some(rotation) = rotation {
        rotation.apply(lasting);
    }
    lasting.issuers.store(Arc::clone(&issuers));
    lasting.api_keys.keep_owners(config.api_keys.as_ref().map(|keys| keys.suspend_after));
    let exchanges = routes.iter().filter_map(|route| route.exchange.clone()).collect();
    lasting.exchanges.store(Arc::new(exchanges));
    lasting.outbound.store(local.map(Arc::new));
    routes.iter().filter_map(|route| route.upstream.as_ref()).for_each(Upstream::begin_checks);
    let (networks, unix) = TrustedProxy::split(&config.trusted_proxies);
    lasting.trust.replace_all(networks, unix, config.client_cert_header);
    lasting.review.replace(Arc::clone(&routes), Arc::clone(&identify));
    let strict_transport = fields::strict_transport(&config.public_url).filter(|_| {
        let mut own = routes.iter().filter(|route| route.host.matches(&public_host));
        own.all(|route| route.response.leaves_transport())
    });
    Ok(App {
        strict_transport,
        site: Arc::new(match dpop {
            Some(algorithms) => site(config, &public_host).with_dpop(algorithms),
            None => site(config, &public_host),
        }),
        trust: lasting.trust.clone(),
        own_urls: OwnUrls::new(Arc::clone(&endpoints)),
        endpoints,
        gateway: Gateway::new(routes, identify, upstreams),
        telemetry: lasting.telemetry.clone(),
    })
}

fn site(config: &Config, realm: &str) -> Site {
    let empty = Site::new(config.endpoints.clone(), realm);
    let empty = empty.with_api_keys(config.api_keys.is_some());
    config
        .issuers
        .iter()
        .fold(empty, |site, (name, issuer)| site.with_provider(name, name, &issuer.url))
}
