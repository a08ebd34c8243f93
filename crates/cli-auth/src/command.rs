//! The commands as a user types them: parsing, running, and reporting errors.

use std::ffi::OsString;
use std::io::Write;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::error::{CommandError, with_causes};
use crate::login::Login;
use crate::logout::Logout;
use crate::outcome::Outcome;
use crate::program::Program;
use crate::token::Token;
use crate::verify::Verify;

/// The commands. A program that has others too includes these in its own with `#[command(flatten)]`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sign in on this machine and keep the login for the command `token`
    Login(Login),
    /// Print a fresh access token: the user's after `login`, or a client's own by its credential (exit code 4: sign in first)
    Token(Token),
    /// End a login: the issuer revokes its tokens, and this machine removes them
    Logout(Logout),
    /// Verify a token and print its content, or the failed check and its remedy (exit code 0 valid, 1 not)
    Verify(Verify),
}

/// OpenID Connect at a terminal and in scripts.
#[derive(Debug, Parser)]
#[command(arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

impl Command {
    /// Reads the arguments of a program that has these commands only; `arguments` are those after its name.
    ///
    /// # Errors
    ///
    /// The outcome to exit with, once help, the version or what is wrong with the arguments has been printed.
    pub fn parse(
        program: &Program,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, Outcome> {
        let mut parser = Arguments::command()
            .no_binary_name(true)
            .bin_name(program.name())
            .display_name(program.short_name());
        if let Some(version) = program.version() {
            parser = parser.version(version);
        }
        let parsed = parser
            .try_get_matches_from_mut(arguments)
            .and_then(|matches| Arguments::from_arg_matches(&matches));
        parsed.map(|arguments| arguments.command).map_err(|error| {
            // A closed output cannot be reported.
            let _ = error.print();
            if error.use_stderr() { Outcome::WrongUsage } else { Outcome::Fine }
        })
    }

    /// Runs the command in a Tokio runtime whose I/O, time and signals are enabled. The result goes to `out`, which is the
    /// process's standard output unless a test says otherwise; errors, warnings and progress go to the process's standard
    /// error.
    ///
    /// Receives SIGINT and SIGTERM while a refresh token is being used, and for `token --watch`. Otherwise their effect is
    /// that of the process. `token --exec` replaces the process.
    pub async fn run(self, program: &Program, out: &mut (dyn Write + Send)) -> Outcome {
        match self.dispatch(program, out).await {
            Ok(outcome) => outcome,
            Err(error) => {
                if error.is_reported() {
                    // A closed standard error cannot be reported.
                    let name = program.short_name();
                    let _ = writeln!(std::io::stderr(), "{name}: {}", with_causes(&error));
                }
                error.outcome()
            }
        }
    }

    async fn dispatch(
        self,
        program: &Program,
        out: &mut (dyn Write + Send),
    ) -> Result<Outcome, CommandError> {
        let outcome = match self {
            Self::Login(login) => login.run(program, out).await?,
            Self::Token(token) => token.run(program, out).await?,
            Self::Logout(logout) => logout.run(program, out).await?,
            Self::Verify(verify) => verify.run(program, out).await?,
        };
        out.flush()?;
        Ok(outcome)
    }
}
