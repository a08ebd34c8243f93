//! A request head: request line and header lines ([RFC 9112 §3], §5, §6).
//!
//! Each line is judged once it is complete, so that an invalid one is refused without waiting for the rest, and the result does
//! not depend on how the bytes arrive.
//!
//! [RFC 9112 §3]: https://www.rfc-editor.org/rfc/rfc9112#section-3

use memchr::{memchr, memchr_iter};

use super::{
    BodyFraming, HeadLimits, Reason,
    target::{Escaping, Target},
};
use crate::{
    host::CanonicalHost,
    scrub::{folds_onto_ours, single_field},
    spelling::Spelling,
};

/// A head that is arriving.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Start of the incomplete line.
    line: usize,
    /// Position up to which that line was searched for its end.
    searched: usize,
    /// Whether the request line was seen.
    begun: bool,
    facts: Facts,
}

/// A head that is complete.
#[derive(Debug)]
pub(super) struct Complete {
    /// Its length in bytes.
    pub(super) length: usize,
    /// The framing of the body that follows.
    pub(super) body: BodyFraming,
    /// The bytes of the target to replace, if there are any.
    pub(super) escaping: Option<Escaping>,
}

/// Facts that decide the framing.
#[derive(Debug, Default)]
struct Facts {
    fields: usize,
    /// The target, if bytes of it must be replaced.
    raw_target: Option<Target>,
    http_10: bool,
    get: bool,
    host: bool,
    length: Option<u64>,
    chunked: bool,
    websocket: bool,
    other_protocol: bool,
    connection_upgrade: bool,
    cookie: bool,
    /// Bits of the single-occurrence names that were seen; see [`single_bit`].
    seen: u32,
}

