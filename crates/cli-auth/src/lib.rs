//! The commands `login`, `token`, `logout` and `verify` as a library, for programs that users call at a terminal and in
//! scripts.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use cli_auth::{Command, Program};
//!
//! #[tokio::main]
//! async fn main() -> ExitCode {
//!     let program = Program::new("example");
//!     match Command::parse(&program, std::env::args_os().skip(1)) {
//!         Ok(command) => command.run(&program, &mut std::io::stdout()).await.into(),
//!         Err(outcome) => outcome.into(),
//!     }
//! }
//! ```
//!
//! | module | content |
//! |---|---|
//! | [`Command`], [`Program`], [`Outcome`] | parsing and running; the program's name; exit codes |
//! | [`Login`], [`Token`], [`Logout`], [`Verify`] | the commands' arguments |
//! | [`kept_login`] | [`KeptLogin`]: a person's login that outlives the program, refreshed by one process at a time |
//! | [`browser`] | opens a page in the user's browser |

#![warn(clippy::missing_errors_doc)]

pub mod browser;
mod command;
mod credential;
mod environment;
mod error;
mod issuer_connection;
pub mod kept_login;
mod login;
mod login_choice;
mod logout;
mod outcome;
mod program;
mod signals;
mod terminal;
mod token;
mod verify;
mod warnings;

pub use command::Command;
pub use error::with_causes;
pub use kept_login::{EndedLogin, KeptLogin, KeptLoginError, KeptLogins, LoginFacts, Person};
pub use login::Login;
pub use logout::Logout;
pub use outcome::Outcome;
pub use program::Program;
pub use terminal::shown;
pub use token::Token;
pub use verify::Verify;

/// The examples of the front page.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;
