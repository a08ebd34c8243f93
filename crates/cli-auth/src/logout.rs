//! `logout`: asks the issuer to revoke the tokens of a login (RFC 7009) and removes them from this machine, even if the issuer does
//! not answer.

use std::io::Write;

use clap::Args;

use crate::error::CommandError;
use crate::issuer_connection::IssuerConnection;
use crate::kept_login::{KeptLogins, LoginFacts};
use crate::login_choice::{self, LoginChoice};
use crate::outcome::Outcome;
use crate::program::Program;
use crate::terminal::shown;

/// Arguments of `logout`.
#[derive(Debug, Args)]
pub struct Logout {
    #[command(flatten)]
    choice: LoginChoice,
    /// End all logins on this machine, whatever else is given
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    connection: IssuerConnection,
}

impl Logout {
    /// Ends the logins and prints each. The outcome is a failure if the issuer did not revoke the tokens.
    pub(crate) async fn run(
        self,
        program: &Program,
        out: &mut (dyn Write + Send),
    ) -> Result<Outcome, CommandError> {
        let kept = login_choice::kept_logins()?;
        let ending = if self.all { kept.all()? } else { self.chosen(program, &kept)? };
        if ending.is_empty() {
            writeln!(out, "No login is kept on this machine.")?;
        }
        let mut outcome = Outcome::Fine;
        for facts in ending {
            let user = shown(facts.person.display_name());
            let (issuer, client) = (&facts.issuer, &facts.client_id);
            let login = login_choice::open(program, &kept, &facts, &self.connection)?;
            match login.end().await?.revoked {
                Ok(()) => writeln!(out, "Signed out {user} at {issuer} (client {client}).")?,
                Err(error) => {
                    outcome = Outcome::Failure;
                    writeln!(
                        out,
                        "Removed the login of {user} at {issuer} (client {client}), but the issuer did not revoke the \
                         tokens: {error}. They expire by themselves; to end them now, sign out on the issuer's account \
                         page."
                    )?;
                }
            }
        }
        Ok(outcome)
    }

    fn chosen(
        &self,
        program: &Program,
        kept: &KeptLogins,
    ) -> Result<Vec<LoginFacts>, CommandError> {
        if !self.choice.is_given() && kept.all()?.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![self.choice.choose(program, kept)?])
    }
}
