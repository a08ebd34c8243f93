//! `doorward verify`: is this token good, and what does it say? If not, which check failed and what to do.
//!
//! The very checks of the gateway and of services that use the library. The token itself is never printed.

#[path = "../../proxy/src/commands/verify/claims.rs"]
mod claims;
#[path = "../../proxy/src/commands/verify/remedy.rs"]
mod remedy;
#[path = "../../proxy/src/commands/verify/report.rs"]
mod report;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use oidc_core::{
    Clock, Issuer, KeyPolicy, Profile, RemoteKeys, Secret, SystemClock, Validation, Verifier,
};

use super::Outcome;
use super::credential::Credential;
use super::reach::{PATIENCE, Reach};
use super::terminal::Paint;
use report::{Report, Verdict};

/// More than any token that is looked at.
const LONGEST_INPUT: u64 = 64 * 1024;

/// The question.
#[derive(Debug, Args)]
pub struct Verify {
    /// The issuer, as its tokens have it in `iss`
    #[arg(long, env = "DOORWARD_ISSUER", value_name = "URL")]
    issuer: Issuer,
    /// Whom the token must be for; several are alternatives
    #[arg(long, env = "DOORWARD_AUDIENCE", value_name = "NAME", required = true)]
    audience: Vec<String>,
    /// How an access token shows that it is one
    #[arg(long, value_enum, default_value_t = Form::Keycloak)]
    profile: Form,
    /// How far clocks may differ, at most 5m
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    leeway: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Input {
    /// The token; `-` reads it from standard input, which keeps it out of the list of processes
    token: Option<Secret>,
    /// A file with the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The names of [`Profile`].
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// As Keycloak writes access tokens: `typ: Bearer` among the claims, or as RFC 9068
    Keycloak,
    /// RFC 9068: header `typ` is `at+jwt`
    Rfc9068,
}

impl From<Form> for Profile {
    fn from(form: Form) -> Self {
        match form {
            Form::Keycloak => Self::Keycloak,
            Form::Rfc9068 => Self::Rfc9068,
        }
    }
}

impl Verify {
    /// Prints the verdict: fine when the token is good.
    ///
    /// # Errors
    ///
    /// A token that cannot be read from its file, TLS that cannot be set up.
    pub async fn run(self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let token = self.input.read()?;
        let verifier = self.verifier()?;
        let verdict = match verifier.access_token(token.expose()).await {
            Ok(verified) => Verdict::Good(verified),
            Err(refusal) => Verdict::Refused(refusal),
        };
        let outcome = match &verdict {
            Verdict::Good(_) => Outcome::Fine,
            Verdict::Refused(_) => Outcome::Failure,
        };
        let report = Report::new(verdict, &token, verifier.validation(), SystemClock.now());
        if self.json {
            writeln!(out, "{:#}", report.as_json())?;
        } else {
            report.print(out, Paint::for_output())?;
        }
        Ok(outcome)
    }

    fn verifier(&self) -> anyhow::Result<Verifier> {
        let mut names = self.audience.iter();
        let first = names.next().context("--audience says nobody: whom is the token for?")?;
        let mut validation = Validation::new(self.issuer.clone(), first)
            .with_profile(self.profile.into())
            .with_leeway(self.leeway);
        for name in names {
            validation = validation.with_audience(name);
        }
        let keys =
            RemoteKeys::new(self.reach.provider(self.issuer.clone(), &Credential::default())?)
                .with_policy(KeyPolicy::default().with_wait(PATIENCE));
        Ok(Verifier::new(validation, Arc::new(keys)))
    }
}

impl Input {
    /// The token without white space around it and without `Bearer`, which is easily copied along.
    fn read(&self) -> anyhow::Result<Secret> {
        let text = match (&self.token, &self.token_file) {
            (Some(token), _) if token.expose() != "-" => token.clone(),
            (_, Some(file)) => {
                let named = || format!("--token-file {}", file.display());
                read(std::fs::File::open(file).with_context(named)?).with_context(named)?
            }
            _ => read(std::io::stdin().lock()).context("standard input")?,
        };
        let token = text.expose().trim();
        let token = match token.get(..7) {
            Some(scheme) if scheme.eq_ignore_ascii_case("bearer ") => {
                token.get(7..).unwrap_or_default().trim()
            }
            _ => token,
        };
        if token.is_empty() {
            bail!(
                "there is no token: give it as an argument, with --token-file, or as `-` on standard input"
            );
        }
        Ok(Secret::from(token))
    }
}

fn read(source: impl Read) -> anyhow::Result<Secret> {
    let mut text = String::new();
    let read = source.take(LONGEST_INPUT + 1).read_to_string(&mut text);
    let text = Secret::from(text);
    if read.context("cannot be read as text")? as u64 > LONGEST_INPUT {
        bail!("is larger than {LONGEST_INPUT} bytes: is this a token?");
    }
    Ok(text)
}
