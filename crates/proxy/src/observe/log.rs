//! The log: one JSON object or one line of text for each event, written by a thread of its own.
//!
//! A reader that is too slow costs lines, which are counted, and never a request.

use std::{
    fmt::{self, Write as _},
    io,
};

use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Keeps the writing thread; dropping it writes what is left.
#[derive(Debug)]
pub struct Log {
    _guard: WorkerGuard,
    dropped: ErrorCounter,
}

impl Log {
    /// Lines that were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.dropped_lines() as u64
    }

    /// Sends this process's events to standard error, in this form.
    pub fn start(config: &LogConfig) -> Self {
        let (writer, guard) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(64 * 1024)
            .thread_name("log")
            .finish(io::stderr());
        let dropped = writer.error_counter();
        let builder =
            tracing_subscriber::fmt().with_writer(writer).with_env_filter(filter(config.level));
        // A second subscriber in one process (tests) is no reason to stop: the first keeps writing.
        let started = match config.format {
            LogFormat::Json => {
                tracing::subscriber::set_global_default(builder.event_format(JsonLines).finish())
            }
            LogFormat::Text => tracing::subscriber::set_global_default(
                builder.with_target(false).compact().finish(),
            ),
        };
        if started.is_err() {
            tracing::debug!("a log is already there");
        }
        Self { _guard: guard, dropped }
    }
}

/// Our own events at the level asked for; libraries speak only when something is wrong, so that no HTTP or TLS crate ever puts
/// headers into the log.
fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    EnvFilter::new(format!(
        "error,doorward={level},oidc_core={level},m2m={level},dev_issuer={level}"
    ))
}

/// One JSON object a line: `ts`, `level`, `msg`, then the event's fields.
#[derive(Debug)]
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = Map::with_capacity(fields.0.len() + 3);
        line.insert("ts".to_owned(), Value::String(timestamp()));
        line.insert("level".to_owned(), Value::from(level(*event.metadata().level())));
        let message = fields.0.remove("message").unwrap_or_else(|| Value::from(""));
        line.insert("msg".to_owned(), message);
        line.append(&mut fields.0);
        writeln!(writer, "{}", Value::Object(line))
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        _ => "trace",
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a log line's time is read where it is written, and decides nothing"
)]
fn timestamp() -> String {
    OffsetDateTime::from(std::time::SystemTime::now()).format(&Rfc3339).unwrap_or_default()
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(text, "{value:?}");
        self.0.insert(field.name().to_owned(), Value::String(text));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }
}
