//! `doorward check`: every problem of a configuration in one run, each with its line and the remedy.
//!
//! The output is `FILE:LINE:COLUMN: KEY: PROBLEM`, which editors and CI systems turn into links.

use std::io::{self, Write};
use std::path::Path;

use crate::config::{Config, Loaded, Problem, Problems, RouteConfig, SignIn};
use cli_auth::shown;

mod online;

pub use online::online;
pub(super) use online::registration::{
    Credential, PushedLogin, credential, push_login, redirect_uris,
};

/// Checks a file and prints the findings; `true` if the file can be used.
///
/// # Errors
///
/// `out` cannot be written.
pub fn check(path: &Path, out: &mut dyn Write) -> io::Result<bool> {
    let file = path.display();
    let Some(loaded) = read(path, out)? else { return Ok(false) };
    writeln!(out, "{file} is valid: {}", counts(&loaded.config))?;
    routes(&loaded.config, out)?;
    Ok(true)
}

/// Reads a file and prints its warnings, and its problems with a verdict.
pub(super) fn read(path: &Path, out: &mut dyn Write) -> io::Result<Option<Loaded>> {
    let file = path.display();
    match Config::load(path) {
        Ok(loaded) => {
            warnings(&loaded.warnings, out)?;
            Ok(Some(loaded))
        }
        Err(Problems { problems, warnings: doubts, .. }) => {
            for problem in &problems {
                writeln!(out, "{}:{}", shown(&problem.file), shown(&problem.to_string()))?;
            }
            warnings(&doubts, out)?;
            let problems = counted(problems.len(), "problem");
            let doubts = match doubts.len() {
                0 => String::new(),
                count => format!(" and {}", counted(count, "warning")),
            };
            writeln!(out, "\n{problems}{doubts} in {file}")?;
            Ok(None)
        }
    }
}

fn warnings(warnings: &[Problem], out: &mut dyn Write) -> io::Result<()> {
    for Problem { file, path, line, column, message } in warnings {
        let about = if path.is_empty() { String::new() } else { format!("{path}: ") };
        let (file, warning) = (shown(file), shown(&format!("{about}{message}")));
        writeln!(out, "{file}:{line}:{column}: warning: {warning}")?;
    }
    Ok(())
}

pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn counts(config: &Config) -> String {
    let issuers = counted(config.issuers.len(), "issuer");
    format!("{}, {issuers}", counted(config.routes.len(), "route"))
}

fn routes(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    let width = config.routes.keys().map(String::len).max().unwrap_or_default();
    for (name, route) in &config.routes {
        let from = from(config, route);
        let to = to(route);
        let sign_in = match route.sign_in {
            SignIn::Auto => "browsers are redirected to sign in, programs get 401",
            SignIn::Redirect => "every caller is redirected to sign in",
            SignIn::Challenge => "401 without a token",
        };
        let rules = counted(route.access.len(), "rule");
        writeln!(out, "  {name:width$}  {from} → {to} ({rules}; {sign_in})")?;
    }
    Ok(())
}

fn from(config: &Config, route: &RouteConfig) -> String {
    let path = &route.matches.path;
    match &route.matches.host {
        Some(host) => format!("{host}{path}"),
        None => format!("{}{path}", config.public_url.host_str().unwrap_or_default()),
    }
}

fn to(route: &RouteConfig) -> String {
    if route.upstream.is_empty() {
        return "forward-auth only".to_owned();
    }
    let upstreams: Vec<String> = route.upstream.iter().map(ToString::to_string).collect();
    upstreams.join(", ")
}
