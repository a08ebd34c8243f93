//! `doorward check --online`: checks that the issuers, the session store, the upstreams and the targets of `outbound` answer and fit
//! the configuration.
//!
//! Reads public documents of the issuers, authenticates the gateway there as its client, and announces a login for each host
//! where the provider takes pushed requests. Connects to a session store of the network. Asks each upstream with
//! one `HEAD`. Asks for the tokens of the targets and sends them nowhere. No user signs in.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use cli_auth::{shown, with_causes};
use oidc_core::SystemClock;
use oidc_core::keys::{FileKeys, KeySource as _, RemoteKeys};
use oidc_core::provider::ProviderMetadata;

use self::registration::Registration;
use crate::assemble;
use crate::commands::Outcome;
use crate::config::{
    ClientAuth, Config, HostPattern, IssuerConfig, Profile, PushedAuthorization, RouteConfig,
    UserInfo, WithoutRefresh,
};

mod outbound;
pub(super) mod registration;

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
        match ask_issuer(name, issuer).await {
            Ok(IssuerReport { metadata, keys, doubts }) => {
                let keys = super::counted(keys, "key");
                writeln!(out, "issuers.{name}: answers, {keys} for signatures")?;
                for doubt in doubts {
                    problems += 1;
                    writeln!(out, "issuers.{name}: {doubt}")?;
                }
                let Some(metadata) = metadata.filter(|_| issuer.offers_login()) else { continue };
                let clock = Arc::new(SystemClock) as Arc<_>;
                // No user signs in here, so no claim is wanted.
                let client =
                    assemble::issuer_client(name, issuer, Default::default(), &clock, None)?;
                let Registration { proved, doubts } =
                    registration::check(&client, issuer, &metadata, &config).await;
                for line in proved {
                    writeln!(out, "issuers.{name}: {}", shown(&line))?;
                }
                for doubt in doubts {
                    problems += 1;
                    writeln!(out, "issuers.{name}: {}", shown(&doubt))?;
                }
            }
            Err(reason) => {
                problems += 1;
                writeln!(out, "issuers.{name}: {}", shown(&reason))?;
            }
        }
    }
    for (name, route) in &config.routes {
        problems += ask_upstream(name, route, &config, out).await?;
    }
    problems += outbound::check(&config, out).await?;
    match assemble::ask_store(&config).await {
        Some(Ok(servers)) => writeln!(out, "session.store: {} answers", shown(&servers))?,
        Some(Err(reason)) => {
            problems += 1;
            writeln!(out, "session.store: {}", shown(&reason))?;
        }
        None => {}
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
    /// `None` where the keys are in a file.
    metadata: Option<Arc<ProviderMetadata>>,
    keys: usize,
    doubts: Vec<String>,
}

async fn ask_issuer(name: &str, config: &IssuerConfig) -> Result<IssuerReport, String> {
    if let Some(file) = &config.keys_file {
        let keys = FileKeys::open(file).map_err(|error| with_causes(&error))?;
        let keys = keys.current().map_err(|error| with_causes(&error))?.len();
        return Ok(IssuerReport { metadata: None, keys, doubts: Vec::new() });
    }
    let http = assemble::http(name, config).map_err(|error| with_causes(&error))?;
    let provider = assemble::provider(config, http, &str::to_owned);
    let provider = provider.map_err(|error| with_causes(&error))?;
    let metadata = provider.refresh_now().await.map_err(|error| with_causes(&error))?;
    // The other keys are about logins.
    let doubts = if config.offers_login() { doubts(config, &metadata) } else { Vec::new() };
    let keys = match RemoteKeys::new(provider).refresh_now().await {
        Ok(keys) => keys.len(),
        // The mistake alone: it names the issuer, the member and the remedy.
        Err(error) => {
            let mistake = error.mistake.as_ref().map(ToString::to_string);
            return Err(mistake.unwrap_or_else(|| with_causes(&error)));
        }
    };
    Ok(IssuerReport { metadata: Some(metadata), keys, doubts })
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

/// Asks the targets of a route; the number of those that do not answer, or with a server error.
async fn ask_upstream(
    name: &str,
    config: &RouteConfig,
    whole: &Config,
    out: &mut dyn Write,
) -> anyhow::Result<usize> {
    let route = assemble::route(name, config, whole)?;
    let Some(upstream) = &route.upstream else { return Ok(0) };
    let host = match &route.host {
        HostPattern::Exact(host) => host.clone(),
        HostPattern::Below(parent) => format!("check.{parent}"),
    };
    let within = (route.timeouts.connect, route.timeouts.response_head);
    let mut problems = 0;
    for (target, answer) in upstream.probe(&host, &route.prefix, within).await {
        let verdict = match answer {
            Ok(status) if status.is_server_error() => {
                problems += 1;
                format!("answers {status}: the service or a proxy before it fails")
            }
            Ok(status) => format!("answers {status}"),
            Err(reason) => {
                problems += 1;
                format!("cannot be reached: {reason}")
            }
        };
        writeln!(out, "routes.{name}.upstream: {target}: {}", shown(&verdict))?;
    }
    Ok(problems)
}
