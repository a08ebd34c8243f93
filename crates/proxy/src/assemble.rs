//! Builds the running application from a configuration. Only this module and those below it name a concrete adapter.

mod bearer;
mod issuers;
mod routes;

pub(crate) use bearer::{http, is_origin};
pub use issuers::issuer_client;
pub(crate) use issuers::provider;
pub use routes::{route, routes};

use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http_canonical::{CanonicalPath, Keep, Trust};
use oidc_core::{Clock, Secret, SystemClock};
use rand::RngExt;
use web_sessions::{
    CookieStore, Cookies, EmbeddedStore, Keys, Limits, Logins, SessionStore, Sessions,
};

use crate::{
    config::{self, Config, SessionStoreConfig, TrustedProxy},
    endpoints::{Endpoints, OwnUrls, backchannel_logout::SeenLogoutTokens},
    forward::{Assertions, Upstreams},
    gateway::{App, Gateway},
    identify::{
        Identify,
        cookie::SessionCookie,
        issuers::{Issuers, keeps_identity, renew},
    },
    listen::Drain,
    respond::Site,
    review::Review,
    throttle::Throttle,
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
    seen_logout_tokens: SeenLogoutTokens,
    throttle: Arc<Throttle>,
}

impl Lasting {
    /// Opens the session store and derives the keys. Blocks while the store's file is opened.
    ///
    /// # Errors
    ///
    /// A key that cannot be read or is too short, a store that cannot be opened.
    pub fn new(config: &Config, drain: Drain) -> Result<Self, AssembleError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let secrets = session_secrets(config)?;
        let keys = Arc::new(Keys::new(&octets(&secrets)).map_err(at("session.key"))?);
        let store: Arc<dyn SessionStore> = match &config.session.store {
            // No browser login is configured: no session is kept, and the random key of this process seals nothing.
            _ if config.session.key.is_empty() => Arc::new(CookieStore::new(
                Arc::clone(&keys),
                config.session.lifetime,
                Arc::clone(&clock),
            )),
            SessionStoreConfig::Embedded(embedded) => Arc::new(
                EmbeddedStore::open(&embedded.path, Arc::clone(&keys))
                    .map_err(at("session.store"))?,
            ),
            SessionStoreConfig::Cookie => Arc::new(CookieStore::new(
                Arc::clone(&keys),
                config.session.lifetime,
                Arc::clone(&clock),
            )),
            SessionStoreConfig::Redis(_) => {
                return Err(AssembleError {
                    place: "session.store.redis".to_owned(),
                    reason: "not yet supported; use embedded or cookie".to_owned(),
                });
            }
        };
        let limits = Limits::new(config.session.idle, config.session.lifetime);
        let issuers = Arc::new(ArcSwap::from_pointee(Issuers::default()));
        let sessions = Sessions::new(Arc::clone(&store), limits, Arc::clone(&clock))
            .with_renew(renew(Arc::clone(&issuers)))
            .with_identity_kept(keeps_identity(Arc::clone(&issuers)));
        let signing = keys.derive_p256("assertion").map_err(at("session.key"))?;
        let assertions = Assertions::new(&config.public_url, &signing, Arc::clone(&clock))
            .map_err(at("session.key"))?;
        Ok(Self {
            throttle: Arc::new(Throttle::new(Arc::clone(&clock))),
            clock,
            sessions: Arc::new(sessions),
            store,
            keys,
            assertions: Arc::new(assertions),
            drain,
            review: Arc::default(),
            trust: Trust::none(),
            issuers,
            seen_logout_tokens: SeenLogoutTokens::default(),
        })
    }
}

/// Reloads session keys whose files changed: the first seals from now on, all of them open.
///
/// # Errors
///
/// A key that cannot be read or is too short; the old ones stay.
pub fn rotate_session_keys(config: &Config, lasting: &Lasting) -> Result<(), AssembleError> {
    if config.session.key.is_empty() {
        return Ok(());
    }
    let secrets = session_secrets(config)?;
    lasting.keys.replace(&octets(&secrets)).map_err(at("session.key"))?;
    let signing = lasting.keys.derive_p256("assertion").map_err(at("session.key"))?;
    lasting.assertions.replace(&signing).map_err(at("session.key"))
}

fn session_secrets(config: &Config) -> Result<Vec<Secret>, AssembleError> {
    if config.session.key.is_empty() {
        let random: [u8; 32] = rand::rng().random();
        return Ok(vec![Secret::from(URL_SAFE_NO_PAD.encode(random))]);
    }
    let read = config.session.key.iter().map(config::SecretRef::read);
    read.collect::<Result<Vec<_>, _>>().map_err(at("session.key"))
}

fn octets(secrets: &[Secret]) -> Vec<&[u8]> {
    secrets.iter().map(|secret| secret.expose().as_bytes()).collect()
}

/// Builds the application from a configuration. Unchanged issuers keep their keys and their verified tokens.
///
/// # Errors
///
/// The configuration key that cannot be applied, and the reason.
pub fn app(
    config: &Config,
    lasting: &Lasting,
    previous: Option<(&Config, &App)>,
) -> Result<App, AssembleError> {
    // Everything that can fail comes first, so that `lasting` keeps the old configuration when the new one is refused.
    let issuers = issuers::issuers(config, &lasting.clock, previous)?;
    let routes = Arc::new(routes(config)?);
    let public_host = config.public_url.host_str().unwrap_or_default().to_owned();
    let prefix_path =
        CanonicalPath::parse(&config.endpoints, Keep::default()).map_err(at("endpoints"))?;
    let cookies = Cookies::new(&config.public_url, Arc::clone(&lasting.keys))
        .with_name(&config.session.cookie_name);
    let lifetime = config.session.lifetime;
    let cookie = SessionCookie::new(
        cookies.clone(),
        Arc::clone(&lasting.sessions),
        Arc::clone(&issuers),
        lifetime,
    );
    let identify = Arc::new(Identify::new(
        Arc::clone(&issuers),
        cookie,
        Arc::clone(&lasting.throttle),
        Arc::clone(&lasting.clock),
    ));
    let upstreams = Upstreams::new(
        Arc::clone(&lasting.assertions),
        Arc::clone(&lasting.clock),
        lasting.drain.clone(),
        Arc::clone(&lasting.review),
    )
    .with_sessions(Arc::clone(&lasting.sessions));
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
        lifetime,
        seen_logout_tokens: lasting.seen_logout_tokens.clone(),
        throttle: Arc::clone(&lasting.throttle),
    });
    // Nothing below fails: a configuration takes effect as a whole or not at all.
    lasting.issuers.store(Arc::clone(&issuers));
    let (networks, unix) = TrustedProxy::split(&config.trusted_proxies);
    lasting.trust.replace(networks, unix);
    lasting.review.replace(Arc::clone(&routes), Arc::clone(&identify));
    Ok(App {
        site: Arc::new(site(config, &public_host)),
        trust: lasting.trust.clone(),
        own_urls: OwnUrls::new(Arc::clone(&endpoints)),
        endpoints,
        gateway: Gateway::new(routes, identify, upstreams),
    })
}

fn site(config: &Config, realm: &str) -> Site {
    config
        .issuers
        .iter()
        .fold(Site::new(config.endpoints.clone(), realm), |site, (name, issuer)| {
            site.with_provider(name, name, &issuer.url)
        })
}
