//! Framing of HTTP/1 messages: the same outcome however the bytes arrive, and the same messages as a second parser finds.

use http_canonical::{
    framing::{Action, Framing, HeadLimits, Reason},
    reserved::is_reserved,
    trailers::is_never_a_trailer,
};

use crate::input::pieces;

/// Inputs up to this length are also fed byte by byte.
const BYTEWISE: usize = 1024;

/// A head that announces a chunked body.
const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Result of a whole input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The bytes that passed.
    pub(crate) passed: Vec<u8>,
    /// Number of bytes left out.
    skipped: usize,
    /// Number of bytes of targets that were percent-encoded.
    replaced: usize,
    /// Number of heads begun, the broken one included.
    heads: u64,
    /// Number of requests that asked for a WebSocket.
    pub(crate) paused: u64,
    broken: Option<(Part, Reason)>,
}

impl Outcome {
    fn has_broken_head(&self) -> bool {
        matches!(self.broken, Some((Part::Head, _)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Head,
    Body,
}

/// Requests on one connection.
pub fn head(data: &[u8]) {
    judge(data);
}

/// A chunked body, with whatever follows it.
pub fn chunked(data: &[u8]) {
    judge(&[CHUNKED, data].concat());
}

fn judge(data: &[u8]) {
    let whole = feed([data]);
    assert_eq!(feed(pieces(data)), whole, "the outcome depends on how the bytes arrive");
    if data.len() <= BYTEWISE {
        let bytewise = feed(data.chunks(1));
        assert_eq!(bytewise, whole, "the outcome depends on how the bytes arrive");
    }
    if whole.skipped == 0 && whole.replaced == 0 {
        assert!(data.starts_with(&whole.passed), "bytes changed on their way");
    }
    let messages = messages(&whole.passed).len() + usize::from(whole.has_broken_head());
    assert_eq!(u64::try_from(messages), Ok(whole.heads), "a second parser finds other messages");
}

/// Feeds the pieces one after the other; a WebSocket is always declined.
pub(crate) fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut framing = Framing::new(HeadLimits::default());
    let mut waiting: Vec<u8> = Vec::new();
    let (mut passed, mut skipped, mut replaced) = (Vec::new(), 0, 0);
    let (mut paused, mut broken) = (0, None);
    'arrivals: for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            match framing.advance(&waiting) {
                Action::Pass(0) | Action::Skip(0) => panic!("no progress"),
                Action::Pass(count) => passed.extend(waiting.drain(..count)),
                Action::Skip(count) => {
                    waiting.drain(..count);
                    skipped += count;
                }
                Action::Replace(with) => {
                    assert_eq!(with, escape(waiting.remove(0)), "another byte is encoded");
                    passed.extend(with);
                    replaced += 1;
                }
                Action::NeedMore => break,
                Action::Paused => {
                    paused += 1;
                    framing.resume();
                }
                Action::BadHead(violation) => {
                    broken = Some((Part::Head, violation.reason()));
                    break 'arrivals;
                }
                Action::BadBody(violation) => {
                    broken = Some((Part::Body, violation.reason()));
                    break 'arrivals;
                }
            }
        }
    }
    Outcome { passed, skipped, replaced, heads: framing.request(), paused, broken }
}

/// The escape of a byte that is percent-encoded on its way.
fn escape(byte: u8) -> [u8; 3] {
    match byte {
        b'`' => *b"%60",
        b'"' => *b"%22",
        other => panic!("{other} is encoded"),
    }
}

/// A message as a second parser finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case, with their values.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    /// `None`: the body is incomplete.
    pub(crate) body: Option<Vec<u8>>,
    /// Whether this is HTTP/1.0.
    pub(crate) old: bool,
}

impl Message {
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| &value[..])
    }
}

/// The messages of a byte stream as `httparse` finds them. Only the last one may be incomplete.
pub(crate) fn messages(mut rest: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let (length, mut message) = parsed(rest);
        rest = &rest[length..];
        let length = message
            .field("content-length")
            .map(|digits| std::str::from_utf8(digits).unwrap().parse::<u64>().unwrap());
        let chunked = message.field("transfer-encoding").is_some();
        assert!(!(chunked && length.is_some()), "two framings");
        let body = if chunked {
            dechunked(rest)
        } else {
            let length = usize::try_from(length.unwrap_or(0)).ok();
            length.and_then(|length| Some((length, rest.get(..length)?.to_vec())))
        };
        let end = body.as_ref().map(|(length, _)| *length);
        message.body = body.map(|(_, body)| body);
        messages.push(message);
        match end {
            Some(length) => rest = &rest[length..],
            None => break,
        }
    }
    messages
}

