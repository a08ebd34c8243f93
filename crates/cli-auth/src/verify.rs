//! `verify`: verifies a token and prints its content, or the failed check and its remedy.
//!
//! The checks are those of the gateway and of services that use `oidc-core`. The token itself is never printed.

mod claims;
mod remedy;
mod report;

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use oidc_core::verify::Profile;
use oidc_core::{Clock, Issuer, Secret, SystemClock, Validation, Verifier};

use crate::credential::Credential;
use crate::error::CommandError;
use crate::issuer_connection::IssuerConnection;
use crate::outcome::Outcome;
use crate::program::Program;
use crate::terminal::Paint;
use report::{Report, Verdict};

/// Largest input, in bytes; larger than any token that is accepted.
const LONGEST_INPUT: u64 = 64 * 1024;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Issuer URL, exactly as in the `iss` of its tokens
    #[arg(long, env = "DOORWARD_ISSUER", value_name = "URL")]
    issuer: Issuer,
    /// Audience that the token must have; repeat it for alternatives
    #[arg(long, env = "DOORWARD_AUDIENCE", value_name = "NAME", required = true)]
    audience: Vec<String>,
    /// Form of access tokens
    #[arg(long, value_enum, default_value_t = Form::Keycloak)]
    profile: Form,
    /// Tolerated difference of clocks, at most 5m
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, value_name = "TIME")]
    leeway: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: IssuerConnection,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Input {
    /// The token; `-` reads it from standard input, so that no list of processes shows it
    token: Option<Secret>,
    /// File with the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Forms of access tokens, by their names on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// Keycloak: `typ: Bearer` among the claims, or RFC 9068
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
    /// Verifies the token and prints the result. The outcome is a failure if the token is not valid.
    pub(crate) async fn run(
        self,
        program: &Program,
        out: &mut (dyn Write + Send),
    ) -> Result<Outcome, CommandError> {
        let verifier = self.verifier(program)?;
        // On a thread of its own: standard input may be a terminal, and the runtime must not wait for its user.
        let input = self.input;
        let token = tokio::task::spawn_blocking(move || input.read()).await;
        let token = token.map_err(|error| CommandError::Input {
            place: "the token".to_owned(),
            source: io::Error::other(error),
        })??;
        let verdict = match verifier.access_token(token.expose()).await {
            Ok(verified) => Verdict::Valid(verified),
            Err(refusal) => Verdict::Refused(refusal),
        };
        let outcome = match &verdict {
            Verdict::Valid(_) => Outcome::Fine,
            Verdict::Refused(_) => Outcome::Failure,
        };
        let now = SystemClock.now();
        let report = Report::new(program, verdict, &token, verifier.validation(), now);
        if self.json {
            writeln!(out, "{:#}", report.as_json())?;
        } else {
            report.print(out, Paint::for_output())?;
        }
        Ok(outcome)
    }

    fn verifier(&self, program: &Program) -> Result<Verifier, CommandError> {
        let Some((first, others)) = self.audience.split_first() else {
            return Err(CommandError::WrongUsage("missing audience; give --audience NAME"));
        };
        let validation = Validation::new(self.issuer.clone(), first)
            .with_profile(self.profile.into())
            .with_leeway(self.leeway);
        let validation = others.iter().fold(validation, Validation::with_audience);
        let credential = Credential::default();
        let provider = self.connection.provider(program, self.issuer.clone(), &credential)?;
        Ok(Verifier::new(validation, Arc::new(IssuerConnection::keys(provider))))
    }
}

impl Input {
    /// Reads the token, without white space around it and without `Bearer`, which is easily copied along.
    fn read(&self) -> Result<Secret, CommandError> {
        let text = match (&self.token, &self.token_file) {
            (Some(token), _) if token.expose() != "-" => token.clone(),
            (_, Some(file)) => {
                let place = format!("--token-file {}", file.display());
                match std::fs::File::open(file) {
                    Ok(open) => text_of(open, place)?,
                    Err(source) => return Err(CommandError::Input { place, source }),
                }
            }
            _ => text_of(io::stdin().lock(), "standard input".to_owned())?,
        };
        let token = text.expose().trim();
        let token = match token.get(..7) {
            Some(scheme) if scheme.eq_ignore_ascii_case("bearer ") => {
                token.get(7..).unwrap_or_default().trim()
            }
            _ => token,
        };
        if token.is_empty() {
            let remedy = "give it as an argument, with --token-file, or as `-` on standard input";
            return Err(CommandError::NoToken(format!("missing token; {remedy}")));
        }
        Ok(Secret::from(token))
    }
}

fn text_of(source: impl Read, place: String) -> Result<Secret, CommandError> {
    let mut text = String::new();
    let read = source.take(LONGEST_INPUT + 1).read_to_string(&mut text);
    let text = Secret::from(text);
    match read {
        Ok(length) if length as u64 > LONGEST_INPUT => {
            let reason = format!("invalid token: {place} has more than {LONGEST_INPUT} bytes");
            Err(CommandError::NoToken(format!("{reason}; give one access token")))
        }
        Ok(_) => Ok(text),
        Err(source) => Err(CommandError::Input { place, source }),
    }
}
