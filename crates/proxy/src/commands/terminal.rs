//! What a terminal shows: colours where there is one, times a person can read, foreign text without its tricks.

use std::fmt::{self, Display, Write as _};
use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use clap::builder::styling::{AnsiColor, Style};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::environment::variable;

/// Whether and how to colour. Off unless the output is a terminal, `NO_COLOR` is unset (<https://no-color.org>) and the
/// terminal is not `dumb`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    on: bool,
}

impl Paint {
    /// For what goes to standard output.
    pub(super) fn for_output() -> Self {
        Self::when(std::io::stdout().is_terminal())
    }

    /// For what goes to standard error.
    pub(super) fn for_errors() -> Self {
        Self::when(std::io::stderr().is_terminal())
    }

    fn when(terminal: bool) -> Self {
        let dumb = variable("TERM").is_some_and(|term| term == "dumb");
        Self { on: terminal && !dumb && variable("NO_COLOR").is_none() }
    }

    /// What went well.
    pub(super) fn good<T: Display>(self, text: T) -> Painted<T> {
        self.paint(Style::new().bold().fg_color(Some(AnsiColor::Green.into())), text)
    }

    /// What did not.
    pub(super) fn bad<T: Display>(self, text: T) -> Painted<T> {
        self.paint(Style::new().bold().fg_color(Some(AnsiColor::Red.into())), text)
    }

    /// What a line is about.
    pub(super) fn label<T: Display>(self, text: T) -> Painted<T> {
        self.paint(Style::new().dimmed(), text)
    }

    /// What a person has to type or open.
    pub(super) fn strong<T: Display>(self, text: T) -> Painted<T> {
        self.paint(Style::new().bold(), text)
    }

    fn paint<T>(self, style: Style, text: T) -> Painted<T> {
        Painted { style: if self.on { style } else { Style::new() }, text }
    }
}

/// Text in a style; width and alignment are those of the text.
#[derive(Debug)]
pub(super) struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.style)?;
        self.text.fmt(f)?;
        write!(f, "{:#}", self.style)
    }
}

/// Which warnings of the libraries a person is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Warnings {
    /// Those of a command that goes on all the same: a login that could not be refreshed, a folder that cannot be shared. What
    /// makes it fail is said once, at its end.
    OfWhatGoesOn,
    /// All, for a command that goes on whatever happens.
    All,
}

/// Shows warnings on standard error, a line each. They never tell secrets.
pub(super) fn show(warnings: Warnings) {
    let from: &[&str] = match warnings {
        Warnings::OfWhatGoesOn => &["doorward", "m2m::kept_login", "m2m::cache::file"],
        Warnings::All => &["doorward", "m2m", "oidc_core"],
    };
    let shown = Targets::new().with_targets(from.iter().map(|name| (*name, LevelFilter::WARN)));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(Paint::for_errors().on)
        .with_target(false)
        .without_time();
    // An error means that the process has a log already: then they go there.
    let _ = tracing_subscriber::registry().with(lines.with_filter(shown)).try_init();
}

/// Foreign text as a terminal may show it: control characters and those that turn the direction of writing are escaped, so that
/// a claim can neither move the cursor nor pretend to be another line.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns || character == '\u{2028}' || character == '\u{2029}' {
            // Writing to a string does not fail.
            let _ = write!(shown, "{}", character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A moment in UTC, and how far it is: `2026-11-21T08:30:00Z (in 4m 12s)`.
pub(super) fn moment(time: SystemTime, now: SystemTime) -> String {
    let distance = match time.duration_since(now) {
        Ok(ahead) if ahead.as_secs() == 0 => "now".to_owned(),
        Ok(ahead) => format!("in {}", span(ahead)),
        Err(past) => format!("{} ago", span(past.duration())),
    };
    format!("{} ({distance})", humantime::format_rfc3339_seconds(time))
}

/// A span of time with the two units that matter: `4m 12s`, `11h 59m`, `3days 2h`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let unit = match seconds {
        0..3600 => 1,
        3600..86_400 => 60,
        _ => 3600,
    };
    humantime::format_duration(Duration::from_secs(seconds - seconds % unit)).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{moment, shown, span};

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\nc\u{9b}d"), "a\\u{1b}[2Jb\\u{a}c\\u{9b}d");
        assert_eq!(shown("user\u{202e}nimda"), "user\\u{202e}nimda");
        assert_eq!(shown("Ève Müller – 日本"), "Ève Müller – 日本");
    }

    #[test]
    fn a_moment_says_how_far_it_is() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert_eq!(moment(now + Duration::from_secs(252), now), "2027-01-15T08:04:12Z (in 4m 12s)");
        assert_eq!(moment(now - Duration::from_secs(5), now), "2027-01-15T07:59:55Z (5s ago)");
        assert_eq!(moment(now, now), "2027-01-15T08:00:00Z (now)");
        assert_eq!(span(Duration::from_secs(43_199)), "11h 59m");
    }
}
