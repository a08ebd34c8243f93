//! A request that is refused before it was read: as much of it as its answer and the log need.
//!
//! Nothing is decided by these facts but the form of the answer. Bytes that are no field are passed over.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_canonical::{Peer, Wants};

/// The longest path that is kept, in bytes.
const PATH: usize = 1000;
/// Header lines that are looked at.
const LINES: usize = 100;

/// Facts about a request that is refused before it was read.
#[derive(Debug, Clone)]
pub struct Glimpse {
    /// The method, if it has the form of one.
    pub method: Method,
    /// The path, without its query, cut and with other bytes than visible ASCII replaced.
    pub path: String,
    /// The form of the answer.
    pub wants: Wants,
    /// The other end of the connection.
    pub peer: Peer,
}

impl Glimpse {
    /// A request whose head was read.
    pub fn of<B>(request: &Request<B>, peer: Peer) -> Self {
        let wants = Wants::of(request.headers());
        Self::of_parts(request.method().clone(), request.uri(), wants, peer)
    }

    /// A request of these parts.
    pub fn of_parts(method: Method, uri: &Uri, wants: Wants, peer: Peer) -> Self {
        Self { method, path: printable(uri.path().as_bytes()), wants, peer }
    }

    /// The beginning of a head that breaks a rule.
    pub(super) fn of_head(head: &[u8], peer: Peer) -> Self {
        let mut lines = head.split(|byte| *byte == b'\n');
        let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
        let method = words.next().and_then(|word| Method::from_bytes(word).ok());
        let target = words.next().unwrap_or_default();
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        let mut fields = HeaderMap::new();
        for line in lines.take(LINES) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = line.split_at(colon);
            let name = HeaderName::from_bytes(name).ok();
            let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
            if let (Some(name), Ok(value)) = (name.filter(shapes_the_answer), value) {
                fields.append(name, value);
            }
        }
        Self {
            method: method.unwrap_or_default(),
            path: printable(path.trim_ascii_end()),
            wants: Wants::of(&fields),
            peer,
        }
    }
}

/// Whether [`Wants`] looks at a field; no other is kept, because it may hold a credential.
fn shapes_the_answer(name: &HeaderName) -> bool {
    let fetch = ["sec-fetch-mode", "sec-fetch-dest", "x-requested-with"];
    *name == header::ACCEPT || *name == header::CONTENT_TYPE || fetch.contains(&name.as_str())
}

fn printable(path: &[u8]) -> String {
    let visible = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' };
    path.iter().take(PATH).map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &str) -> Glimpse {
        Glimpse::of_head(head.as_bytes(), Peer::Unix)
    }

    #[test]
    fn a_broken_head_still_says_who_asks() {
        let browser =
            of("GET /a\\b?token=x HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nCookie: s\r\n");
        assert_eq!((browser.method, &*browser.path), (Method::GET, "/a\\b"));
        assert_eq!(browser.wants, Wants::Page);
        let grpc = of("POST /s/M HTTP/1.1\r\nContent-Type: application/grpc\r\nX Y: 1\r\n");
        assert_eq!((grpc.method, grpc.wants), (Method::POST, Wants::Grpc));
        let script = of("GET /x HTTP/1.1\nSec-Fetch-Mode: cors\nAccept: text/html\n");
        assert_eq!(script.wants, Wants::Problem);
    }

    #[test]
    fn bytes_that_are_no_request_give_a_problem() {
        for junk in ["", "\r\n", "\u{16}\u{3}\u{1}", " : \n:\n", "GET", "GET /\u{e9} HTTP/1.1\r\n"]
        {
            assert_eq!(of(junk).wants, Wants::Problem, "{junk:?}");
        }
        assert_eq!(of(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000))).path.len(), PATH);
        assert_eq!(of("GET /\u{1b}[31m\u{e9} HTTP/1.1\r\n").path, "/?[31m??");
    }
}
