//! Hours of the week in a time zone, without holidays.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chrono::{
    DateTime, Datelike as _, Days, NaiveDate, NaiveTime, TimeZone as _, Timelike as _, Utc,
};
use chrono_tz::Tz;

/// The longest time for which the end of open hours is looked for; hours that go on for longer have no end.
const AHEAD: u64 = 8;

/// Days and times of day at which callers may pass.
///
/// `from` counts and `to` does not. Hours from an evening to the next morning belong to the day on which they begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// By number from Monday; empty means every day.
    days: BTreeSet<Weekday>,
    except: BTreeSet<NaiveDate>,
    from: MinuteOfDay,
    to: MinuteOfDay,
    zone: Tz,
    close: bool,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are weekdays")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A time of day, `00:00` to `24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct MinuteOfDay(u16);

/// Reasons hours cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoursError {
    /// Not a time of day.
    Time {
        /// the text
        text: String,
    },
    /// Both times are the same, which may mean always or never.
    Empty,
    /// Not a zone of the IANA database.
    Zone {
        /// the text
        text: String,
    },
    /// Not a date.
    Date {
        /// the text
        text: String,
    },
}

impl Hours {
    /// From one time of day to another (`09:00`, `24:00` for midnight at the end), each day, in a zone of the IANA database
    /// (`Europe/Paris`).
    ///
    /// # Errors
    ///
    /// A text that is no time of day or no zone, and two times that are the same.
    pub fn new(from: &str, to: &str, zone: &str) -> Result<Self, HoursError> {
        let (from, to) = (MinuteOfDay::parse(from)?, MinuteOfDay::parse(to)?);
        if from == to {
            return Err(HoursError::Empty);
        }
        let zone = zone.parse().map_err(|_| HoursError::Zone { text: zone.to_owned() })?;
        Ok(Self { days: BTreeSet::new(), except: BTreeSet::new(), from, to, zone, close: true })
    }

    /// On these days only.
    #[must_use]
    pub fn on(self, days: impl IntoIterator<Item = Weekday>) -> Self {
        Self { days: days.into_iter().collect(), ..self }
    }

    /// Not on these dates (`2026-12-25`), such as public holidays.
    ///
    /// # Errors
    ///
    /// A text that is no date.
    pub fn except<S: AsRef<str>>(
        self,
        dates: impl IntoIterator<Item = S>,
    ) -> Result<Self, HoursError> {
        let date = |text: S| {
            let text = text.as_ref();
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .ok()
                .filter(|date| date.to_string() == text)
                .ok_or_else(|| HoursError::Date { text: text.to_owned() })
        };
        let except = dates.into_iter().map(date).collect::<Result<_, _>>()?;
        Ok(Self { except, ..self })
    }

    /// Whether streams that are open when the hours end are closed then. They are, unless this says otherwise.
    #[must_use]
    pub fn closing_streams(self, close: bool) -> Self {
        Self { close, ..self }
    }

    pub(crate) fn closes_streams(&self) -> bool {
        self.close
    }

    /// Whether callers may pass at this time.
    pub fn include(&self, at: SystemTime) -> bool {
        self.local(at).is_some_and(|at| self.begun_on(&at).is_some())
    }

    /// The first time after `at` at which callers may no longer pass; `None` if they may not at `at`, or if there is no end within
    /// eight days.
    pub fn end_after(&self, at: SystemTime) -> Option<SystemTime> {
        let mut day = self.begun_on(&self.local(at)?)?;
        for _ in 0..AHEAD {
            let end = self.end_of(day)?;
            if end > at && !self.include(end) {
                return Some(end);
            }
            day = day.checked_add_days(Days::new(1))?;
        }
        None
    }

    /// The day on which the hours began that include this time.
    fn begun_on(&self, at: &DateTime<Tz>) -> Option<NaiveDate> {
        let (today, minute) = (at.date_naive(), MinuteOfDay::of(at));
        let (begun, past_midnight) = match self.from < self.to {
            true => (minute >= self.from && minute < self.to, false),
            false => (minute >= self.from, minute < self.to),
        };
        let yesterday = today.pred_opt().filter(|day| past_midnight && self.open_on(*day));
        yesterday.or_else(|| (begun && self.open_on(today)).then_some(today))
    }