/// Parses a head that passed, and compares each part with a naive reading of its lines.
fn parsed(bytes: &[u8]) -> (usize, Message) {
    let mut room = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut room);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        other => panic!("a head that passed is not read: {other:?}"),
    };
    let mut lines = lines(&bytes[..length]).into_iter();
    let first: Vec<&[u8]> = lines.next().unwrap_or_default().split(|byte| *byte == b' ').collect();
    let [method, target, version] = first[..] else { panic!("the request line has other parts") };
    assert_eq!(request.method.map(str::as_bytes), Some(method));
    assert_eq!(request.path.map(str::as_bytes), Some(target));
    assert_eq!(request.version, Some(u8::from(version == b"HTTP/1.1")));
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for field in request.headers.iter() {
        let line = lines.next().unwrap_or_default();
        let colon = line.iter().position(|byte| *byte == b':').unwrap();
        let value = line[colon + 1..].trim_ascii();
        assert_eq!(field.name.as_bytes(), &line[..colon]);
        assert_eq!(field.value.trim_ascii(), value);
        let name = field.name.to_ascii_lowercase();
        let framing = ["content-length", "transfer-encoding", "host"].contains(&&name[..]);
        assert!(!framing || fields.iter().all(|(other, _)| *other != name), "two {name}");
        fields.push((name, value.to_vec()));
    }
    assert_eq!(lines.next(), None, "the parser sees fewer fields");
    let message = Message {
        method: request.method.unwrap().to_owned(),
        target: request.path.unwrap().to_owned(),
        fields,
        body: None,
        old: request.version == Some(0),
    };
    (length, message)
}

/// The lines of a head, without their ends and without the last, empty one.
fn lines(head: &[u8]) -> Vec<&[u8]> {
    let text = head.strip_suffix(b"\r\n\r\n").unwrap();
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let last = lines.len() - 1;
    let ended = |(place, line): (usize, &'_ [u8])| -> usize {
        let bare = if place == last { line } else { line.strip_suffix(b"\r").unwrap() };
        assert!(!bare.contains(&b'\r'), "a bare carriage return passed");
        bare.len()
    };
    let lengths: Vec<usize> = lines.iter().copied().enumerate().map(ended).collect();
    lines.into_iter().zip(lengths).map(|(line, length)| &line[..length]).collect()
}

/// Length and content of a chunked body as `httparse` reads it; `None` if it is incomplete.
fn dechunked(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let rest = &bytes[at..];
        let (start, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return None,
            Err(error) => panic!("a chunk that passed is not read: {error}"),
        };
        let digits = rest[..start].strip_suffix(b"\r\n").unwrap();
        assert!(digits.iter().all(u8::is_ascii_hexdigit), "a chunk extension passed");
        at += start;
        let size = usize::try_from(size).ok()?;
        body.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size;
        if size == 0 {
            return trailers(&bytes[at..]).map(|length| (at + length, body));
        }
        match &bytes[at..] {
            [] | [b'\r'] => return None,
            rest => assert!(rest.starts_with(b"\r\n"), "a chunk without an end"),
        }
        at += 2;
    }
}

/// Length of a trailer section; `None` if it is incomplete. A field that passed is one that no server acts on.
fn trailers(bytes: &[u8]) -> Option<usize> {
    let mut room = [httparse::EMPTY_HEADER; 64];
    let (length, fields) = match httparse::parse_headers(bytes, &mut room) {
        Ok(httparse::Status::Complete(found)) => found,
        Ok(httparse::Status::Partial) => return None,
        Err(error) => panic!("a trailer section that passed is not read: {error}"),
    };
    for field in fields {
        let name = field.name.to_ascii_lowercase();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        assert!(name.bytes().all(plain), "a trailer named {name} passed");
        assert!(!is_never_a_trailer(&name) && !is_reserved(&name), "the trailer {name} passed");
    }
    Some(length)
}
