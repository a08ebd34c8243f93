//! Events of the Rust libraries as records of Python's `logging`: the logger `doorward` and its children by area, such as
//! `doorward.keys`.
//!
//! An event is written on whichever thread it happens, which may not wait for the interpreter. So it goes into a bounded queue, and a
//! thread of its own hands it to `logging`; above the bound events are dropped and counted. An event below the level that Python's
//! loggers want costs one comparison. Spans and the events of other crates, which could show headers, are never forwarded.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pyo3::intern;
use pyo3::prelude::*;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// Number of records that wait for the interpreter at most.
const WAITING: usize = 1024;

/// Age at which the level of Python's loggers is looked up again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The most verbose level that a logger wants: 0 for none, 5 for `TRACE`.
static WANTED: AtomicU8 = AtomicU8::new(0);

/// The queue of this process.
static OUTBOX: ArcSwapOption<Outbox> = ArcSwapOption::const_empty();

struct Outbox {
    notes: SyncSender<Note>,
    /// Number of forks that led to the process whose thread reads the queue.
    forks: u64,
    lost: AtomicU64,
}

enum Note {
    Event { logger: &'static str, level: u8, file: &'static str, line: u32, text: String },
    End,
}

/// The thread that hands records to `logging`.
pub(crate) struct Logging {
    outbox: Arc<Outbox>,
    thread: JoinHandle<()>,
}

impl Logging {
    /// Starts the thread; `forks` is the number of forks that led to this process.
    pub(crate) fn start(forks: u64) -> std::io::Result<Self> {
        let (notes, inbox) = sync_channel(WAITING);
        let outbox = Arc::new(Outbox { notes, forks, lost: AtomicU64::new(0) });
        let named = std::thread::Builder::new().name("doorward-logging".to_owned());
        let thread = named.spawn(move || hand_over(&inbox))?;
        OUTBOX.store(Some(Arc::clone(&outbox)));
        Ok(Self { outbox, thread })
    }

    /// Hands over what waits, and ends the thread.
    pub(crate) fn end(self, py: Python<'_>) {
        OUTBOX.store(None);
        let Self { outbox, thread } = self;
        // The thread needs the interpreter.
        py.detach(|| {
            if outbox.notes.send(Note::End).is_ok() {
                let _ = thread.join();
            }
        });
    }
}

fn hand_over(inbox: &Receiver<Note>) {
    while let Ok(Note::Event { logger, level, file, line, text }) = inbox.recv() {
        let written = Python::try_attach(|py| {
            // A handler that fails says so itself (`logging.raiseExceptions`).
            let module = py.import(intern!(py, "doorward._logging"));
            let _ = module.and_then(|module| {
                module.call_method1(intern!(py, "write"), (logger, level, file, line, text))
            });
        });
        // The interpreter is ending.
        if written.is_none() {
            return;
        }
    }
}

/// Forwards events from now on, at the level that Python's loggers want now.
pub(crate) fn follow(py: Python<'_>) -> PyResult<()> {
    // An error means that the commands of `python -m doorward` show warnings in their own way.
    let _ = tracing::subscriber::set_global_default(Forward);
    look_up(py)
}

/// Looks up the level that Python's loggers want, unless that was done just now.
pub(crate) fn look_again(py: Python<'_>) {
    static LAST: ArcSwapOption<Instant> = ArcSwapOption::const_empty();
    let last = LAST.load();
    if last.as_ref().is_none_or(|last| last.elapsed() >= LOOK_AGAIN) {
        LAST.store(Some(Arc::new(Instant::now())));
        // Without `logging` there is nothing to forward to.
        let _ = look_up(py);
    }
}

fn look_up(py: Python<'_>) -> PyResult<()> {
    let level = py.import(intern!(py, "doorward._logging"))?.call_method0(intern!(py, "level"))?;
    let wanted = match level.extract::<i64>()? {
        ..=5 => 5,
        6..=10 => 4,
        11..=20 => 3,
        21..=30 => 2,
        31..=40 => 1,
        _ => 0,
    };
    if WANTED.swap(wanted, Ordering::Relaxed) != wanted {
        tracing::callsite::rebuild_interest_cache();
    }
    Ok(())
}

/// The subscriber of this module's events.
struct Forward;

impl Forward {
    fn wanted() -> LevelFilter {
        match WANTED.load(Ordering::Relaxed) {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }
    }
}

/// The logger for events of this module path; `None` for those of other crates.
fn logger(target: &str) -> Option<&'static str> {
    let mut path = target.split("::");
    Some(match (path.next()?, path.next()) {
        ("oidc_core", Some("keys")) => "doorward.keys",
        ("oidc_core", Some("provider")) => "doorward.provider",
        ("oidc_core", Some("verify")) => "doorward.verify",
        ("oidc_core", Some("client")) => "doorward.client",
        ("oidc_core", Some("login")) => "doorward.login",
        ("oidc_core", Some("http")) => "doorward.http",
        ("m2m", _) => "doorward.tokens",
        ("oidc_core" | "doorward_native", _) => "doorward",
        _ => return None,
    })
}

impl Subscriber for Forward {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match metadata.is_event() && logger(metadata.target()).is_some() {
            true => Interest::sometimes(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Self::wanted()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(Self::wanted())
    }

    fn event(&self, event: &Event<'_>) {
        let (metadata, outbox) = (event.metadata(), OUTBOX.load());
        let Some(logger) = logger(metadata.target()) else { return };
        // A child made by `fork` has the parent's queue until its own engine starts.
        let in_this_process = |outbox: &&Arc<Outbox>| outbox.forks == crate::forks::generation();
        let Some(outbox) = outbox.as_ref().filter(in_this_process) else { return };
        let mut text = Text::default();
        event.record(&mut text);
        let mut text = text.finished();
        let lost = outbox.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            // Writing to a `String` does not fail.
            let _ = write!(text, " ({lost} records before it were dropped)");
        }
        let level = match *metadata.level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            Level::DEBUG => 10,
            Level::TRACE => 5,
        };
        let (file, line) =
            (metadata.file().unwrap_or_default(), metadata.line().unwrap_or_default());
        let note = Note::Event { logger, level, file, line, text };
        if let Err(TrySendError::Full(_)) = outbox.notes.try_send(note) {
            outbox.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }

    // Spans are never enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The line of an event: its message, then its fields by name.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finished(self) -> String {
        match (self.message.is_empty(), self.fields.is_empty()) {
            (_, true) => self.message,
            (true, false) => self.fields,
            (false, false) => format!("{}: {}", self.message, self.fields),
        }
    }

    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a `String` does not fail.
        let _ = match (field.name(), self.fields.is_empty()) {
            ("message", _) => self.message.write_fmt(value),
            (name, true) => write!(self.fields, "{name}={value}"),
            (name, false) => write!(self.fields, ", {name}={value}"),
        };
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}
