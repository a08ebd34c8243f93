//! The gateway's log and traces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// The log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `json` for machines, `text` for people. Example: `json`.
    pub format: LogFormat,
    /// The least important level that is written. Example: `info`.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object on each line.
    #[default]
    Json,
    /// For an operator at a terminal.
    Text,
}

/// The least important level that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Failures that need an operator.
    Error,
    /// Conditions that may become failures.
    Warn,
    /// Decisions and changes of state.
    #[default]
    Info,
    /// Details for diagnosis.
    Debug,
    /// Everything.
    Trace,
}

/// Traces for a collector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// OTLP over HTTP. Not yet supported. Example: `http://collector:4318`.
    pub otlp: Option<Url>,
}
