//! Rules and keys for the bearer tokens of one issuer, from its configuration.

use std::sync::Arc;

use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::http::{BearerFile, Http};
use oidc_core::keys::{FileKeys, KeySource, RemoteKeys};
use oidc_core::provider::{InvalidIssuer, PlainHttpHosts, Provider};
use oidc_core::{Claims, Issuer, Validation};

use super::{AssembleError, at, in_background::InBackground};
use crate::config::{self, AudienceClaim, IssuerConfig};

/// The rules for tokens with this audience.
///
/// # Errors
///
/// The `url` is no issuer, or no template for the tenants.
pub(super) fn rules(config: &IssuerConfig, audience: &str) -> Result<Validation, InvalidIssuer> {
    let rules = match config.template()? {
        None => {
            // `check` and the provider's own address refuse invalid hosts.
            let hosts = PlainHttpHosts::dangerous(&config.dangerous_allow_http).unwrap_or_default();
            Validation::new(Issuer::dangerous_allow_http(&config.url, &hosts)?, audience)
        }
        Some(template) => Validation::for_tenants(template, audience),
    };
    let mut rules = rules
        .with_leeway(config.leeway)
        .with_profile(config.profile.into())
        .with_claims(config.claim_paths());
    if !config.algorithms.is_empty() {
        rules = rules.with_algorithms(config.algorithms.iter().copied());
    }
    if let Some(identifier) = &config.access_token_issuer {
        rules = rules.with_access_token_issuer(identifier);
    }
    if let Some(domain) = &config.trust_domain {
        rules = rules.with_trust_domain(domain);
    }
    if config.audience_claim == AudienceClaim::ClientId {
        rules = rules.with_client_as_audience();
    }
    if config.dangerous_accept_id_tokens {
        rules = rules.dangerous_accept_id_tokens();
    }
    if config.dangerous_ignore_header_keys {
        rules = rules.dangerous_ignore_header_keys();
    }
    Ok(rules)
}

/// Whether unverified claims name this issuer, one of its tenants, or the issuer of its access tokens.
pub(crate) fn is_origin(config: &IssuerConfig, claims: &Claims) -> bool {
    let Some(iss) = claims.issuer.as_deref() else { return false };
    config.url == iss || rules(config, "").is_ok_and(|rules| rules.names_issuer(iss))
}

/// The way to the issuer.
///
/// # Errors
///
/// The key of the issuer whose file cannot be used.
pub(crate) fn http(name: &str, config: &IssuerConfig) -> Result<Arc<dyn Http>, AssembleError> {
    let fetch = config.fetch.as_ref();
    let mut options = HttpOptions::default();
    if let Some(ca_file) =
        fetch.and_then(|fetch| fetch.ca_file.as_ref()).or(config.ca_file.as_ref())
    {
        options = options.with_ca_file(ca_file);
    }
    if let config::ClientAuth::Mtls(own) = &config.client_auth {
        options = options.with_client_certificate(&own.certificate, &own.key);
    }
    let http = ReqwestHttp::new(options).map_err(at(format!("issuers.{name}")))?;
    let http = Arc::new(InBackground(Arc::new(http)));
    Ok(match fetch.and_then(|fetch| fetch.token_file.as_ref()) {
        Some(file) => Arc::new(BearerFile::new(http, file)),
        None => http,
    })
}

/// The issuer's keys: those in the file, or those it publishes, which are also returned as such.
///
/// # Errors
///
/// The file has no usable keys.
pub(super) fn keys(
    name: &str,
    config: &IssuerConfig,
    provider: &Provider,
) -> Result<(Arc<dyn KeySource>, Option<RemoteKeys>), AssembleError> {
    if let Some(file) = &config.keys_file {
        let keys = FileKeys::open(file).map_err(at(format!("issuers.{name}.keys_file")))?;
        return Ok((Arc::new(keys), None));
    }
    let keys = RemoteKeys::new(provider.clone());
    keys.start();
    Ok((Arc::new(keys.clone()), Some(keys)))
}
