//! The claims of the caller, from a file or a token that is read and not verified.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use oidc_core::Claims;

use crate::{
    assemble,
    config::{Config, IssuerConfig},
    identify::claims::ClaimReader,
};
use access_policy::Known;
use api_keys::ApiKey;

/// The caller of the request.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct CallerArguments {
    /// A JSON file with claims, as in the payload of a token
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
    /// An access token; it is read, not verified
    #[arg(long)]
    token: Option<String>,
    /// Explain for an anonymous caller (the default)
    #[arg(long)]
    anonymous: bool,
}

/// Claims with their issuer in the configuration.
pub(super) struct Stated<'c> {
    pub(super) claims: Claims,
    pub(super) name: &'c String,
    pub(super) issuer: &'c IssuerConfig,
    /// Whether they came in an access token, and not in a file that may show the claims of a session.
    pub(super) in_token: bool,
}

impl CallerArguments {
    /// The claims, if there are any.
    pub(super) fn read<'c>(
        &self,
        config: &'c Config,
        issuer: Option<&str>,
    ) -> anyhow::Result<Option<Stated<'c>>> {
        let claims = match (&self.claims, &self.token) {
            (Some(file), _) => {
                let bytes = std::fs::read(file).with_context(|| format!("{}", file.display()))?;
                if is_token(&bytes) {
                    bail!(
                        "invalid --claims {0}: it holds a token, not the JSON of its claims; write `--token \"$(cat {0})\"`",
                        file.display()
                    );
                }
                Claims::parse(&bytes).with_context(|| format!("{}", file.display()))?
            }
            (None, Some(token)) if ApiKey::is_like(token) => bail!(
                "invalid --token: an API key, which only the running gateway can read; write `--claims FILE` with the claims of its owner"
            ),
            (None, Some(token)) => {
                let payload = token.split('.').nth(1).context("invalid --token: not a JWT")?;
                let bytes =
                    URL_SAFE_NO_PAD.decode(payload).context("invalid --token: not a JWT")?;
                Claims::parse(&bytes).context("--token")?
            }
            (None, None) => return Ok(None),
        };
        let (name, issuer) = find(config, issuer, &claims)?;
        Ok(Some(Stated { claims, name, issuer, in_token: self.token.is_some() }))
    }
}

impl Stated<'_> {
    /// The caller that they describe.
    pub(super) fn caller(&self) -> Arc<Known> {
        ClaimReader::new(self.name, self.issuer).read(&self.claims)
    }
}

fn find<'c>(
    config: &'c Config,
    named: Option<&str>,
    claims: &Claims,
) -> anyhow::Result<(&'c String, &'c IssuerConfig)> {
    let mut issuers = config.issuers.iter();
    if let Some(name) = named {
        return issuers
            .find(|(known, _)| *known == name)
            .with_context(|| format!("unknown --issuer {name}: not in the configuration"));
    }
    let by_url = issuers.clone().find(|(_, issuer)| assemble::is_origin(issuer, claims));
    match (by_url, issuers.next(), issuers.next()) {
        (Some(found), ..) => Ok(found),
        (None, Some(only), None) => Ok(only),
        _ => bail!("missing --issuer: several issuers are configured"),
    }
}

/// Whether a file holds a JWT instead of claims.
fn is_token(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.starts_with(b"eyJ") && text.iter().all(inside)
}