impl Head {
    /// Returns the head's length when it is complete. `bytes` begins at the head's first byte on every call.
    pub(super) fn advance(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Option<Complete>, Reason> {
        let from = self.searched;
        for end in memchr_iter(b'\n', bytes.get(from..).unwrap_or_default()) {
            let end = from + end;
            let line = bytes.get(self.line..end).unwrap_or_default();
            self.check_partial(line, limits)?;
            let line = line.strip_suffix(b"\r").ok_or(Reason::BareLineEnd)?;
            if self.begun && end + 1 > limits.head {
                return Err(Reason::HeadTooLarge);
            }
            self.line = end + 1;
            self.searched = end + 1;
            if !self.begun {
                self.facts.request_line(line)?;
                self.begun = true;
            } else if line.is_empty() {
                let body = self.facts.framing()?;
                let escaping = self.facts.raw_target.map(|target| Escaping::new(target, end + 1));
                return Ok(Some(Complete { length: end + 1, body, escaping }));
            } else {
                self.facts.field(line, limits.fields)?;
            }
        }
        self.check_partial(bytes.get(self.line..).unwrap_or_default(), limits)?;
        self.searched = bytes.len();
        Ok(None)
    }

    /// Checks an incomplete line for a violation that no further bytes can remove; returns the first one by position.
    fn check_partial(&self, line: &[u8], limits: &HeadLimits) -> Result<(), Reason> {
        let (limit, too_long) = if self.begun {
            (limits.head.saturating_sub(self.line), Reason::HeadTooLarge)
        } else {
            (limits.line, Reason::TargetTooLong)
        };
        match line.first() {
            Some(byte) if !self.begun && !is_token(*byte) => return Err(Reason::RequestLine),
            Some(b' ' | b'\t') => return Err(Reason::Folded),
            _ => {}
        }
        let window = line.get(..limit.saturating_add(1)).unwrap_or(line);
        match memchr(b'\r', window) {
            Some(place) if place + 1 < window.len() => Err(Reason::BareLineEnd),
            _ if line.len() > limit => Err(too_long),
            _ => Ok(()),
        }
    }
}

impl Facts {
    fn request_line(&mut self, line: &[u8]) -> Result<(), Reason> {
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Reason::RequestLine);
        };
        if method.is_empty() || method.len() > 32 || !method.iter().copied().all(is_token) {
            return Err(Reason::RequestLine);
        }
        match version {
            b"HTTP/1.1" => {}
            b"HTTP/1.0" => self.http_10 = true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Reason::Version);
            }
            _ => return Err(Reason::RequestLine),
        }
        if method.eq_ignore_ascii_case(b"CONNECT") || method.eq_ignore_ascii_case(b"TRACE") {
            return Err(Reason::Method);
        }
        self.get = method == b"GET";
        let target = Target::read(method.len() + 1, target).ok_or(Reason::Target)?;
        self.raw_target = target.is_raw().then_some(target);
        Ok(())
    }

    fn field(&mut self, line: &[u8], limit: usize) -> Result<(), Reason> {
        self.fields += 1;
        if self.fields > limit {
            return Err(Reason::HeadTooLarge);
        }
        let (name, value) = split_field(line)?;
        match name.len() {
            4 if is(name, b"host") => {
                self.once(self.host, Reason::Host)?;
                self.host = true;
                return if CanonicalHost::is_valid(value) { Ok(()) } else { Err(Reason::Host) };
            }
            6 if is(name, b"expect") && !is(value, b"100-continue") => return Err(Reason::Expect),
            6 if is(name, b"cookie") => {
                self.once(self.cookie, Reason::Duplicate)?;
                self.cookie = true;
                return Ok(());
            }
            7 if is(name, b"upgrade") => {
                self.websocket = is(value, b"websocket");
                // A client that offers HTTP/2 in clear text goes on with HTTP/1.1 (RFC 9113 §3.1).
                self.other_protocol = !self.websocket && !is(value, b"h2c");
            }
            10 if is(name, b"connection") => {
                let mut words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                self.connection_upgrade |= words.any(|word| is(word, b"upgrade"));
                return Ok(());
            }
            14 if is(name, b"content-length") => {
                self.once(self.length.is_some(), Reason::ContentLength)?;
                self.length = Some(decimal(value).ok_or(Reason::ContentLength)?);
                return Ok(());
            }
            17 if is(name, b"transfer-encoding") => {
                self.once(self.chunked, Reason::TransferEncoding)?;
                if self.http_10 || !is(value, b"chunked") {
                    return Err(Reason::TransferEncoding);
                }
                self.chunked = true;
                return Ok(());
            }
            _ => {}
        }
        match single_bit(name) {
            0 => Ok(()),
            bit if self.seen & bit != 0 => Err(Reason::Duplicate),
            bit => {
                self.seen |= bit;
                Ok(())
            }
        }
    }

    fn once(&self, seen: bool, reason: Reason) -> Result<(), Reason> {
        if seen { Err(reason) } else { Ok(()) }
    }

    fn framing(&self) -> Result<BodyFraming, Reason> {
        if !self.host {
            return Err(Reason::Host);
        }
        if self.chunked && self.length.is_some() {
            return Err(Reason::TwoFramings);
        }
        if self.other_protocol && self.connection_upgrade {
            return Err(Reason::Upgrade);
        }
        let body = self.chunked || self.length.is_some_and(|length| length > 0);
        if self.websocket && self.connection_upgrade {
            return match self.get && !self.http_10 && !body {
                true => Ok(BodyFraming::Upgrade),
                false => Err(Reason::UpgradeBody),
            };
        }
        Ok(match self.chunked {
            true => BodyFraming::Chunked,
            false => BodyFraming::Length(self.length.unwrap_or(0)),
        })
    }
}

/// Splits and checks a line of a header or trailer section.
pub(super) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Reason> {
    let colon = memchr(b':', line).ok_or(Reason::HeaderName)?;
    let (name, value) = line.split_at(colon);
    match Spelling::of(name) {
        Spelling::Plain => {}
        Spelling::Underscored if !folds_onto_ours(name) => {}
        Spelling::Underscored | Spelling::Invalid => return Err(Reason::HeaderName),
    }
    let value = value.get(1..).unwrap_or_default();
    let visible = |byte: &u8| (*byte >= 0x20 && *byte != 0x7F) || *byte == b'\t';
    // Without an early exit, so that the compiler can process many bytes at once.
    if !value.iter().fold(true, |all, byte| all & visible(byte)) {
        return Err(Reason::HeaderValue);
    }
    Ok((name, trim(value)))
}

/// Removes optional white space: spaces and tabs, nothing else.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// One bit for each name that must not occur twice; 0 for any other name.
fn single_bit(name: &[u8]) -> u32 {
    single_field(name).map_or(0, |place| 1 << place)
}

fn is(text: &[u8], lower: &[u8]) -> bool {
    text.eq_ignore_ascii_case(lower)
}

/// Parses one to nineteen digits that fit 63 bits.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?;
    (value <= i64::MAX.unsigned_abs()).then_some(value)
}

/// [RFC 9110 §5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2)
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
