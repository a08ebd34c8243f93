//! How the commands reach an issuer: one HTTP client, the trust it starts from, and how long they wait.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use oidc_core::http::reqwest::{HttpOptions, HttpSetupError, ReqwestHttp};
use oidc_core::{Issuer, Provider, ProviderPolicy};

/// How long a command waits for the issuer's metadata or keys.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// What to trust on the way to the issuer.
#[derive(Debug, Clone, Args)]
pub(super) struct Reach {
    /// PEM file with the only certificates to trust, instead of the system's
    #[arg(long, env = "DOORWARD_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Reach {
    /// The provider called `issuer`; nothing is asked yet.
    pub(super) fn provider(&self, issuer: Issuer) -> Result<Provider, HttpSetupError> {
        let http = Arc::new(ReqwestHttp::new(self.options())?);
        Ok(Provider::new(issuer, http).with_policy(ProviderPolicy::default().with_wait(PATIENCE)))
    }

    fn options(&self) -> HttpOptions {
        let options = HttpOptions::default();
        match &self.ca_file {
            Some(file) => options.with_ca_file(file),
            None => options,
        }
    }
}
