//! Canonical requests: what is judged is what is written, and writing it gives the same request again.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, uri::PathAndQuery};
use http_canonical::{
    Arrival, CanonicalHost, CanonicalRequest, Peer, RequestId, RequestRefusal, Scheme, Trust,
    reserved::{is_hop_by_hop, is_reserved},
};

use crate::framing::feed;

/// Bytes of a request line that framing accepts.
const LINE: usize = 8 * 1024;

/// The head of one request.
pub fn request(data: &[u8]) {
    let outcome = feed([data]);
    let mut room = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut room);
    let Ok(httparse::Status::Complete(length)) = parsed.parse(&outcome.passed) else { return };
    let asks_websocket = feed([&outcome.passed[..length]]).paused > 0;
    let Some(read) = Read::of(&parsed) else { return };
    let Ok(judged) = read.canonical(asks_websocket, Version::HTTP_11) else { return };
    assert_eq!(judged.method().as_str(), read.method.as_str());
    let query = read.target.split_once('?').map(|(_, query)| encoded(query));
    assert_eq!(judged.query(), query.as_deref(), "the query changed");
    forwarded_by_hyper(&judged);
    for name in judged.headers().keys() {
        assert!(!name.as_str().contains('_'), "{name} is left");
        assert!(!is_reserved(name.as_str()) && !is_hop_by_hop(name.as_str()), "{name} is left");
        assert!(!matches!(name.as_str(), "host" | "content-length" | "expect" | "traceparent"));
    }
    written_again(&judged, asks_websocket);
    over_http2(&read, &judged, asks_websocket);
}

/// A query with the bytes encoded that a URL does not hold raw.
fn encoded(query: &str) -> String {
    let one = |letter: char| match letter {
        '"' | '\\' | '^' | '`' | '{' | '|' | '}' => format!("%{:02X}", u32::from(letter)),
        other => other.to_string(),
    };
    query.chars().map(one).collect()
}

/// A parsed head, in the types of the HTTP library.
struct Read {
    method: Method,
    target: String,
    headers: HeaderMap,
}

impl Read {
    fn of(parsed: &httparse::Request<'_, '_>) -> Option<Self> {
        let mut headers = HeaderMap::new();
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
        }
        let method = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
        Some(Self { method, target: parsed.path?.to_owned(), headers })
    }

    fn canonical(
        &self,
        asks_websocket: bool,
        version: Version,
    ) -> Result<CanonicalRequest<()>, RequestRefusal> {
        let target = match version {
            Version::HTTP_2 => {
                let host = self.headers.get("host").and_then(|host| host.to_str().ok());
                format!("http://{}{}", host.unwrap_or_default(), self.target)
            }
            _ => self.target.clone(),
        };
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = target.parse::<Uri>().map_err(|_| RequestRefusal::Target)?;
        *request.version_mut() = version;
        *request.headers_mut() = self.headers.clone();
        let arrival = Arrival {
            peer: Peer::Tcp(([192, 0, 2, 7], 4711).into()),
            scheme: Scheme::Http,
            request_id: RequestId::random(),
            asks_websocket,
            certificate: None,
        };
        CanonicalRequest::from_http(request, arrival, &Trust::none())
    }
}

/// The library that writes the upstream's request sends the judged path and query unchanged.
fn forwarded_by_hyper(judged: &CanonicalRequest<()>) {
    let text = judged.path_and_query();
    let sent: PathAndQuery = text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!((sent.path(), sent.query()), (judged.path().as_str(), judged.query()));
}

/// Writes the request as the gateway does, and reads it again as the next gateway would.
fn written_again(judged: &CanonicalRequest<()>, asks_websocket: bool) {
    let mut written = format!(
        "{} {} HTTP/1.1\r\nhost: {}\r\n",
        judged.method(),
        judged.path_and_query(),
        judged.host()
    )
    .into_bytes();
    if judged.path_and_query().len() + 64 > LINE {
        return;
    }
    if asks_websocket {
        written.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
    }
    for (name, value) in judged.headers() {
        written.extend_from_slice(name.as_str().as_bytes());
        written.extend_from_slice(b": ");
        written.extend_from_slice(value.as_bytes());
        written.extend_from_slice(b"\r\n");
    }
    written.extend_from_slice(b"\r\n");
    let outcome = feed([&written[..]]);
    assert_eq!(outcome.passed, written, "framing refuses what the gateway writes: {outcome:?}");
    let mut room = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut room);
    assert_eq!(parsed.parse(&written), Ok(httparse::Status::Complete(written.len())));
    let read = Read::of(&parsed).unwrap();
    let again = read.canonical(asks_websocket, Version::HTTP_11);
    same(judged, &again.unwrap_or_else(|refusal| panic!("refused once written: {refusal}")));
}

/// The same request over HTTP/2 is judged alike, or refused.
fn over_http2(read: &Read, judged: &CanonicalRequest<()>, asks_websocket: bool) {
    if let Ok(again) = read.canonical(asks_websocket, Version::HTTP_2) {
        same(judged, &again);
    }
}

fn same(one: &CanonicalRequest<()>, other: &CanonicalRequest<()>) {
    let facts = |request: &CanonicalRequest<()>| -> (String, CanonicalHost, String, HeaderMap) {
        (
            request.method().to_string(),
            request.host().clone(),
            request.path_and_query(),
            request.headers().clone(),
        )
    };
    assert_eq!(facts(one), facts(other));
    assert_eq!(one.path(), other.path());
    assert_eq!(one.opens_websocket(), other.opens_websocket());
}
