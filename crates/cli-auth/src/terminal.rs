//! Output for a terminal: colours, times that a person can read, foreign text without control characters.

use std::fmt::{self, Display, Write as _};
use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use clap::builder::styling::{AnsiColor, Style};

use crate::environment::variable;

/// Colours of output. Off unless the output is a terminal, `NO_COLOR` is unset (<https://no-color.org>) and the terminal is not
/// `dumb`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Colours of standard output.
    pub(crate) fn for_output() -> Self {
        Self::when(std::io::stdout().is_terminal())
    }

    /// Colours of standard error.
    pub(crate) fn for_errors() -> Self {
        Self::when(std::io::stderr().is_terminal())
    }

    /// True if there are colours.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    fn when(terminal: bool) -> Self {
        let dumb = variable("TERM").is_some_and(|term| term == "dumb");
        Self { on: terminal && !dumb && variable("NO_COLOR").is_none() }
    }

    /// Style of a success.
    pub(crate) fn good<T: Display>(self, text: T) -> Painted<T> {
        self.paint(Style::new().bold().fg_color(Some(AnsiColor::Green.into())), text)
    }

    /// Style of a failure.
    pub(crate) fn bad<T: Display>(self, text: T) -> Painted<T> {
        self.paint(Style::new().bold().fg_color(Some(AnsiColor::Red.into())), text)
    }

    /// Style of a label.
    pub(crate) fn label<T: Display>(self, text: T) -> Painted<T> {
        self.paint(Style::new().dimmed(), text)
    }

    /// Style of text that the user has to type or open.
    pub(crate) fn strong<T: Display>(self, text: T) -> Painted<T> {
        self.paint(Style::new().bold(), text)
    }

    fn paint<T>(self, style: Style, text: T) -> Painted<T> {
        Painted { style: if self.on { style } else { Style::new() }, text }
    }
}

/// Text in a style; width and alignment are those of the text.
#[derive(Debug)]
pub(crate) struct Painted<T> {
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

/// Escapes control characters, line separators, invisible characters and those that change the direction of writing, so that
/// foreign text can neither move the cursor nor look like other text.
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_format(character) {
            // Writing to a string does not fail.
            let _ = write!(shown, "{}", character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// True for the general categories Cf, Zl and Zp of Unicode, but for the format characters of single scripts, which are visible.
fn is_format(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// A time in UTC and its distance from `now`: `2026-11-21T08:30:00Z (in 4m 12s)`.
pub(crate) fn moment(time: SystemTime, now: SystemTime) -> String {
    let distance = match time.duration_since(now) {
        Ok(ahead) if ahead.as_secs() == 0 => "now".to_owned(),
        Ok(ahead) => format!("in {}", span(ahead)),
        Err(past) => format!("{} ago", span(past.duration())),
    };
    format!("{} ({distance})", humantime::format_rfc3339_seconds(time))
}

/// A duration with its two largest units: `4m 12s`, `11h 59m`, `3days 2h`.
pub(crate) fn span(span: Duration) -> String {
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
    fn foreign_text_cannot_control_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\nc\u{9b}d"), "a\\u{1b}[2Jb\\u{a}c\\u{9b}d");
        assert_eq!(shown("user\u{202e}nimda"), "user\\u{202e}nimda");
        assert_eq!(shown("al\u{200b}ice\u{61c}\u{feff}"), "al\\u{200b}ice\\u{61c}\\u{feff}");
        assert_eq!(shown("Ève Müller – 日本"), "Ève Müller – 日本");
    }

    #[test]
    fn a_moment_shows_its_distance() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert_eq!(moment(now + Duration::from_secs(252), now), "2027-01-15T08:04:12Z (in 4m 12s)");
        assert_eq!(moment(now - Duration::from_secs(5), now), "2027-01-15T07:59:55Z (5s ago)");
        assert_eq!(moment(now, now), "2027-01-15T08:00:00Z (now)");
        assert_eq!(span(Duration::from_secs(43_199)), "11h 59m");
    }
}
