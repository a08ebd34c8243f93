//! The gateway's log and traces.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::SecretRef;

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
    /// Base address of an OpenTelemetry collector, which gets traces by OTLP over HTTP (protobuf) at `/v1/traces` below it.
    /// Without it nothing is traced. Example: `http://collector:4318`.
    pub otlp: Option<Url>,
    /// Share of the requests that are recorded, from 0 to 1. For a request with `traceparent` from a trusted proxy, that proxy
    /// decides. Example: `0.1`.
    pub sample: Share,
    /// Header fields for the collector, such as its credentials; read at each export. Example:
    /// `{ authorization: { file: /run/secrets/collector } }`.
    pub headers: BTreeMap<String, SecretRef>,
    /// PEM file with the only certificates to trust for the collector, instead of the platform's. Example:
    /// `/etc/tls/collector-ca.pem`.
    pub ca_file: Option<PathBuf>,
}

/// A share, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(with = "f64", extend("minimum" = 0, "maximum" = 1))]
pub struct Share(f64);

/// A number that is no share.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("invalid share `{0}`: it is not between 0 and 1; write one, such as `0.1`")]
pub struct ShareError(f64);

impl Share {
    /// The number.
    pub fn as_f64(self) -> f64 {
        self.0
    }
}

// === impl Share ===

/// A share is never NaN.
impl Eq for Share {}

impl Default for Share {
    fn default() -> Self {
        Self(1.0)
    }
}

impl TryFrom<f64> for Share {
    type Error = ShareError;

    fn try_from(number: f64) -> Result<Self, ShareError> {
        if (0.0..=1.0).contains(&number) { Ok(Self(number)) } else { Err(ShareError(number)) }
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}
