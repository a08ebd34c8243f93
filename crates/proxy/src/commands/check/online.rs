//! `doorward check --online`: checks that the issuers and upstreams answer and fit the configuration.
//!
//! Reads public documents of the issuers and opens connections to the upstreams; it sends no secret and
//! no request to an upstream.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cli_auth::{shown, with_causes};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::keys::RemoteKeys;
use oidc_core::provider::ProviderMetadata;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::assemble;
use crate::commands::Outcome;
use crate::config::{
    ClientAuth, Config, IssuerConfig, Profile, PushedAuthorization, UpstreamAddress, UpstreamUrl,
    UserInfo, WithoutRefresh,
};

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
            Ok(IssuerReport { keys, doubts }) => {
                let keys = super::counted(keys, "key");
                writeln!(out, "issuers.{name}: answers, {keys} for signatures")?;
                for doubt in doubts {
                    fine = false;
                    writeln!(out, "issuers.{name}: {doubt}")?;
                }
            }
            Err(reason) => {
                fine = false;
                writeln!(out, "issuers.{name}: {}", shown(&reason))?;
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
            writeln!(out, "routes.{name}.upstream: {upstream}: {}", shown(&verdict))?;
        }
    }
    Ok(if fine { Outcome::Fine } else { Outcome::Failure })
}

/// Facts that an issuer published.
struct IssuerReport {
    keys: usize,
    doubts: Vec<String>,
}

async fn ask_issuer(config: &IssuerConfig) -> Result<IssuerReport, String> {
    let mut options = HttpOptions::default();
    if let Some(file) = &config.ca_file {
        options = options.with_ca_file(file.clone());
    }
    let http = Arc::new(ReqwestHttp::new(options).map_err(|error| with_causes(&error))?);
    let provider = assemble::provider(config, http, &str::to_owned);
    let provider = provider.map_err(|error| with_causes(&error))?;
    let metadata = provider.refresh_now().await.map_err(|error| with_causes(&error))?;
    let doubts = doubts(config, &metadata);
    let keys = match RemoteKeys::new(provider).refresh_now().await {
        Ok(keys) => keys.len(),
        // The mistake alone: it names the issuer, the member and the remedy.
        Err(error) => {
            let mistake = error.mistake.as_ref().map(ToString::to_string);
            return Err(mistake.unwrap_or_else(|| with_causes(&error)));
        }
    };
    Ok(IssuerReport { keys, doubts })
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
    let secret = matches!(config.client_auth, ClientAuth::Secret(_));
    if secret
        && !["client_secret_basic", "client_secret_post"].iter().any(|own| offers(methods, own))
    {
        doubts.push(
            "unsupported client secret: the provider takes none, by its list of methods; use another \
             `client_auth`, or enable secrets at the provider"
                .to_owned(),
        );
    }
    if config.userinfo == UserInfo::Always && metadata.userinfo_endpoint.is_none() {
        doubts.push(
            "unsupported UserInfo, which every login asks for; write `userinfo: when_missing`"
                .to_owned(),
        );
    }
    if let Some(doubt) = refreshes(config, metadata) {
        doubts.push(doubt);
    }
    let lacking = config.scopes.iter().filter(|scope| !offers(&metadata.scopes_supported, scope));
    for scope in lacking {
        doubts.push(format!(
            "unlisted scope `{scope}`, which a login requests; offer it at the provider"
        ));
    }
    doubts
}

/// The end of sessions, where the provider issues no refresh token by what it announces.
fn refreshes(config: &IssuerConfig, metadata: &ProviderMetadata) -> Option<String> {
    let grants = &metadata.grant_types_supported;
    let refreshes = grants.is_empty() || grants.iter().any(|grant| grant == "refresh_token");
    let offline = metadata.scopes_supported.iter().any(|scope| scope == "offline_access");
    let asks = config.scopes.iter().any(|scope| scope == "offline_access");
    let reason = match (refreshes, offline && !asks) {
        (false, _) => "the provider issues no refresh tokens",
        (true, true) if config.profile != Profile::Keycloak => {
            "the provider may issue no refresh token without the scope `offline_access`"
        }
        (true, _) => return None,
    };
    match config.without_refresh {
        WithoutRefresh::KeepIdentity => None,
        WithoutRefresh::EndWithToken => Some(format!(
            "{reason}: sessions then end with their access token; add `offline_access` to `scopes` if the \
             provider offers it, or write `without_refresh: keep_identity`"
        )),
    }
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
