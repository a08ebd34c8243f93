//! `token --file FILE --watch`: replaces the token in the file before it expires.
//!
//! While the issuer does not answer, the file keeps its last token. The command fails only if there was no first token.

use std::io::Write as _;
use std::time::Duration;

use m2m::private_file::PrivateFile;
use m2m::{AccessToken, TokenSource};
use oidc_core::{Clock, SystemClock};

use crate::error::{CommandError, with_causes};
use crate::outcome::Outcome;
use crate::program::Program;
use crate::signals::Signals;
use crate::terminal::moment;

/// A token is replaced when less than this is left, or less than 40 % of its life. Sources refresh a little earlier.
const MARGIN: Duration = Duration::from_secs(24);
const SHARE: f64 = 0.4;
/// Interval at which a token of unknown life is checked.
const UNSTATED: Duration = Duration::from_secs(30);
/// Shortest and longest pause while the source still has the same token.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// First and longest pause after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Runs until SIGTERM or SIGINT. Fails if there is no first token, or the file cannot be written then.
pub(super) async fn keep_fresh(
    program: &Program,
    signals: &mut Signals,
    tokens: &dyn TokenSource,
    file: PrivateFile,
) -> Result<Outcome, CommandError> {
    let log = |text: &str| log(program, text);
    let mut held = signals.finish(tokens.token()).await??;
    file.replace(held.secret())?;
    log(&format!("{} holds a token {}", file.path().display(), until(&held)));
    let mut failures = 0;
    let mut wait = before_replacement(&held);
    loop {
        tokio::select! {
            _ = signals.next() => return Ok(Outcome::Fine),
            () = tokio::time::sleep(wait) => {}
        }
        let Ok(renewed) = signals.finish(renewed(tokens, &held, &file)).await else {
            return Ok(Outcome::Fine);
        };
        match renewed {
            Ok(Some(next)) => {
                log(&format!("{} was replaced: a token {}", file.path().display(), until(&next)));
                held = next;
                failures = 0;
                wait = before_replacement(&held);
            }
            Ok(None) => wait = while_awaited(&held),
            Err(error) => {
                failures += 1;
                wait = backoff(failures);
                log(&format!(
                    "{} could not be replaced; next attempt in {} s: {}",
                    file.path().display(),
                    wait.as_secs(),
                    with_causes(&error)
                ));
            }
        }
    }
}

/// Writes the next token; `None` while the source still has the same one.
async fn renewed(
    tokens: &dyn TokenSource,
    held: &AccessToken,
    file: &PrivateFile,
) -> Result<Option<AccessToken>, CommandError> {
    let next = tokens.token().await?;
    if next == *held {
        return Ok(None);
    }
    file.replace(next.secret())?;
    Ok(Some(next))
}

fn before_replacement(token: &AccessToken) -> Duration {
    let Some(left) = left(token) else { return UNSTATED };
    left.saturating_sub(MARGIN.min(left.mul_f64(SHARE)))
}

fn while_awaited(token: &AccessToken) -> Duration {
    let (shortest, longest) = PAUSE;
    left(token).map_or(UNSTATED, |left| (left / 8).clamp(shortest, longest))
}

fn backoff(failures: u32) -> Duration {
    let (first, longest) = BACKOFF;
    first.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(longest)
}

fn left(token: &AccessToken) -> Option<Duration> {
    let now = SystemClock.now();
    token.expires_at().map(|at| at.duration_since(now).unwrap_or_default())
}

fn until(token: &AccessToken) -> String {
    match token.expires_at() {
        Some(at) => format!("until {}", moment(at, SystemClock.now())),
        None => "with unknown expiry".to_owned(),
    }
}

/// Logs a line, never the token. A closed standard error cannot be reported.
fn log(program: &Program, text: &str) {
    let now = humantime::format_rfc3339_seconds(SystemClock.now());
    let _ = writeln!(std::io::stderr(), "{now} {} token: {text}", program.short_name());
}
