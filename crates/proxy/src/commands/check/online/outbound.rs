//! The targets of `outbound`: whether the service answers, and whether the issuer gives a token for it.
//!
//! A token of the client's own is asked for as the listener would, and is not sent to the service. Where the grant needs a user's
//! token or an assertion, one that is invalid stands for it: the issuer authenticates the client first, and an issuer may take an
//! assertion once, so that a check must not use up the one that the gateway needs.

use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use cli_auth::{shown, with_causes};
use http_canonical::{CanonicalPath, Keep};
use m2m::TokenSource as _;
use oidc_core::client::Grant;
use oidc_core::{Clock, Secret, SystemClock};
use url::Position;

use crate::assemble;
use crate::config::{Config, IssuerConfig, OutboundGrant, OutboundTarget};
use crate::forward::{TokenFailure, patiently};
use crate::identify::issuers::IssuerClient;
use crate::outbound::{Target, Tokens};

/// Stands for a token of a user, and for an assertion.
const INVALID: &str = "checks-the-client-only";

/// Checks each target, and prints a line for its service and one for its tokens; the number of problems.
pub(super) async fn check(config: &Config, out: &mut dyn Write) -> anyhow::Result<usize> {
    let Some(outbound) = &config.outbound else { return Ok(0) };
    let clock = Arc::new(SystemClock) as Arc<dyn Clock>;
    let mut problems = 0;
    for (name, target) in &outbound.targets {
        let Some(issuer) = config.issuers.get(&target.issuer) else { continue };
        let client =
            assemble::issuer_client(&target.issuer, issuer, Default::default(), &clock, None)?;
        let made = assemble::outbound_target(name, target, &client, 0, &clock)?;
        problems += service(name, target, &made, out).await?;
        let verdict = match (&target.grant, &made.tokens) {
            (OutboundGrant::ClientCredentials, Tokens::Own(tokens)) => {
                let tokens = tokens.clone();
                let answer = patiently(async move { tokens.token().await }).await;
                answer.map(|token| lifetime(token.expires_at(), clock.now()))
            }
            _ => without_a_user(name, target, &client, &clock).await?,
        };
        let place = format!("outbound.targets.{name}");
        match verdict {
            Ok(verdict) => {
                let verdict = format!("issuers.{} {verdict}", target.issuer);
                writeln!(out, "{place}: {}", shown(&verdict))?;
            }
            Err(failure) => {
                problems += 1;
                let problem = problem(name, target, issuer, &failure);
                writeln!(out, "{place}: no token: {}", shown(&problem))?;
            }
        }
    }
    Ok(problems)
}

/// Asks the service with one `HEAD`, without a token.
async fn service(
    name: &str,
    config: &OutboundTarget,
    target: &Target,
    out: &mut dyn Write,
) -> anyhow::Result<usize> {
    let host = &config.url[Position::BeforeHost..Position::AfterPort];
    let path = CanonicalPath::parse(&format!("/{name}/"), Keep::default())?;
    let within = (target.timeouts.connect, target.timeouts.response_head);
    let mut problems = 0;
    for (address, answer) in target.upstream.probe(host, &path, within).await {
        let verdict = match answer {
            Ok(status) if status.is_server_error() => {
                problems += 1;
                format!(
                    "answers {status}: the service or a proxy before it fails; start it, or correct this URL"
                )
            }
            Ok(status) => format!("answers {status}"),
            Err(reason) => {
                problems += 1;
                let or_tls = if config.url.scheme() == "https" { " or `tls`" } else { "" };
                format!(
                    "cannot be reached: {reason}; start the service, or correct this URL{or_tls}"
                )
            }
        };
        writeln!(out, "outbound.targets.{name}.url: {address}: {}", shown(&verdict))?;
    }
    Ok(problems)
}

/// Has the issuer authenticate the client, with a grant that it must refuse.
async fn without_a_user(
    name: &str,
    config: &OutboundTarget,
    client: &IssuerClient,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Result<String, TokenFailure>> {
    let endpoint = assemble::outbound_client(name, config, client, clock)?;
    let (grant, needs) = match &config.grant {
        OutboundGrant::JwtBearer(_) => {
            (Grant::JwtBearer { assertion: Secret::from(INVALID), scope: None }, "an assertion")
        }
        _ => {
            let audience = config.audience.clone().unwrap_or_default();
            (Grant::exchange(Secret::from(INVALID), audience), "a user's token")
        }
    };
    let answer = match endpoint.request(grant).await {
        Ok(_) => "a token".to_owned(),
        Err(error) => match TokenFailure::of_answer(&error) {
            TokenFailure::Refused(reason) => reason,
            // The causes name the address that cannot be reached, for example.
            TokenFailure::Unavailable(_) => {
                return Ok(Err(TokenFailure::Unavailable(with_causes(&error))));
            }
            failure => return Ok(Err(failure)),
        },
    };
    Ok(Ok(format!(
        "accepts the client; a token needs {needs}, and is not asked for here (answer to an invalid one: {answer})"
    )))
}

fn lifetime(expires_at: Option<SystemTime>, now: SystemTime) -> String {
    match expires_at.and_then(|at| at.duration_since(now).ok()) {
        Some(left) => format!("gives a token, valid for {} seconds", left.as_secs()),
        None => "gives a token without a stated end".to_owned(),
    }
}

/// The reason and the remedy.
fn problem(
    name: &str,
    target: &OutboundTarget,
    issuer: &IssuerConfig,
    failure: &TokenFailure,
) -> String {
    let own = match &target.client {
        Some(client) => format!("`outbound.targets.{name}.client` (`{}`)", client.id),
        None => {
            let id = issuer.client_id.as_deref().unwrap_or_default();
            format!("`issuers.{}.client_id` (`{id}`) or its `client_auth`", target.issuer)
        }
    };
    match failure {
        TokenFailure::Unavailable(reason) => {
            format!("{reason}; start the issuer, or correct `issuers.{}.url`", target.issuer)
        }
        TokenFailure::Misconfigured(reason) => {
            format!("{reason}; correct {own}, or permit the grant for this client at the issuer")
        }
        TokenFailure::Refused(reason) => format!(
            "{reason}; permit the grant, `audience` and `scopes` for this client at the issuer, or correct them here"
        ),
        TokenFailure::Invalid(reason) => {
            format!("{reason}; have the issuer's operators correct its token endpoint")
        }
    }
}