    fn open_on(&self, day: NaiveDate) -> bool {
        (self.days.is_empty() || self.days.contains(&Weekday::of(day)))
            && !self.except.contains(&day)
    }

    /// The end of the hours that begin on a day. Where a clock is set forward past it, the hour after.
    fn end_of(&self, day: NaiveDate) -> Option<SystemTime> {
        let overnight = u64::from(self.to <= self.from) + u64::from(self.to.0 == 24 * 60);
        let day = day.checked_add_days(Days::new(overnight))?;
        let minute = u32::from(self.to.0 % (24 * 60));
        let time = NaiveTime::from_hms_opt(minute / 60, minute % 60, 0)?;
        let local = day.and_time(time);
        let found = self.zone.from_local_datetime(&local);
        let found = found.latest().or_else(|| {
            self.zone.from_local_datetime(&(local + chrono::TimeDelta::hours(1))).earliest()
        });
        let seconds = u64::try_from(found?.timestamp()).ok()?;
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    fn local(&self, at: SystemTime) -> Option<DateTime<Tz>> {
        let since = at.duration_since(UNIX_EPOCH).ok()?;
        let at = DateTime::<Utc>::from_timestamp(i64::try_from(since.as_secs()).ok()?, 0)?;
        Some(at.with_timezone(&self.zone))
    }
}

impl MinuteOfDay {
    fn parse(text: &str) -> Result<Self, HoursError> {
        let read = || {
            let (hours, minutes) = text.split_once(':')?;
            let two = |part: &str| {
                let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| part.parse::<u16>().ok()).flatten()
            };
            let (hours, minutes) = (two(hours)?, two(minutes)?);
            let minute = hours * 60 + minutes;
            (minutes < 60 && minute <= 24 * 60).then_some(Self(minute))
        };
        read().ok_or_else(|| HoursError::Time { text: text.to_owned() })
    }

    fn of(at: &DateTime<Tz>) -> Self {
        Self(u16::try_from(at.hour() * 60 + at.minute()).unwrap_or(0))
    }
}

impl Weekday {
    fn of(day: NaiveDate) -> Self {
        match day.weekday() {
            chrono::Weekday::Mon => Self::Monday,
            chrono::Weekday::Tue => Self::Tuesday,
            chrono::Weekday::Wed => Self::Wednesday,
            chrono::Weekday::Thu => Self::Thursday,
            chrono::Weekday::Fri => Self::Friday,
            chrono::Weekday::Sat => Self::Saturday,
            chrono::Weekday::Sun => Self::Sunday,
        }
    }

    fn short(self) -> &'static str {
        match self {
            Self::Monday => "Mon",
            Self::Tuesday => "Tue",
            Self::Wednesday => "Wed",
            Self::Thursday => "Thu",
            Self::Friday => "Fri",
            Self::Saturday => "Sat",
            Self::Sunday => "Sun",
        }
    }
}

// === impl Display ===

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} in {}", self.from, self.to, self.zone)?;
        if !self.days.is_empty() {
            let days: Vec<&str> = self.days.iter().map(|day| day.short()).collect();
            write!(f, " on {}", days.join(", "))?;
        }
        match self.except.len() {
            0 => Ok(()),
            1 => f.write_str(", except 1 date"),
            dates => write!(f, ", except {dates} dates"),
        }
    }
}

impl fmt::Display for MinuteOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl fmt::Display for HoursError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time { text } => {
                write!(f, "invalid time of day `{text}`; write hours and minutes, such as `09:00`")
            }
            Self::Empty => f.write_str(
                "invalid hours: `from` and `to` are the same; omit `hours` for the whole day, or write `from: \"00:00\"` and `to: \"24:00\"`",
            ),
            Self::Zone { text } => write!(
                f,
                "unknown time zone `{text}`; write a name of the IANA database, such as `Europe/Paris`"
            ),
            Self::Date { text } => {
                write!(f, "invalid date `{text}`; write year, month and day, such as `2026-12-25`")
            }
        }
    }
}

impl std::error::Error for HoursError {}

#[cfg(test)]
mod tests;
