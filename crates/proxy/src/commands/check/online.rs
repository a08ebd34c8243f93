//! `doorward check --online`: checks that the issuers and upstreams answer and fit the configuration.
//!
//! Reads public documents of the issuers and opens connections to the upstreams; it sends no secret and
//! no request to an upstream.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cli_auth::{shown, with_causes};
use oidc_core::Issuer;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::RemoteKeys;
use oidc_core::provider::{Provider, ProviderMetadata};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::commands::Outcome;
use crate::config::{ClientAuth, IssuerConfig, PushedAuthorization, UpstreamAddress, UpstreamUrl};

/// Checks a file, contacts every issuer and upstream of it, prints a line about each, and at the end the verdict.
///
/// # Errors
///
/// `out` cannot be written.
pub async fn online(path: &Path, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let Some(loaded) = super::read(path, out)? else { return Ok(Outcome::Failure) };
    let config = loaded.config;
    super::routes(&config, out)?;
    let mut problems = 0;
    for (name, issuer) in &config.issuers {
        match ask_issuer(issuer).await {
            Ok(IssuerReport { keys, doubts }) => {
                let keys = super::counted(keys, "key");
                writeln!(out, "issuers.{name}: answers, {keys} for signatures")?;
                for doubt in doubts {
                    problems += 1;
                    writeln!(out, "issuers.{name}: {doubt}")?;
                }
            }
            Err(reason) => {
                problems += 1;
                writeln!(out, "issuers.{name}: {}", shown(&reason))?;
            }
        }
    }
    for (name, route) in &config.routes {
        for upstream in &route.upstream {
            let verdict = match connect(upstream, route.timeouts.connect).await {
                Ok(()) => "answers".to_owned(),
                Err(reason) => {
                    problems += 1;
                    reason
                }
            };
            writeln!(out, "routes.{name}.upstream: {upstream}: {}", shown(&verdict))?;
        }
    }
    let file = path.display();
    if problems > 0 {
        let problems = super::counted(problems, "problem");
        writeln!(out, "\n{problems} online; {file} itself can be read")?;
        return Ok(Outcome::Failure);
    }
    let counts = super::counts(&config);
    writeln!(out, "\n{file} is valid: {counts}; every issuer and upstream answers")?;
    Ok(Outcome::Fine)
}

/// Facts that an issuer published.
struct IssuerReport {
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
    let keys = RemoteKeys::new(Provider::with_metadata(metadata, http));
    let keys = keys.refresh_now().await.map_err(|error| with_causes(&error))?;
    Ok(IssuerReport { keys: keys.len(), doubts })
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

async fn connect(upstream: &UpstreamUrl, within: Duration) -> Result<(), String> {
    let connected = async {
        match upstream.address() {
            UpstreamAddress::Tcp { host, port } => {
                TcpStream::connect((host.as_str(), *port)).await.map(drop)
            }
            UpstreamAddress::Unix(path) => UnixStream::connect(path).await.map(drop),
        }
    };
    match timeout(within, connected).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("cannot be reached: {error}")),
        Err(_) => Err(format!("does not answer within {}", humantime::format_duration(within))),
    }
}
