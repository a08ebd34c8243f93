//! Configuration to running application. The only file that names a concrete adapter.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oidc_core::{
    Client, ClientAuth, Clock, Issuer, PrivateKeyJwt, Provider, RemoteKeys, Secret, SystemClock,
    Validation, Verifier,
    http::reqwest::{HttpOptions, ReqwestHttp},
};
use rand::RngExt;

use crate::{
    authorize::{self, Policy},
    canonical::{self, CanonicalPath, Trust},
    config::{self, Config, HostPattern, IssuerConfig, RouteConfig, SessionStoreConfig},
    endpoints::{Endpoints, backchannel_logout::SeenLogoutTokens, browser_scheme},
    forward::{Assertions, Rewrite, Upstream, UpstreamTls, Upstreams},
    gateway::{App, Gateway},
    identify::{
        Identify,
        claims::ClaimReader,
        cookie::SessionCookie,
        issuers::{self, IssuerClient, Issuers},
    },
    listen::Drain,
    observe,
    respond::Site,
    route::{Route, Routes},
    session::{CookieStore, Cookies, EmbeddedStore, Keys, Limits, SessionStore, Sessions},
};

/// Why a valid configuration could not be put to work.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct AssembleError {
    /// The key of the configuration it is about.
    pub place: String,
    /// What went wrong.
    pub reason: String,
}

fn at<E: std::fmt::Display>(place: impl Into<String>) -> impl FnOnce(E) -> AssembleError {
    let place = place.into();
    move |error| AssembleError { place, reason: error.to_string() }
}

/// What outlives a reload: sessions, keys, counters.
#[derive(Debug, Clone)]
pub struct Lasting {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// What seals cookies and records.
    pub keys: Arc<Keys>,
    /// Signs what upstreams are told.
    pub assertions: Arc<Assertions>,
    /// Ends streams when the process ends.
    pub drain: Drain,
    /// The proxies in front that are believed; the listener shares it.
    trust: Trust,
    /// The issuers of now: sessions are refreshed with these.
    issuers: Arc<ArcSwap<Issuers>>,
    seen_logout_tokens: SeenLogoutTokens,
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
            // Nobody signs in by browser: nothing is kept, and the key made up for this process seals nothing.
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
        let sessions = Sessions::new(store, limits, Arc::clone(&clock))
            .with_renew(issuers::renew(Arc::clone(&issuers)));
        let signing = keys.derive_p256("assertion").map_err(at("session.key"))?;
        let assertions = Assertions::new(&config.public_url, &signing, Arc::clone(&clock))
            .map_err(at("session.key"))?;
        Ok(Self {
            clock,
            sessions: Arc::new(sessions),
            keys,
            assertions: Arc::new(assertions),
            drain,
            trust: Trust::nobody(),
            issuers,
            seen_logout_tokens: SeenLogoutTokens::default(),
        })
    }
}

/// Takes up session keys whose files changed: the first seals from now on, all of them open.
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

