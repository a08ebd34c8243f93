//! `doorward check --online`: also asks the issuers and upstreams whether they are there.

use std::io::Write;

use super::super::Outcome;
use crate::{
    assemble::{self, issuer_provider},
    config::Config,
};

/// Talks to every issuer and upstream of a configuration that is good on paper, and tells who answers.
///
/// # Errors
///
/// The configuration cannot be read, or `out` cannot be written.
pub async fn online(config: &Config, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Fine;
    for (name, issuer) in &config.issuers {
        let provider = issuer_provider(name, issuer)?;
        match provider.metadata().await {
            Ok(_) => writeln!(out, "issuer {name}: answers at {}", issuer.url)?,
            Err(error) => {
                outcome = Outcome::Failure;
                writeln!(out, "issuer {name}: {error}")?;
            }
        }
    }
    for route in assemble::routes(config)?.iter() {
        let Some(upstream) = &route.upstream else { continue };
        for (target, reached) in upstream.reach(route.timeouts.connect).await {
            match reached {
                Ok(()) => writeln!(out, "route {}: {target} accepts connections", route.name)?,
                Err(error) => {
                    outcome = Outcome::Failure;
                    writeln!(out, "route {}: {target}: {error}", route.name)?;
                }
            }
        }
    }
    Ok(outcome)
}
