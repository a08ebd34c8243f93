//! `doorward check --online`: are the issuers and upstreams there, and do they fit the configuration?
//!
//! Reads public documents of the issuers and opens connections to the upstreams; it sends no secret and
//! no request to an upstream.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cli_auth::with_causes;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::{Issuer, Provider, ProviderMetadata, RemoteKeys};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::commands::Outcome;
use crate::config::{
    ClientAuth, Config, IssuerConfig, PushedAuthorization, UpstreamAddress, UpstreamUrl,
};

/// Asks every issuer and upstream of a file and writes a line about each.
///
/// # Errors
///
/// When the file has problems, or `out` cannot be written.
pub async fn online(path: &Path, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let config = Config::load(path)?.config;
    let mut fine = true;
    for (name, issuer) in &config.issuers {
        match ask_issuer(issuer).await {
            Ok(Answer { keys, doubts }) => {
                let keys = super::counted(keys, "key");
                writeln!(out, "issuers.{name}: answers, {keys} for signatures")?;
                for doubt in doubts {
                    fine = false;
                    writeln!(out, "issuers.{name}: {doubt}")?;
                }
            }
            Err(reason) => {
                fine = false;
                writeln!(out, "issuers.{name}: {reason}")?;
            }
        }
    }
    for (name, route) in &config.routes {
        for upstream in &route.upstream {
            let verdict = match connect(upstream, route.timeouts.connect).await {
                Ok(()) => "answers".to_owned(),
                Err(reason) => {
                    fine = false;
                    reason
                }
            };
            writeln!(out, "routes.{name}.upstream: {upstream}: {verdict}")?;
        }
    }
    Ok(if fine { Outcome::Fine } else { Outcome::Failure })
}

/// What an issuer said.
struct Answer {
    keys: usize,
    doubts: Vec<String>,
}

async fn ask_issuer(config: &IssuerConfig) -> Result<Answer, String> {
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
    Ok(Answer { keys: keys.len(), doubts })
}

/// What this issuer does not offer and the configuration wants.
fn doubts(config: &IssuerConfig, metadata: &ProviderMetadata) -> Vec<String> {
    let offers = |offered: &[String], wanted: &str| {
        offered.is_empty() || offered.iter().any(|method| method == wanted)
    };
    let mut doubts = Vec::new();
    if config.pushed_authorization == PushedAuthorization::Required
        && metadata.pushed_authorization_request_endpoint.is_none()
    {
        let advice = "write `pushed_authorization: auto`, or offer it there";
        doubts.push(format!("does not offer pushed authorization requests: {advice}"));
    }
    if config.pushed_authorization == PushedAuthorization::Never
        && metadata.require_pushed_authorization_requests
    {
        let advice = "write `pushed_authorization: auto`";
        doubts.push(format!("takes pushed authorization requests only: {advice}"));
    }
    if !offers(&metadata.code_challenge_methods_supported, "S256") {
        doubts.push("does not offer PKCE with S256, which every login uses".to_owned());
    }
    let methods = &metadata.token_endpoint_auth_methods_supported;
    if matches!(config.client_auth, ClientAuth::PrivateKeyJwt(_))
        && !offers(methods, "private_key_jwt")
    {
        doubts.push("does not offer `private_key_jwt`: use `secret`, or offer it there".to_owned());
    }
    let lacking = config.scopes.iter().filter(|scope| !offers(&metadata.scopes_supported, scope));
    for scope in lacking {
        doubts.push(format!("does not list the scope `{scope}` that a login asks for"));
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
