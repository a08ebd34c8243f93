//! Requirements of the configuration on one issuer and on the gateway's client there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oidc_core::token::{Algorithm, ClaimPaths};
use url::Url;

use crate::commands::check::redirect_uris;
use crate::config::{
    Allow, ClientAuth, Config, IssuerConfig, OutboundGrant, OutboundTarget, Profile, Requirement,
    RouteConfig, SessionStoreConfig,
};

/// Requirements on one issuer.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    /// Its name in `issuers`.
    pub(super) name: String,
    /// Its identifier.
    pub(super) url: String,
    /// The gateway's client; empty for an issuer without logins.
    pub(super) client: String,
    /// Whether the gateway authenticates as that client.
    pub(super) authenticates: bool,
    /// Scopes that a login requests.
    pub(super) scopes: Vec<String>,
    /// Redirect URIs of the hosts on which browsers sign in.
    pub(super) redirect_uris: BTreeSet<Url>,
    /// Addresses to which the issuer sends browsers after a sign-out.
    pub(super) post_logout_uris: BTreeSet<Url>,
    /// Address of logout tokens; `None` with sessions in cookies, which cannot be ended from outside.
    pub(super) backchannel_logout: Option<Url>,
    /// Accepted audiences of bearer tokens, each list with the key that has it.
    pub(super) audiences: BTreeMap<String, Vec<String>>,
    /// Protected resources of MCP, by the name of the route.
    pub(super) resources: BTreeMap<String, String>,
    /// Roles that rules name.
    pub(super) roles: BTreeSet<String>,
    /// Groups that rules name.
    pub(super) groups: BTreeSet<String>,
    /// Paths of claims.
    pub(super) paths: ClaimPaths,
    /// Accepted algorithms.
    pub(super) algorithms: Vec<String>,
    /// Whether the header `typ` of access tokens must be `at+jwt` (`Some(true)`), must not be (`Some(false)`), or may be either.
    pub(super) at_jwt: Option<bool>,
    /// Accepted difference of clocks.
    pub(super) leeway: Duration,
    /// `session.idle`.
    pub(super) idle: Duration,
    /// `session.lifetime`.
    pub(super) lifetime: Duration,
    /// Whether sessions are in cookies, so that replicas refresh the same session without knowing of each other.
    pub(super) cookie_sessions: bool,
    /// Clients that exchange tokens, each with the first key that needs it.
    pub(super) exchanging: BTreeMap<String, String>,
    /// Clients that ask for tokens of their own, each with the first key that needs it.
    pub(super) service_accounts: BTreeMap<String, String>,
}

impl Needs {
    /// The requirements of a configuration on the issuer of this name.
    pub(super) fn new(name: &str, issuer: &IssuerConfig, config: &Config) -> Self {
        let client = issuer.client_id.clone().unwrap_or_default();
        let redirect_uris =
            if issuer.offers_login() { redirect_uris(config) } else { BTreeSet::new() };
        let beside = |path: &str| {
            let of = |uri: &Url| uri.join(path).ok();
            redirect_uris.iter().filter_map(of).collect::<BTreeSet<_>>()
        };
        let cookie_sessions = config.session.store == SessionStoreConfig::Cookie;
        let public = beside("backchannel_logout");
        let backchannel_logout = public
            .iter()
            .find(|url| url.host_str() == config.public_url.host_str())
            .or_else(|| public.first())
            .filter(|_| !cookie_sessions)
            .cloned();
        let (exchanging, service_accounts) = grants(name, &client, config);
        let mut needs = Self {
            name: name.to_owned(),
            url: issuer.identifier().into_owned(),
            authenticates: issuer.client_auth != ClientAuth::None,
            scopes: issuer.scopes.clone(),
            post_logout_uris: beside("signed_out"),
            backchannel_logout,
            redirect_uris,
            audiences: audiences(name, issuer, config),
            resources: resources(config),
            roles: BTreeSet::new(),
            groups: BTreeSet::new(),
            paths: issuer.claim_paths(),
            algorithms: accepted(&issuer.algorithms),
            at_jwt: match issuer.profile {
                Profile::Keycloak => Some(false),
                Profile::Rfc9068 => Some(true),
                Profile::Generic | Profile::Workload => None,
            },
            leeway: issuer.leeway,
            idle: config.session.idle,
            lifetime: config.session.lifetime,
            cookie_sessions,
            exchanging,
            service_accounts,
            client,
        };
        for requirement in requirements(name, config) {
            needs.roles.extend(requirement.roles.iter().cloned());
            needs.groups.extend(requirement.groups.iter().cloned());
        }
        needs
    }
}

fn accepted(configured: &[Algorithm]) -> Vec<String> {
    let accepted = if configured.is_empty() { Algorithm::ALL.as_slice() } else { configured };
    accepted.iter().map(ToString::to_string).collect()
}

/// The requirements of rules that callers of this issuer may meet.
fn requirements<'a>(name: &'a str, config: &'a Config) -> impl Iterator<Item = &'a Requirement> {
    let rules = config.routes.values().flat_map(|route| &route.access);
    let all = rules.flat_map(|rule| match &rule.allow {
        Allow::AnyOf(requirements) => requirements.as_slice(),
        Allow::Anyone | Allow::SignedIn => &[],
    });
    all.filter(move |requirement| {
        requirement.issuers.is_empty() || requirement.issuers.iter().any(|issuer| issuer == name)
    })
}

fn audiences(name: &str, issuer: &IssuerConfig, config: &Config) -> BTreeMap<String, Vec<String>> {
    let routes = config.routes.iter().filter(|(_, route)| route.mcp.is_none());
    let of_route = |(route, config): (&String, &RouteConfig)| {
        (format!("routes.{route}.audience"), config.audience.clone())
    };
    // An issuer without an audience is for logins only, on every route.
    let routes = routes.map(of_route).filter(|_| !issuer.audience.is_empty());
    let own = (format!("issuers.{name}.audience"), issuer.audience.clone());
    std::iter::once(own).chain(routes).filter(|(_, audience)| !audience.is_empty()).collect()
}

fn resources(config: &Config) -> BTreeMap<String, String> {
    let routes = config.routes.iter();
    let resource = |route: &RouteConfig| route.mcp.as_ref().map(|mcp| mcp.resource.to_string());
    routes.filter_map(|(name, route)| Some((name.clone(), resource(route)?))).collect()
}

/// Clients that exchange tokens, and those that ask for their own.
fn grants(
    name: &str,
    own: &str,
    config: &Config,
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let (mut exchanging, mut service_accounts) = (BTreeMap::new(), BTreeMap::new());
    for (route, settings) in &config.routes {
        if settings.identity.access_token.exchange().is_some() {
            let key = format!("routes.{route}.identity.access_token.exchange");
            exchanging.entry(own.to_owned()).or_insert(key);
        }
    }
    let targets = config.outbound.iter().flat_map(|outbound| &outbound.targets);
    for (target, settings) in targets.filter(|(_, target)| target.issuer == name) {
        let (client, key) = (client_of(settings, own), format!("outbound.targets.{target}.grant"));
        match settings.grant {
            OutboundGrant::ClientCredentials => service_accounts.entry(client).or_insert(key),
            OutboundGrant::Exchange => exchanging.entry(client).or_insert(key),
            OutboundGrant::JwtBearer(_) => continue,
        };
    }
    exchanging.remove("");
    service_accounts.remove("");
    (exchanging, service_accounts)
}

fn client_of(target: &OutboundTarget, own: &str) -> String {
    target.client.as_ref().map_or(own, |client| &client.id).to_owned()
}
