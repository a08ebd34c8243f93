//! Builds clients and verifiers from the configured issuers. An unchanged issuer keeps its keys and its verified tokens.

use std::{collections::BTreeMap, sync::Arc};

use oidc_core::client::{ClientAuth, PrivateKeyJwt};
use oidc_core::http::Http;
use oidc_core::provider::{PlainHttpHosts, Provider};
use oidc_core::verify::Introspection;
use oidc_core::{Client, Clock, Issuer, Validation, Verifier};

use super::{AssembleError, Before, at, bearer};
use crate::{
    config::{self, Allow, Config, IssuerConfig},
    identify::{
        claims::{ClaimReader, Wanted},
        issuers::{IssuerClient, Issuers},
    },
    telemetry::{Telemetry, TracedHttp},
};

pub(super) fn issuers(
    config: &Config,
    clock: &Arc<dyn Clock>,
    telemetry: Option<&Telemetry>,
    before: Option<Before<'_>>,
) -> Result<Arc<Issuers>, AssembleError> {
    let mut by_name = BTreeMap::new();
    let wanted = wanted(config);
    for (name, issuer) in &config.issuers {
        let kept = before
            .filter(|before| before.config.issuers.get(name) == Some(issuer))
            .filter(|before| before.has_same(issuer.files()))
            .and_then(|before| before.app.endpoints.issuers.named(name).cloned());
        let client = match kept {
            Some(client) if client.wanted == wanted => client,
            // Provider and keys are shared.
            Some(client) => {
                Arc::new(IssuerClient { wanted: wanted.clone(), ..IssuerClient::clone(&client) })
            }
            None => Arc::new(issuer_client(name, issuer, wanted.clone(), clock, telemetry)?),
        };
        by_name.insert(name.clone(), client);
    }
    let earlier = before.map(|before| &before.app.endpoints.issuers);
    let same = earlier.filter(|earlier| earlier.same(&by_name)).cloned();
    let earlier = earlier.map(|earlier| &**earlier);
    Ok(same.unwrap_or_else(|| Arc::new(Issuers::new(by_name, clock, earlier))))
}

/// Makes one issuer and the gateway as its client; it begins to fetch the issuer's keys. With `telemetry`, the calls to the
/// issuer are recorded.
///
/// # Errors
///
/// The key of the issuer that cannot be applied, and the reason.
pub fn issuer_client(
    name: &str,
    config: &IssuerConfig,
    wanted: Wanted,
    clock: &Arc<dyn Clock>,
    telemetry: Option<&Telemetry>,
) -> Result<IssuerClient, AssembleError> {
    let place = |key: &str| format!("issuers.{name}.{key}");
    let mut http = bearer::http(name, config)?;
    if let Some(telemetry) = telemetry {
        http = Arc::new(TracedHttp::new(http, telemetry.clone(), name));
    }
    let provider = provider(config, http, &place)?;
    let (keys, remote_keys) = bearer::keys(name, config, &provider)?;
    let auth = client_auth(config, &place("client_auth"))?;
    // Without a client, no login begins and no answer of one is accepted.
    let client_id = config.client_id.as_deref().unwrap_or_default();
    let mut client = Client::new(provider.clone(), Arc::clone(&keys), client_id, auth)
        .with_leeway(config.leeway)
        .with_clock(Arc::clone(clock));
    if !config.algorithms.is_empty() {
        client = client.with_algorithms(config.algorithms.iter().copied());
    }
    for party in &config.authorized_parties {
        client = client.with_trusted_party(party);
    }
    let rules = |audience: &str| bearer::rules(config, audience).map_err(at(place("url")));
    let bearer = match config.audience.split_first() {
        None => None,
        Some((first, more)) => Some(more.iter().fold(rules(first)?, Validation::with_audience)),
    };
    let introspection =
        bearer.clone().zip(config.introspection.as_ref()).map(|(validation, introspection)| {
            Introspection::new(client.token_endpoint().clone(), validation)
                .with_max_age(introspection.cache)
        });
    let own = Verifier::new(rules(client_id)?.with_authorized_party(client_id), Arc::clone(&keys))
        .with_clock(Arc::clone(clock))
        .with_cache(0);
    Ok(IssuerClient {
        name: name.to_owned(),
        url: config.url.clone(),
        provider,
        keys,
        remote_keys,
        offers_login: config.offers_login(),
        client,
        bearer,
        introspection,
        own,
        claims: ClaimReader::new(name, config),
        leeway: config.leeway,
        scopes: config.scopes.clone(),
        authorization: config.authorization.clone().into_iter().collect(),
        pushed_authorization: config.pushed_authorization,
        user_info: config.userinfo,
        wanted,
        without_refresh: config.without_refresh,
        clock: Arc::clone(clock),
    })
}

/// The provider at its address.
///
/// # Errors
///
/// The key whose value cannot be used.
pub(crate) fn provider(
    config: &IssuerConfig,
    http: Arc<dyn Http>,
    place: &dyn Fn(&str) -> String,
) -> Result<Provider, AssembleError> {
    let hosts = PlainHttpHosts::dangerous(&config.dangerous_allow_http)
        .map_err(at(place("dangerous_allow_http")))?;
    let issuer = Issuer::dangerous_allow_http(&config.url, &hosts).map_err(at(place("url")))?;
    let provider = Provider::new(issuer, http).dangerous_allow_http(hosts);
    Ok(match &config.discovery_url {
        Some(url) => provider.with_discovery_url(url.parse().map_err(at(place("discovery_url")))?),
        None => provider,
    })
}

/// Claims that the rules of the routes read.
fn wanted(config: &Config) -> Wanted {
    let mut wanted = Wanted::default();
    let rules = config.routes.values().flat_map(|route| &route.access);
    for requirement in rules.flat_map(|rule| match &rule.allow {
        Allow::AnyOf(requirements) => requirements.as_slice(),
        Allow::Anyone | Allow::SignedIn => &[],
    }) {
        wanted.roles |= !requirement.roles.is_empty();
        wanted.groups |= !requirement.groups.is_empty();
        wanted.claims.extend(requirement.claims.keys().cloned());
    }
    wanted
}

fn client_auth(config: &IssuerConfig, place: &str) -> Result<ClientAuth, AssembleError> {
    match &config.client_auth {
        config::ClientAuth::None => Ok(ClientAuth::None),
        config::ClientAuth::Secret(secret) => {
            secret.read().map(|secret| ClientAuth::Secret(secret.into())).map_err(at(place))
        }
        config::ClientAuth::PrivateKeyJwt(key) => {
            let pem = key.key.read().map_err(at(place))?;
            let algorithm = key.algorithm.as_str().parse().map_err(at(place))?;
            PrivateKeyJwt::from_pem(&pem, algorithm, key.key_id.clone())
                .map(ClientAuth::PrivateKeyJwt)
                .map_err(at(place))
        }
        config::ClientAuth::AssertionFile(path) => Ok(ClientAuth::AssertionFile(path.clone())),
        config::ClientAuth::Mtls(_) => Ok(ClientAuth::MutualTls),
    }
}