/// Makes the application of a configuration. Issuers that did not change keep their keys and what they verified.
///
/// # Errors
///
/// The key of the configuration that cannot be put to work, and why.
pub fn app(
    config: &Config,
    lasting: &Lasting,
    previous: Option<(&Config, &App)>,
) -> Result<App, AssembleError> {
    let issuers = Arc::new(self::issuers(config, &lasting.clock, previous)?);
    lasting.issuers.store(Arc::clone(&issuers));
    let public_host = config.public_url.host_str().unwrap_or_default().to_owned();
    let routes = Arc::new(routes(config)?);
    let cookies = Cookies::new(&config.public_url, Arc::clone(&lasting.keys));
    let lifetime = config.session.lifetime;
    let cookie = SessionCookie::new(cookies.clone(), Arc::clone(&lasting.sessions), lifetime);
    let identify = Arc::new(Identify::new(Arc::clone(&issuers), cookie));
    let upstreams = Upstreams::new(
        Arc::clone(&lasting.assertions),
        Arc::clone(&lasting.clock),
        lasting.drain.clone(),
    )
    .with_sessions(Arc::clone(&lasting.sessions));
    let endpoints = Endpoints {
        prefix: config.endpoints.clone(),
        public_url: config.public_url.clone(),
        routes: Arc::clone(&routes),
        issuers: Arc::clone(&issuers),
        identify: Arc::clone(&identify),
        sessions: Arc::clone(&lasting.sessions),
        cookies,
        keys: Arc::clone(&lasting.keys),
        assertions: Arc::clone(&lasting.assertions),
        clock: Arc::clone(&lasting.clock),
        lifetime,
        seen_logout_tokens: lasting.seen_logout_tokens.clone(),
    };
    lasting.trust.replace(config.trusted_proxies.clone());
    Ok(App {
        site: Arc::new(site(config, &public_host)),
        trust: lasting.trust.clone(),
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

fn issuers(
    config: &Config,
    clock: &Arc<dyn Clock>,
    previous: Option<(&Config, &App)>,
) -> Result<Issuers, AssembleError> {
    let mut by_name = BTreeMap::new();
    for (name, issuer) in &config.issuers {
        let kept = previous
            .filter(|(config, _)| config.issuers.get(name) == Some(issuer))
            .and_then(|(_, app)| app.endpoints.issuers.named(name).cloned());
        let client = match kept {
            Some(client) => client,
            None => Arc::new(issuer_client(name, issuer, clock)?),
        };
        by_name.insert(name.clone(), client);
    }
    Ok(Issuers::new(by_name))
}

fn issuer_client(
    name: &str,
    config: &IssuerConfig,
    clock: &Arc<dyn Clock>,
) -> Result<IssuerClient, AssembleError> {
    let place = |key: &str| format!("issuers.{name}.{key}");
    let issuer: Issuer = config.url.parse().map_err(at(place("url")))?;
    let mut options = HttpOptions::default();
    if let Some(ca_file) = &config.ca_file {
        options = options.with_ca_file(ca_file.clone());
    }
    let http = Arc::new(ReqwestHttp::new(options).map_err(at(place("ca_file")))?);
    let provider = Provider::new(issuer.clone(), http);
    let keys = RemoteKeys::new(provider.clone());
    keys.start();
    let key_source: Arc<dyn oidc_core::KeySource> = Arc::new(keys.clone());
    let auth = client_auth(config, &place("client_auth"))?;
    let client =
        Client::new(provider.clone(), Arc::clone(&key_source), config.client_id.clone(), auth)
            .with_leeway(config.leeway)
            .with_clock(Arc::clone(clock));
    let rules = |audience: &str| {
        Validation::new(issuer.clone(), audience)
            .with_leeway(config.leeway)
            .with_profile(profile(config.profile))
    };
    let bearer = config.audience.split_first().map(|(first, more)| {
        let validation =
            more.iter().fold(rules(first), |rules, audience| rules.with_audience(audience));
        Verifier::new(validation, Arc::clone(&key_source)).with_clock(Arc::clone(clock))
    });
    let own = Verifier::new(
        rules(&config.client_id).with_authorized_party(&config.client_id),
        Arc::clone(&key_source),
    )
    .with_clock(Arc::clone(clock))
    .with_cache(0);
    Ok(IssuerClient {
        name: name.to_owned(),
        url: config.url.clone(),
        provider,
        keys,
        client,
        bearer,
        own,
        claims: ClaimReader::new(config.claims.clone()),
        tokens_remembered: observe::tokens_remembered(name),
        scopes: config.scopes.clone(),
        pushed_authorization: config.pushed_authorization,
    })
}

fn profile(profile: config::Profile) -> oidc_core::Profile {
    match profile {
        config::Profile::Keycloak => oidc_core::Profile::Keycloak,
        config::Profile::Rfc9068 => oidc_core::Profile::Rfc9068,
    }
}

fn client_auth(config: &IssuerConfig, place: &str) -> Result<ClientAuth, AssembleError> {
    match &config.client_auth {
        config::ClientAuth::None => Ok(ClientAuth::None),
        config::ClientAuth::Secret(secret) => {
            secret.read().map(ClientAuth::SecretBasic).map_err(at(place))
        }
        config::ClientAuth::PrivateKeyJwt(key) => {
            let pem = key.key.read().map_err(at(place))?;
            let algorithm = key.algorithm.as_str().parse().map_err(at(place))?;
            PrivateKeyJwt::from_pem(&pem, algorithm, key.key_id.clone())
                .map(ClientAuth::PrivateKeyJwt)
                .map_err(at(place))
        }
        config::ClientAuth::AssertionFile(_) | config::ClientAuth::Mtls(_) => Err(AssembleError {
            place: place.to_owned(),
            reason: "not yet supported; use secret or private_key_jwt".to_owned(),
        }),
    }
}

/// Makes one route.
///
/// # Errors
///
/// The key of the route that cannot be put to work, and why.
pub fn route(name: &str, route: &RouteConfig, config: &Config) -> Result<Route, AssembleError> {
    let place = |key: &str| format!("routes.{name}.{key}");
    let own_host = config.public_url.host_str().unwrap_or_default();
    let path = |text: &Option<String>, key: &str| {
        text.as_deref()
            .map(|text| CanonicalPath::parse(text, canonical::Keep::ALL).map_err(at(place(key))))
            .transpose()
    };
    let upstream = if route.upstream.is_empty() {
        None
    } else {
        let rewrite = Rewrite {
            strip_prefix: path(&route.rewrite.strip_prefix, "rewrite.strip_prefix")?,
            add_prefix: path(&route.rewrite.add_prefix, "rewrite.add_prefix")?,
        };
        let upstream = Upstream::new(&route.upstream, &UpstreamTls::platform())
            .map_err(at(place("upstream")))?;
        Some(upstream.with_rewrite(rewrite))
    };
    Ok(Route {
        name: name.to_owned(),
        forwarded: observe::forwarded(name),
        title: route.title.clone().unwrap_or_else(|| name.to_owned()),
        host: route
            .matches
            .host
            .clone()
            .unwrap_or_else(|| HostPattern::Exact(own_host.to_ascii_lowercase())),
        prefix: CanonicalPath::parse(&route.matches.path, canonical::Keep::default())
            .map_err(at(place("match.path")))?,
        browser_scheme: browser_scheme(&config.public_url),
        keep: canonical::Keep {
            encoded_slash: route.paths.encoded_slash == config::Keep::Keep,
            double_slash: route.paths.double_slash == config::Keep::Keep,
        },
        sign_in: route.sign_in,
        policy: policy(name, route)?,
        identity: route.identity,
        timeouts: route.timeouts,
        body_limit: route.limits.body.map(|size| size.0),
        upstream,
    })
}

fn policy(name: &str, route: &RouteConfig) -> Result<Policy, AssembleError> {
    let mut rules = Vec::with_capacity(route.access.len());
    for (place, rule) in route.access.iter().enumerate() {
        let place = format!("routes.{name}.access#{}", place + 1);
        let methods = rule
            .methods
            .iter()
            .map(|method| method.parse().map_err(at(format!("{place}.methods"))))
            .collect::<Result<Vec<_>, _>>()?;
        let allow = match &rule.allow {
            config::Allow::Anyone => authorize::Allow::Anyone,
            config::Allow::SignedIn => authorize::Allow::SignedIn,
            config::Allow::AnyOf(all) => {
                authorize::Allow::AnyOf(all.iter().map(requirement).collect())
            }
        };
        rules.push(authorize::Rule {
            path: rule.path.clone(),
            methods,
            allow,
            shadow: rule.shadow,
        });
    }
    Ok(Policy::new(rules))
}

fn requirement(config: &config::Requirement) -> authorize::Requirement {
    authorize::Requirement {
        users: config.users.clone(),
        roles: config.roles.clone(),
        groups: config.groups.clone(),
        scopes: config.scopes.clone(),
        clients: config.clients.clone(),
        issuers: config.issuers.clone(),
        claims: config
            .claims
            .iter()
            .map(|(path, values)| (path.clone(), values.0.clone()))
            .collect(),
    }
}

/// Makes all routes; needs no network, so that `doorward explain` asks the very rules that `serve` would.
///
/// # Errors
///
/// Those of [`route`].
pub fn routes(config: &Config) -> Result<Routes, AssembleError> {
    let public_host = config.public_url.host_str().unwrap_or_default().to_owned();
    let routes = config
        .routes
        .iter()
        .map(|(name, route)| self::route(name, route, config))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Routes::new(routes, public_host))
}
