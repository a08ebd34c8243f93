//! Checks of `telemetry`.

use http::{HeaderName, header};
use url::Url;

use super::{Findings, at, is_loopback};
use crate::config::TelemetryConfig;

/// Path of the signal below the collector's address (OTLP specification, OTLP/HTTP).
const SIGNAL: &str = "/v1/traces";

/// Fields that the exporter writes itself.
const OWN: [HeaderName; 6] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
];

pub(super) fn check(config: &TelemetryConfig, found: &mut Findings) {
    let here = at(&["telemetry"]);
    let Some(collector) = &config.otlp else {
        if *config != TelemetryConfig::default() {
            let message = "unused: nothing is traced without the address of a collector; write \
                           `otlp: http://collector:4318`, or omit `telemetry`";
            found.warning(here, message);
        }
        return;
    };
    address(collector, found);
    for name in config.headers.keys() {
        let here = here.key("headers").key(name);
        match HeaderName::try_from(name.as_str()) {
            Err(_) => found.problem(
                here,
                format!("invalid header name {name:?}; write one, such as `authorization`"),
            ),
            Ok(name) if OWN.contains(&name) => {
                found.problem(
                    here,
                    format!("invalid header `{name}`: the gateway writes it; omit it"),
                );
            }
            Ok(_) => {}
        }
    }
    if collector.scheme() == "http" && !is_loopback(collector) && !config.headers.is_empty() {
        let message =
            "plain http sends these secrets unencrypted; use `https` for `otlp`, or omit `headers`";
        found.problem(here.key("headers"), message);
    }
}

fn address(collector: &Url, found: &mut Findings) {
    let here = at(&["telemetry", "otlp"]);
    if !matches!(collector.scheme(), "http" | "https") || collector.host_str().is_none() {
        let message = format!(
            "unsupported address `{}:`; use OTLP over HTTP, such as `http://collector:4318`",
            collector.scheme()
        );
        return found.problem(here, message);
    }
    if !collector.username().is_empty() || collector.password().is_some() {
        let message = "invalid address: it holds a user name or a password; write them into a file and name it in `headers`";
        found.problem(here.clone(), message);
    }
    if collector.query().is_some() || collector.fragment().is_some() {
        found.problem(here.clone(), "invalid address: it has a query or a fragment; remove it");
    }
    let path = collector.path().trim_end_matches('/');
    if path.ends_with(SIGNAL) {
        let message = format!("invalid address: `{SIGNAL}` is added to it; remove `{SIGNAL}`");
        found.problem(here, message);
    }
}
