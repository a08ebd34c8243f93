//! Identifiers of a request in logs: `X-Request-Id` and `traceparent` ([W3C Trace Context §3.2]).
//!
//! A request id is accepted only from a trusted proxy; a trace is always continued when it is well formed.
//!
//! [W3C Trace Context §3.2]: https://www.w3.org/TR/trace-context/#traceparent-header

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// `x-request-id`
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `traceparent`
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The reference number of a request.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// A new one: 128 random bits in hexadecimal.
    pub fn random() -> Self {
        let mut text = [0; 32];
        write_hex(&mut text, &rand::random::<u128>().to_be_bytes());
        Self(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("none")))
    }

    /// The one that a trusted proxy gave, when it is 8 to 128 letters, digits, `-`, `_` and `.`.
    pub fn given(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(X_REQUEST_ID)?;
        let text = value.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        ((8..=128).contains(&text.len()) && text.iter().all(plain)).then(|| Self(value.clone()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// As the value of `X-Request-Id`.
    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// The trace that a request belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceParent(HeaderValue);

impl TraceParent {
    /// A trace that begins here, not sampled.
    pub fn begin() -> Self {
        // All-zero ids are invalid; the set bit prevents them.
        let trace = rand::random::<u128>() | 1;
        let parent = rand::random::<u64>() | 1;
        let mut text = *b"00-................................-................-00";
        let (_, ids) = text.split_at_mut(3);
        let (trace_text, rest) = ids.split_at_mut(32);
        write_hex(trace_text, &trace.to_be_bytes());
        let (_, parent_text) = rest.split_at_mut(1);
        write_hex(parent_text, &parent.to_be_bytes());
        // Hexadecimal text is always valid.
        Self(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("")))
    }

    /// The client's trace, if the header occurs once and is well formed.
    pub fn given(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next().filter(|value| is_traceparent(value.as_bytes()))?;
        values.next().is_none().then(|| Self(value.clone()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// As the value of `traceparent`.
    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Writes bytes in lower-case hexadecimal, two characters for each.
fn write_hex(text: &mut [u8], bytes: &[u8]) {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xF)]);
    }
}

/// Version 00: `00-<32 hex>-<16 hex>-<2 hex>`, lower case, neither id all zero.
fn is_traceparent(text: &[u8]) -> bool {
    let mut fields = text.split(|byte| *byte == b'-');
    let mut field = |length: usize| {
        fields.next().filter(|field| {
            field.len() == length
                && field.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let version = field(2);
    let ids = [field(32), field(16)];
    let flags = field(2);
    version == Some(b"00".as_slice())
        && ids.iter().all(|id| id.is_some_and(|id| id.iter().any(|digit| *digit != b'0')))
        && flags.is_some()
        && fields.next().is_none()
}

// === impl RequestId ===

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl TraceParent ===

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_continued_only_when_well_formed() {
        assert!(is_traceparent(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01, 00",
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_trace_that_begins_here_is_well_formed() {
        let (one, other) = (TraceParent::begin(), TraceParent::begin());
        assert!(is_traceparent(one.as_str().as_bytes()), "{one}");
        assert!(one.as_str().ends_with("-00"));
        assert_ne!(one, other);
        let mut text = [0; 8];
        write_hex(&mut text, &[0x00, 0x9A, 0xBF, 0xF1]);
        assert_eq!(&text, b"009abff1");
    }

    #[test]
    fn request_ids_differ() {
        assert_ne!(RequestId::random(), RequestId::random());
        assert_eq!(RequestId::random().as_str().len(), 32);
    }
}
