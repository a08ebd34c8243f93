//! `doorward doctor`: checks the settings of an issuer against the configuration, and names what to change there.
//!
//! Facts are read first (`read`), then judged by plain functions (`checks`), then printed (`report`). Nothing is changed at
//! the issuer, and no password is tried that was not given.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{ArgGroup, Args};

use self::finding::Finding;
use self::needs::Needs;
use self::read::{Administrator, AdministratorCredential};
use self::report::Report;
use super::{Outcome, check};
use crate::config::{Config, IssuerConfig, SecretRef};
use oidc_core::Secret;

mod checks;
mod facts;
mod finding;
mod fix;
mod needs;
mod read;
mod report;

pub use checks::CHECKS;
pub use finding::{Check, Reads, Severity};
pub use fix::Form;

/// Checks the settings of Keycloak against the configuration.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("administrator").args(["admin_token_file", "admin_user", "admin_client_secret_file"])))]
pub struct Doctor {
    /// The configuration
    #[arg(long, short, value_name = "FILE", default_value = "doorward.yaml")]
    config: PathBuf,
    /// An issuer by its name in the configuration; without it, all of them
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// A file with an access token of an administrator
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// An administrator who may read realm and clients
    #[arg(long, value_name = "NAME", requires = "admin_password_file")]
    admin_user: Option<String>,
    /// A file with the password of --admin-user
    #[arg(long, value_name = "FILE", requires = "admin_user")]
    admin_password_file: Option<PathBuf>,
    /// The client by which the administrator signs in
    #[arg(long, value_name = "ID", default_value = "admin-cli")]
    admin_client: String,
    /// A file with the secret of --admin-client, which then signs in with its service account
    #[arg(long, value_name = "FILE", requires = "admin_client")]
    admin_client_secret_file: Option<PathBuf>,
    /// The realm of the administrator
    #[arg(long, value_name = "REALM", default_value = "master")]
    admin_realm: String,
    /// Address of the admin API, if it is another than that of the issuer, such as `https://admin.keycloak.example`
    #[arg(long, value_name = "URL")]
    admin_url: Option<String>,
    /// Print the changes as commands of kcadm.sh, or with --fix=terraform as resources; nothing is changed
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "kcadm"
    )]
    fix: Option<Form>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Runs the command.
    ///
    /// # Errors
    ///
    /// `out` cannot be written.
    pub async fn run(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let reports = match self.reports().await {
            Ok(reports) => reports,
            Err(error) => {
                // Standard output is for the findings.
                writeln!(std::io::stderr(), "doorward: {}", cli_auth::with_causes(error.as_ref()))?;
                return Ok(Outcome::Unusable);
            }
        };
        match self.json {
            true => report::json(&reports, out)?,
            false => report::text(&reports, out)?,
        }
        let found = reports.iter().any(|report| !report.findings.is_empty());
        Ok(if found { Outcome::Failure } else { Outcome::Fine })
    }

    async fn reports(&self) -> anyhow::Result<Vec<Report>> {
        let config = configuration(&self.config)?;
        let chosen = self.chosen(&config)?;
        let credential = self.credential()?;
        ensure!(
            credential.is_none() || chosen.len() == 1,
            "an administrator is one of one Keycloak; name the issuer by --issuer"
        );
        let mut reports = Vec::new();
        for (name, issuer) in chosen {
            let needs = Needs::new(name, issuer, &config);
            let mut facts = read::facts(&needs, issuer, &config).await;
            if let Some(credential) = &credential
                && facts.unreachable.is_none()
            {
                ensure!(
                    facts.keycloak,
                    "issuers.{name} is not Keycloak, and has no administrator here"
                );
                let (at, client) =
                    (self.admin_url.as_deref(), (&*self.admin_realm, &*self.admin_client));
                let administrator =
                    Administrator::new(&needs, issuer, at, client, credential).await?;
                facts.default_password = administrator.default_password;
                facts.administration = Some(administrator.read(&needs).await?);
            }
            let findings: Vec<Finding> = checks::judge(&needs, &facts);
            let fix = self.fix.and_then(|form| form.write(&needs, &findings));
            reports.push(Report { needs, facts, findings, fix });
        }
        Ok(reports)
    }

    fn chosen<'a>(
        &self,
        config: &'a Config,
    ) -> anyhow::Result<Vec<(&'a String, &'a IssuerConfig)>> {
        let is_chosen = |name: &String| self.issuer.as_ref().is_none_or(|chosen| chosen == name);
        let chosen: Vec<_> = config.issuers.iter().filter(|(name, _)| is_chosen(name)).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = config.issuers.keys().map(String::as_str).collect();
            match &self.issuer {
                Some(name) => bail!("unknown issuer `{name}`; write one of: {}", names.join(", ")),
                None => bail!("the configuration has no issuer"),
            }
        }
        Ok(chosen)
    }

    fn credential(&self) -> anyhow::Result<Option<AdministratorCredential>> {
        let read = |file: &Path| -> anyhow::Result<Secret> {
            Ok(SecretRef::File(file.to_owned()).read()?)
        };
        Ok(match (&self.admin_token_file, &self.admin_user, &self.admin_client_secret_file) {
            (Some(file), ..) => Some(AdministratorCredential::Token(read(file)?)),
            (_, Some(user), _) => {
                let file = self.admin_password_file.as_deref();
                let file = file.context("--admin-user needs --admin-password-file")?;
                Some(AdministratorCredential::User(user.clone(), read(file)?))
            }
            (.., Some(file)) => Some(AdministratorCredential::Client(read(file)?)),
            (None, None, None) => None,
        })
    }
}

/// Reads the configuration. Its warnings are for `check`.
fn configuration(file: &Path) -> anyhow::Result<Config> {
    let mut problems = Vec::new();
    match check::read(file, &mut problems)? {
        Some(loaded) => Ok(loaded.config),
        None => bail!("{}", String::from_utf8_lossy(&problems).trim_end()),
    }
}
