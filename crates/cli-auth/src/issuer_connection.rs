//! Connection of a command to the issuer: the HTTP client, the certificates it trusts, and how long it waits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use oidc_core::Issuer;
use oidc_core::http::reqwest::{HttpOptions, HttpSetupError, ReqwestHttp};
use oidc_core::keys::{KeyPolicy, RemoteKeys};
use oidc_core::provider::{Provider, ProviderPolicy};

use crate::credential::{Credential, absolute};
use crate::kept_login::Person;
use crate::program::Program;

/// Longest wait for the issuer's metadata or keys.
const WAIT: Duration = Duration::from_secs(15);

/// Name of the setting that a login remembers.
const CA_FILE: &str = "ca_file";

/// Flags for the connection.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub(crate) struct IssuerConnection {
    /// PEM file of the certificates to trust, instead of the system's
    #[arg(long, env = "DOORWARD_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl IssuerConnection {
    /// The provider of this issuer, reached with the client's certificate if it has one. Opens no connection.
    pub(crate) fn provider(
        &self,
        program: &Program,
        issuer: Issuer,
        credential: &Credential,
    ) -> Result<Provider, HttpSetupError> {
        let mut options = HttpOptions::default();
        if let Some(file) = self.ca_file.clone().or_else(|| program.ca_file()) {
            options = options.with_ca_file(file);
        }
        let http = Arc::new(ReqwestHttp::new(credential.with_certificate(options))?);
        Ok(Provider::new(issuer, http).with_policy(ProviderPolicy::default().with_wait(WAIT)))
    }

    /// The provider's public keys. Opens no connection.
    pub(crate) fn keys(provider: Provider) -> RemoteKeys {
        RemoteKeys::new(provider).with_policy(KeyPolicy::default().with_wait(WAIT))
    }

    /// Keeps the settings with the login.
    pub(crate) fn remember(&self, person: Person) -> Person {
        match &self.ca_file {
            Some(file) => person.with_setting(CA_FILE, absolute(file)),
            None => person,
        }
    }

    /// The given settings, else those the login was made with.
    pub(crate) fn or_remembered(&self, settings: &BTreeMap<String, String>) -> Self {
        let remembered = || settings.get(CA_FILE).map(PathBuf::from);
        Self { ca_file: self.ca_file.clone().or_else(remembered) }
    }
}
