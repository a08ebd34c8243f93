//! Open streams of a route: their end, and the answer to a page whose session has ended.

use std::{fmt, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::written_as_text;

/// Effect of the end of a bearer token on an open stream: a WebSocket, server-sent events or a gRPC call. Other exchanges are
/// judged at their start and run to their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Streams {
    /// The stream ends with the token that opened it; the client opens it again with a new one.
    #[default]
    UntilTokenEnds,
    /// The stream goes on until a side ends it. Rules that become stricter still close it.
    UntilDone,
}

/// WebSockets of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebSockets {
    /// Quiet time after which the gateway sends a ping (RFC 6455 §5.5.2) to both sides, and again after each such time; or
    /// `never`. Choose it shorter than the idle time-outs of load balancers between; it is at most a third of `timeouts.idle`. A
    /// quiet WebSocket whose two sides answer is not closed; without pings `timeouts.idle` closes it. Example: `30s`.
    pub ping: Ping,
}

/// Interval of pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ping {
    /// A ping after each quiet interval.
    Every(Duration),
    /// No pings.
    Never,
}

impl Ping {
    /// The interval, if pings are sent.
    #[must_use]
    pub fn every(self) -> Option<Duration> {
        match self {
            Self::Every(interval) => Some(interval),
            Self::Never => None,
        }
    }

    /// The interval on a route whose quiet streams end after `idle`: short enough for two answers to be lost.
    #[must_use]
    pub fn within(self, idle: Duration) -> Option<Duration> {
        self.every().map(|interval| interval.min(idle / 3))
    }
}

impl Default for Ping {
    fn default() -> Self {
        Self::Every(Duration::from_secs(30))
    }
}

/// Reason a text is not an interval of pings.
#[derive(Debug, thiserror::Error)]
#[error("invalid interval `{text}`; write a duration such as `30s`, or `never`")]
pub struct PingError {
    text: String,
}

impl FromStr for Ping {
    type Err = PingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self::Never),
            text => humantime::parse_duration(text)
                .map(Self::Every)
                .map_err(|_| PingError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Ping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(interval) => humantime::format_duration(*interval).fmt(f),
            Self::Never => f.write_str("never"),
        }
    }
}

written_as_text!(Ping, "an interval, or `never`", "30s");

/// Answer to a script of a page whose user is not signed in. Programs always get 401 with a challenge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignedOut {
    /// 401 with a problem document, whose `message` says what to do.
    #[default]
    Problem,
    /// 401 with that sentence alone, as a JSON string, for applications that show whatever they receive.
    Sentence,
    /// 424 with the problem document, for applications that take 401 for a failure and 424 for a server that comes back.
    Retry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_have_an_interval_or_never_come() {
        assert_eq!("45s".parse::<Ping>().unwrap(), Ping::Every(Duration::from_secs(45)));
        assert_eq!("never".parse::<Ping>().unwrap(), Ping::Never);
        assert_eq!(Ping::default().every(), Some(Duration::from_secs(30)));
        for (text, ping) in [("1m 30s", "1m 30s"), ("never", "never")] {
            assert_eq!(text.parse::<Ping>().unwrap().to_string(), ping);
        }
        for bad in ["", "off", "30", "-1s"] {
            let error = bad.parse::<Ping>().unwrap_err().to_string();
            assert!(error.contains("`never`"), "{bad}: {error}");
        }
    }
}
