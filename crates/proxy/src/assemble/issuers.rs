//! Builds clients and verifiers from the configured issuers. An unchanged issuer keeps its keys and its verified tokens.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use m2m::ExchangedTokens;
use oidc_core::client::{ClientAuth, PrivateKeyJwt};
use oidc_core::http::Http;
use oidc_core::provider::{IssuerTemplate, PlainHttpHosts, Provider};
use oidc_core::verify::Introspection;
use oidc_core::{Client, Clock, Issuer, Validation, Verifier};

use super::{AssembleError, Before, at, bearer, routes};
use crate::{
    config::{self, Allow, Config, IdentityTemplate, IssuerConfig, TemplatePart},
    identify::{
        claims::{ClaimReader, Wanted},
        issuers::{Accepts, IssuerClient, Issuers},
    },
    telemetry::{Telemetry, TracedHttp},
};

/// Makes all issuers; unchanged ones keep their keys and their verified tokens.
///
/// # Errors
///
/// Those of [`issuer_client`].
pub fn issuers(
    config: &Config,
    clock: &Arc<dyn Clock>,
    telemetry: Option<&Telemetry>,
    before: Option<Before<'_>>,
) -> Result<Arc<Issuers>, AssembleError> {
    let mut by_name = BTreeMap::new();
    let wanted = wanted(config);
    let audiences: BTreeSet<Vec<String>> = config
        .routes
        .values()
        .map(routes::audience)
        .filter(|audience| !audience.is_empty())
        .collect();
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
        by_name.insert(name.clone(), accepting(name, issuer, client, &audiences)?);
    }
    let earlier = before.map(|before| &before.app.endpoints.issuers);
    let same = earlier.filter(|earlier| earlier.same(&by_name)).cloned();
    let earlier = earlier.map(|earlier| &**earlier);
    Ok(same.unwrap_or_else(|| Arc::new(Issuers::new(by_name, clock, earlier))))
}

/// The issuer, with the rules for these audiences of routes. Those that it has already stay, with what they remember.
fn accepting(
    name: &str,
    config: &IssuerConfig,
    client: Arc<IssuerClient>,
    audiences: &BTreeSet<Vec<String>>,
) -> Result<Arc<IssuerClient>, AssembleError> {
    if client.by_audience.keys().eq(audiences) {
        return Ok(client);
    }
    let kept_or_new = |audience: &Vec<String>| match client.by_audience.get(audience) {
        Some(kept) => Ok(Some(kept.clone())),
        None => accepts(name, config, &client.client, audience),
    };
    let mut by_audience = BTreeMap::new();
    for audience in audiences {
        by_audience.extend(kept_or_new(audience)?.map(|accepts| (audience.clone(), accepts)));
    }
    Ok(Arc::new(IssuerClient { by_audience, ..IssuerClient::clone(&client) }))
}

/// The tokens of an issuer that have one of these audiences; `None` without an audience.
fn accepts(
    name: &str,
    config: &IssuerConfig,
    client: &Client,
    audience: &[String],
) -> Result<Option<Accepts>, AssembleError> {
    let Some((first, more)) = audience.split_first() else { return Ok(None) };
    let rules = bearer::rules(config, first).map_err(at(format!("issuers.{name}.url")))?;
    let rules = more.iter().fold(rules, Validation::with_audience);
    let rules = match config.tokens.bound {
        Some(bound) => rules.with_required_binding(bound.into()),
        None => rules,
    };
    let introspection = config.introspection.as_ref().map(|introspection| {
        Introspection::new(client.token_endpoint().clone(), rules.clone())
            .with_max_age(introspection.cache)
    });
    Ok(Some(Accepts { rules, introspection }))
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
    let auth = client_auth(&config.client_auth, &place("client_auth"))?;
    // Without a client, no login begins and no answer of one is accepted.
    let client_id = config.client_id.as_deref().unwrap_or_default();
    let mut client = Client::new(provider.clone(), Arc::clone(&keys), client_id, auth)
        .with_leeway(config.leeway)
        .with_clock(Arc::clone(clock));
    if !config.algorithms.is_empty() {
        client = client.with_algorithms(config.algorithms.iter().copied());
    }
    let template = config.template().map_err(at(place("url")))?;
    let tenants =
        template.iter().flat_map(IssuerTemplate::issuers).map(Issuer::to_string).collect();
    if let Some(template) = template {
        client = client.with_tenants(template);
    }
    for party in &config.authorized_parties {
        client = client.with_trusted_party(party);
    }
    let bearer = accepts(name, config, &client, &config.audience)?;
    let rules = bearer::rules(config, client_id).map_err(at(place("url")))?;
    let own = Verifier::new(rules.with_authorized_party(client_id), Arc::clone(&keys))
        .with_clock(Arc::clone(clock))
        .with_cache(0);
    let exchanges = config.client_id.is_some() && config.client_auth != config::ClientAuth::None;
    let exchanged = exchanges.then(|| {
        ExchangedTokens::new(client.token_endpoint().clone()).with_clock(Arc::clone(clock))
    });
    Ok(IssuerClient {
        name: name.to_owned(),
        url: config.url.clone(),
        tenants,
        provider,
        keys,
        remote_keys,
        offers_login: config.offers_login(),
        client,
        exchanged,
        bearer,
        by_audience: BTreeMap::new(),
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

/// Claims that the rules of the routes read, and the fields that they fill.
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
    let templates = config.routes.values().flat_map(|route| route.identity.set.values());
    for part in templates.flat_map(IdentityTemplate::parts) {
        match part {
            TemplatePart::Roles => wanted.roles = true,
            TemplatePart::Groups => wanted.groups = true,
            TemplatePart::Claim(path) => drop(wanted.claims.insert(path.clone())),
            // Always wanted.
            TemplatePart::UserName | TemplatePart::Email => {}
            TemplatePart::Text(_) | TemplatePart::Subject | TemplatePart::Issuer => {}
        }
    }
    wanted
}

/// The authentication of a client.
///
/// # Errors
///
/// A secret or key that cannot be read.
pub(crate) fn client_auth(
    auth: &config::ClientAuth,
    place: &str,
) -> Result<ClientAuth, AssembleError> {
    match auth {
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
