//! How the commands reach an issuer: one HTTP client, the trust it starts from, and how long they wait.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use m2m::Person;
use oidc_core::http::reqwest::{HttpOptions, HttpSetupError, ReqwestHttp};
use oidc_core::{Issuer, Provider, ProviderPolicy};

use super::credential::{Credential, absolute};

/// How long a command waits for the issuer's metadata or keys.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

const CA_FILE: &str = "ca_file";

/// What to trust on the way to the issuer.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub(super) struct Reach {
    /// PEM file with the only certificates to trust, instead of the system's
    #[arg(long, env = "DOORWARD_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Reach {
    /// The provider called `issuer`, reached with the client's certificate if it has one; nothing is asked yet.
    pub(super) fn provider(
        &self,
        issuer: Issuer,
        credential: &Credential,
    ) -> Result<Provider, HttpSetupError> {
        let options = HttpOptions::default();
        let options = match &self.ca_file {
            Some(file) => options.with_ca_file(file),
            None => options,
        };
        let http = Arc::new(ReqwestHttp::new(credential.with_certificate(options))?);
        Ok(Provider::new(issuer, http).with_policy(ProviderPolicy::default().with_wait(PATIENCE)))
    }

    /// Remembers what belongs to a login.
    pub(super) fn remember(&self, person: Person) -> Person {
        match &self.ca_file {
            Some(file) => person.with_setting(CA_FILE, absolute(file)),
            None => person,
        }
    }

    /// What a login was made with, unless said otherwise now.
    pub(super) fn or_remembered(&self, settings: &BTreeMap<String, String>) -> Self {
        let remembered = || settings.get(CA_FILE).map(PathBuf::from);
        Self { ca_file: self.ca_file.clone().or_else(remembered) }
    }
}
