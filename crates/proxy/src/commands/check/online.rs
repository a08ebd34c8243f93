//! `doorward check --online`: checks that the issuers and upstreams answer and fit the configuration.
//!
//! Reads public documents of the issuers, authenticates the gateway there as its client, and announces a login for each host
//! where the provider takes pushed requests. Asks each upstream with one `HEAD`. No user signs in, and no token is issued.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use cli_auth::{shown, with_causes};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::RemoteKeys;
use oidc_core::provider::{Provider, ProviderMetadata};
use oidc_core::{Issuer, SystemClock};

use self::registration::Registration;
use crate::assemble;
use crate::commands::Outcome;
use crate::config::{
    ClientAuth, Config, HostPattern, IssuerConfig, PushedAuthorization, RouteConfig,
};

mod registration;

/// Contacts every issuer and upstream of a file and prints a line about each.
///
/// # Errors
///
/// The file has problems, or `out` cannot be written.
pub async fn online(path: &Path, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let config = Config::load(path)?.config;
    let mut fine = true;
    for (name, issuer) in &config.issuers {
        match ask_issuer(issuer).await {
            Ok(IssuerReport { metadata, keys, doubts }) => {
                let keys = super::counted(keys, "key");
                writeln!(out, "issuers.{name}: answers, {keys} for signatures")?;
                for doubt in doubts {
                    fine = false;
                    writeln!(out, "issuers.{name}: {doubt}")?;
                }
                let client =
                    assemble::issuer_client(name, issuer, &(Arc::new(SystemClock) as Arc<_>))?;
                let Registration { proved, doubts } =
                    registration::check(&client, issuer, &metadata, &config).await;
                for line in proved {
                    writeln!(out, "issuers.{name}: {}", shown(&line))?;
                }
                for doubt in doubts {
                    fine = false;
                    writeln!(out, "issuers.{name}: {}", shown(&doubt))?;
                }
            }
            Err(reason) => {
                fine = false;
                writeln!(out, "issuers.{name}: {}", shown(&reason))?;
            }
        }
    }
    for (name, route) in &config.routes {
        fine &= ask_upstream(name, route, &config, out).await?;
    }
    Ok(if fine { Outcome::Fine } else { Outcome::Failure })
}

/// Facts that an issuer published.
struct IssuerReport {
    metadata: ProviderMetadata,
    keys: usize,
    doubts: Vec<String>,
}

async fn ask_issuer(config: &IssuerConfig) -> Result<IssuerReport, String> {
    let issuer: Issuer = config.url.parse().map_err(|error| with_causes(&error))?;
    let mut options = HttpOptions::default();
    if let Some(file) = &config.ca_file {
        options = options.with_ca_file(file.clone());
    }
    let http = Arc::new(ReqwestHttp::new(options).map_err(|error| with_causes(&error))?);
    let metadata = ProviderMetadata::discover(&issuer, http.as_ref())
        .await
        .map_err(|error| with_causes(&error))?;
    let doubts = doubts(config, &metadata);
    let keys = RemoteKeys::new(Provider::with_metadata(metadata.clone(), http));
    let keys = keys.refresh_now().await.map_err(|error| with_causes(&error))?;
    Ok(IssuerReport { metadata, keys: keys.len(), doubts })
}

/// Settings of the configuration that this issuer does not support.
fn doubts(config: &IssuerConfig, metadata: &ProviderMetadata) -> Vec<String> {
    let offers = |offered: &[String], wanted: &str| {
        offered.is_empty() || offered.iter().any(|method| method == wanted)
    };
    let mut doubts = Vec::new();
    if config.pushed_authorization == PushedAuthorization::Required
        && metadata.pushed_authorization_request_endpoint.is_none()
    {
        let advice = "write `pushed_authorization: auto`, or enable them at the provider";
        doubts.push(format!("unsupported pushed authorization requests; {advice}"));
    }
    if config.pushed_authorization == PushedAuthorization::Never
        && metadata.require_pushed_authorization_requests
    {
        let advice = "write `pushed_authorization: auto`";
        doubts.push(format!("the provider requires pushed authorization requests; {advice}"));
    }
    if !offers(&metadata.code_challenge_methods_supported, "S256") {
        doubts.push(
            "unsupported PKCE with S256, which every login uses; enable it at the provider"
                .to_owned(),
        );
    }
    let methods = &metadata.token_endpoint_auth_methods_supported;
    if matches!(config.client_auth, ClientAuth::PrivateKeyJwt(_))
        && !offers(methods, "private_key_jwt")
    {
        doubts.push(
            "unsupported `private_key_jwt`; use `secret`, or enable it at the provider".to_owned(),
        );
    }
    let lacking = config.scopes.iter().filter(|scope| !offers(&metadata.scopes_supported, scope));
    for scope in lacking {
        doubts.push(format!(
            "unlisted scope `{scope}`, which a login requests; offer it at the provider"
        ));
    }
    doubts
}

/// Asks the targets of a route; `true` if each answers without a server error.
async fn ask_upstream(
    name: &str,
    config: &RouteConfig,
    whole: &Config,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let route = assemble::route(name, config, whole)?;
    let Some(upstream) = &route.upstream else { return Ok(true) };
    let host = match &route.host {
        HostPattern::Exact(host) => host.clone(),
        HostPattern::Below(parent) => format!("check.{parent}"),
    };
    let within = (route.timeouts.connect, route.timeouts.response_head);
    let mut fine = true;
    for (target, answer) in upstream.probe(&host, &route.prefix, within).await {
        let verdict = match answer {
            Ok(status) if status.is_server_error() => {
                fine = false;
                format!("answers {status}: the service or a proxy before it fails")
            }
            Ok(status) => format!("answers {status}"),
            Err(reason) => {
                fine = false;
                format!("cannot be reached: {reason}")
            }
        };
        writeln!(out, "routes.{name}.upstream: {target}: {}", shown(&verdict))?;
    }
    Ok(fine)
}
