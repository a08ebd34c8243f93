//! The program: arguments to command, and its exit code.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use cli_auth::with_causes;
use doorward::{
    commands::{
        self, Outcome, check, demo, doctor, explain, healthcheck, key, migrate, presets, schema,
        serve,
    },
    listen::Inherited,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Identity gateway for data platforms: one sign-on for every service, tokens checked, decisions explained.
#[derive(Debug, Parser)]
#[command(name = "doorward", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT, then let requests under way end
    Serve {
        /// The configuration
        #[arg(long, short, value_name = "FILE", default_value = "doorward.yaml")]
        config: PathBuf,
        /// Take the sockets of the running gateway, and have it end without refusing a connection
        #[arg(long)]
        take_over: bool,
    },
    /// Run everything in one process, on loopback: an identity provider, two services, the gateway before them
    Demo(demo::Demo),
    /// Read the configuration and name every problem, with its line and the remedy
    Check {
        /// The configuration
        #[arg(long, short, value_name = "FILE", default_value = "doorward.yaml")]
        config: PathBuf,
        /// Also talk to the issuers and upstreams
        #[arg(long)]
        online: bool,
    },
    /// Check the settings of Keycloak against the configuration, and name what to change there (exit 1 with findings)
    Doctor(doctor::Doctor),
    /// Tell step by step what the gateway would decide about a request (exit 0 allowed, 3 refused, 4 sign-in needed)
    Explain(explain::Explain),
    #[command(flatten)]
    Auth(cli_auth::Command),
    /// Make, list and revoke API keys of the running gateway
    Key(key::Key),
    /// Print the configuration of another gateway as a doorward.yaml, with remarks about what differs
    Migrate(migrate::Migrate),
    /// List the presets of applications, or print what one of them sets
    Presets(presets::Presets),
    /// Print the JSON Schema of the configuration
    Schema,
    /// Ask a health URL, for container health checks
    Healthcheck {
        /// Such as http://127.0.0.1:9090/healthz
        #[arg(long)]
        url: url::Url,
    },
    /// Print a completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            // A reader that closed standard output, such as `head`, needs no error; with standard error closed, the error
            // cannot be reported.
            if !commands::is_unheard(&error) {
                let _ = writeln!(std::io::stderr(), "doorward: {}", with_causes(error.as_ref()));
            }
            Outcome::Failure.into()
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    let outcome = match command {
        Command::Serve { config, take_over } => {
            // Before the runtime, whose threads may read the environment.
            let inherited = Inherited::from_environment()?;
            runtime()?.block_on(serve::serve(&config, inherited, take_over))?
        }
        Command::Demo(demo) => runtime()?.block_on(demo.run())?,
        Command::Check { config, online } => {
            if online {
                runtime()?.block_on(check::online(&config, &mut out))?
            } else if check::check(&config, &mut out)? {
                Outcome::Fine
            } else {
                Outcome::Failure
            }
        }
        Command::Doctor(doctor) => runtime()?.block_on(doctor.run(&mut out))?,
        Command::Explain(explain) => explain.run(&mut out)?,
        Command::Auth(command) => {
            let program = cli_auth::Program::new("doorward");
            return Ok(runtime()?.block_on(command.run(&program, &mut out)).into());
        }
        Command::Key(key) => runtime()?.block_on(key.run(&mut out))?,
        Command::Migrate(migrate) => migrate.run(&mut out)?,
        Command::Presets(presets) => presets.run(&mut out)?,
        Command::Schema => {
            writeln!(out, "{}", schema::schema())?;
            Outcome::Fine
        }
        Command::Healthcheck { url } => runtime()?.block_on(healthcheck::healthcheck(&url))?,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "doorward", &mut out);
            Outcome::Fine
        }
    };
    Ok(outcome.into())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
