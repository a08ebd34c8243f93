//! Hours of the week in which a rule lets callers through.

use std::{fmt, str::FromStr};

use access_policy::{HoursError, Weekday};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{OneOrMany, at_least_one, written_as_text};

/// Hours of the week in a time zone. `from` counts, `to` does not; hours from an evening to a morning belong to the day on which
/// they begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The days; without it, every day. Example: `[mon-fri]`.
    #[serde(default, with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<Days>")]
    pub days: Vec<Days>,
    /// Dates without hours, such as public holidays. Example: `[2026-12-25]`.
    #[serde(default, with = "at_least_one", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub except: Vec<String>,
    /// From this time of day. Example: `"09:00"`.
    pub from: String,
    /// Until this time of day; `24:00` is midnight at the end. Example: `"18:00"`.
    pub to: String,
    /// In this zone of the IANA database. Example: `Europe/Paris`.
    pub zone: String,
    /// Whether open streams, such as WebSockets, are closed when the hours end. Example: `false`.
    #[serde(default = "closes")]
    pub close: bool,
}

fn closes() -> bool {
    true
}

impl Hours {
    /// The hours as the rules have them.
    ///
    /// # Errors
    ///
    /// The value that cannot be used.
    pub fn read(&self) -> Result<access_policy::Hours, HoursError> {
        let hours = access_policy::Hours::new(&self.from, &self.to, &self.zone)?
            .on(self.days.iter().flat_map(|days| days.each()));
        Ok(hours.except(&self.except)?.closing_streams(self.close))
    }
}

/// A day of the week, or several in a row: `mon`, `mon-fri`, `sat-mon`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    first: usize,
    last: usize,
}

/// Reason a text names no days.
#[derive(Debug, thiserror::Error)]
#[error(
    "invalid day `{text}`; write mon, tue, wed, thu, fri, sat or sun, or several in a row, such as `mon-fri`"
)]
pub struct DaysError {
    /// The text as written.
    text: String,
}

const WEEK: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl Days {
    fn each(self) -> impl Iterator<Item = Weekday> {
        let many = (self.last + WEEK.len() - self.first) % WEEK.len() + 1;
        WEEK.iter().cycle().skip(self.first).take(many).map(|(_, day)| *day)
    }
}

impl FromStr for Days {
    type Err = DaysError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = |name: &str| WEEK.iter().position(|(known, _)| *known == name);
        let days = match text.split_once('-') {
            Some((first, last)) => {
                place(first).zip(place(last)).filter(|(first, last)| first != last)
            }
            None => place(text).map(|day| (day, day)),
        };
        let (first, last) = days.ok_or_else(|| DaysError { text: text.to_owned() })?;
        Ok(Self { first, last })
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |place: usize| WEEK.get(place).map_or("", |(name, _)| *name);
        f.write_str(name(self.first))?;
        if self.first == self.last { Ok(()) } else { write!(f, "-{}", name(self.last)) }
    }
}

written_as_text!(Days, "a day of the week, or several in a row", "mon-fri");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_in_a_row_may_go_past_sunday() {
        use Weekday::{Monday, Saturday, Sunday, Tuesday};
        let each = |text: &str| text.parse::<Days>().unwrap().each().collect::<Vec<_>>();
        assert_eq!(each("sat-tue"), [Saturday, Sunday, Monday, Tuesday]);
        assert_eq!(each("sun"), [Sunday]);
        assert_eq!(each("mon-sun").len(), 7);
        for text in ["monday", "Mon", "mon-", "-fri", "mon-mon", "mon-fri-sat", "", "mo"] {
            assert!(text.parse::<Days>().is_err(), "{text}");
        }
        assert_eq!("sat-tue".parse::<Days>().unwrap().to_string(), "sat-tue");
    }
}
