//! Keeps a file fresh: its token is replaced before it ends, whole and for this user's eyes only.
//!
//! While the issuer is down the file keeps its last token. Only who never had one gives up.

use std::io::Write as _;
use std::time::Duration;

use m2m::private_file::PrivateFile;
use m2m::{AccessToken, TokenSource};
use oidc_core::{Clock, SystemClock};

use crate::commands::patience::Signals;
use crate::commands::terminal::moment;
use crate::commands::{Outcome, in_words};

/// A token is replaced when less than this is left, or less than 40 % of its life. Sources refresh a little earlier.
const MARGIN: Duration = Duration::from_secs(24);
const SHARE: f64 = 0.4;
/// How often a token of unknown life is looked at.
const UNSTATED: Duration = Duration::from_secs(30);
/// The shortest and the longest pause while a replacement is awaited.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// After a failure: the first and the longest pause.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
///
/// When there is no token to begin with, or the file cannot be written then.
pub(super) async fn keep_fresh(
    tokens: &dyn TokenSource,
    file: PrivateFile,
) -> anyhow::Result<Outcome> {
    let mut signals = Signals::listen()?;
    let mut held = tokens.token().await?;
    file.replace(held.secret())?;
    say(&format!("{} holds a token {}", file.path().display(), until(&held)));
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
                say(&format!("{} was replaced: a token {}", file.path().display(), until(&next)));
                held = next;
                failures = 0;
                wait = before_replacement(&held);
            }
            Ok(None) => wait = while_awaited(&held),
            Err(error) => {
                failures += 1;
                wait = backoff(failures);
                say(&format!(
                    "{} could not be replaced, and is tried again in {} s: {}",
                    file.path().display(),
                    wait.as_secs(),
                    in_words(error.as_ref())
                ));
            }
        }
    }
}

/// The next token, once it is written; `None` while it is the same still.
async fn renewed(
    tokens: &dyn TokenSource,
    held: &AccessToken,
    file: &PrivateFile,
) -> anyhow::Result<Option<AccessToken>> {
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
        None => "whose end the issuer does not tell".to_owned(),
    }
}

/// A line about what happened, never the token. A closed standard error leaves nobody to tell.
fn say(text: &str) {
    let now = humantime::format_rfc3339_seconds(SystemClock.now());
    let _ = writeln!(std::io::stderr(), "{now} doorward token: {text}");
}
