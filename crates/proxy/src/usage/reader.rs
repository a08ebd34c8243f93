//! The usage of one answer.

use http::{HeaderMap, StatusCode, header};

use super::{
    events::Events,
    members::{Found, Members},
};

/// Tokens of one exchange, as the model API states them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usage {
    /// All tokens: at least the sum of the others.
    pub total: u64,
    /// Tokens of the request.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
}

/// Reads one answer in passing.
#[derive(Debug)]
pub struct UsageReader {
    form: Form,
    usage: Option<Usage>,
    model: Option<String>,
    events: u64,
    bytes: u64,
}

#[derive(Debug)]
enum Form {
    Document(Members),
    Events(Events),
}

impl UsageReader {
    /// A reader of an answer with this head; `None` for one that can state no usage, or in an encoding.
    pub fn of(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let media_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let form = if media_type.eq_ignore_ascii_case("text/event-stream") {
            Form::Events(Events::default())
        } else if media_type.eq_ignore_ascii_case("application/json") {
            Form::Document(Members::default())
        } else {
            return None;
        };
        let plain = headers
            .get_all(header::CONTENT_ENCODING)
            .iter()
            .all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
        (status.is_success() && plain).then(|| Self::new(form))
    }

    /// A reader of server-sent events.
    pub fn of_events() -> Self {
        Self::new(Form::Events(Events::default()))
    }

    /// A reader of a JSON document.
    pub fn of_document() -> Self {
        Self::new(Form::Document(Members::default()))
    }

    fn new(form: Form) -> Self {
        Self { form, usage: None, model: None, events: 0, bytes: 0 }
    }

    /// Reads the next piece of the answer.
    pub fn read(&mut self, piece: &[u8]) {
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        let Self { form, usage, model, events, .. } = self;
        match form {
            Form::Document(members) => members.read(piece),
            Form::Events(reader) => reader.read(piece, |found| {
                *events = events.saturating_add(1);
                take(found, usage, model);
            }),
        }
    }

    /// Ends the answer.
    pub fn end(&mut self) {
        let found = match &mut self.form {
            Form::Document(members) => Some(members.end()),
            Form::Events(events) => events.end(),
        };
        if let Some(found) = found {
            take(found, &mut self.usage, &mut self.model);
        }
    }

    /// The usage that the answer stated last, or the larger of two.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The model that the answer names.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Whether the answer is a stream of events.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.form, Form::Events(_))
    }

    /// Tokens of the answer so far, by its size: an event of a stream has at least one, and a token of a document about four bytes.
    pub(crate) fn estimate(&self) -> u64 {
        match self.form {
            Form::Events(_) => self.events,
            Form::Document(_) => self.bytes / 4,
        }
    }
}

/// Each event may repeat the usage so far, so that the largest one is that of the whole answer.
fn take(found: Found, usage: &mut Option<Usage>, model: &mut Option<String>) {
    *usage = (*usage).max(found.usage);
    if model.is_none() {
        *model = found.model;
    }
}
