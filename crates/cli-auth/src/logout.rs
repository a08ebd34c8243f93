//! `doorward logout`: has the issuer take the tokens back (RFC 7009) and forgets them, whatever it answers.

use std::io::Write;

use clap::Args;
use m2m::LoginFacts;

use super::Outcome;
use super::logins::{self, Which};
use super::reach::Reach;
use super::terminal::shown;

/// Which login ends.
#[derive(Debug, Args)]
pub struct Logout {
    #[command(flatten)]
    which: Which,
    /// End all logins on this machine, whatever is named
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Logout {
    /// Ends the logins and says so; fine when nothing is left on either side.
    ///
    /// # Errors
    ///
    /// `LoginNeeded` when there is no such login, a file that cannot be removed.
    pub async fn run(self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let kept = logins::kept()?;
        let ending = if self.all { kept.all()? } else { self.chosen(&kept)? };
        if ending.is_empty() {
            writeln!(out, "Nobody is signed in.")?;
        }
        let mut outcome = Outcome::Fine;
        for facts in ending {
            let who = shown(facts.person.name.as_deref().unwrap_or(&facts.person.subject));
            let (issuer, client) = (&facts.issuer, &facts.client_id);
            let ended = logins::open(&kept, &facts, &self.reach)?.end().await?;
            match ended.revoked {
                Ok(()) => writeln!(out, "Signed out {who} at {issuer} (client {client}).")?,
                Err(error) => {
                    outcome = Outcome::Failure;
                    writeln!(
                        out,
                        "Forgot the login of {who} at {issuer} (client {client}), but the issuer did not take the \
                         tokens back: {error}. They end by themselves; to end them now, sign out on the issuer's \
                         account page."
                    )?;
                }
            }
        }
        Ok(outcome)
    }

    fn chosen(&self, kept: &m2m::KeptLogins) -> anyhow::Result<Vec<LoginFacts>> {
        let all = kept.all()?;
        let named = self.which.issuer.is_some() || self.which.client_id.is_some();
        if all.is_empty() && !named {
            return Ok(Vec::new());
        }
        Ok(vec![self.which.choose(kept)?])
    }
}
