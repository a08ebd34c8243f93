//! The request that Envoy holds, as its external authorization describes it (`envoy.service.auth.v3.AttributeContext`).
//!
//! The description is the only input of the rules, and Envoy sends on the request itself. So a description that leaves open
//! which request is meant is refused: one that names a part twice and differently, or one in which two lines of a field that may
//! occur once may have become one.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};

use crate::{
    connection::Scheme, escape::push_escape, framing, host::HostRefusal, method::CanonicalMethod,
    refusal::RequestRefusal, scrub::single_field,
};

/// Most header lines of a described request.
const LINES: usize = 200;

/// The described parts of a request, as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// `method`
    pub method: &'a str,
    /// `path`: path and query.
    pub path: &'a str,
    /// `host`
    pub host: &'a str,
    /// `scheme`
    pub scheme: &'a str,
    /// `query` and `fragment`, which Envoy leaves empty: both are parts of `path`, or of no request.
    pub beside: [&'a str; 2],
    /// The header lines.
    pub lines: Lines<'a>,
}

/// The header lines of a described request, among them those that HTTP/2 begins with `:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lines<'a> {
    /// `header_map`: each line as the client sent it.
    Raw(Vec<(&'a str, &'a [u8])>),
    /// `headers`: one line for each name, the lines of the client joined by `,`.
    Joined(Vec<(&'a str, &'a str)>),
}

/// A request that a proxy holds, with the facts that its bytes do not show.
#[derive(Debug)]
pub struct Held {
    /// The request, for [`CanonicalRequest::from_http`](crate::CanonicalRequest::from_http).
    pub request: Request<()>,
    /// The scheme that the client used.
    pub scheme: Scheme,
    /// Whether it asks for a WebSocket.
    pub asks_websocket: bool,
}

impl Attributes<'_> {
    /// The request that is described.
    ///
    /// # Errors
    ///
    /// [`RequestRefusal::TwoReadings`] and [`RequestRefusal::Joined`] for a description that leaves open which request is meant,
    /// [`RequestRefusal::OtherProtocol`] for an upgrade to another protocol than WebSocket, and those of
    /// [`CanonicalRequest::from_http`](crate::CanonicalRequest::from_http).
    pub fn request(&self) -> Result<Held, RequestRefusal> {
        if self.beside.iter().any(|part| !part.is_empty()) {
            return Err(RequestRefusal::TwoReadings("path"));
        }
        let method = self.method.parse::<CanonicalMethod>()?.into_http();
        let scheme = match self.scheme {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(RequestRefusal::TwoReadings("scheme")),
        };
        let target = target(self.path)?;
        let headers = self.headers()?;
        let asks_websocket = asks_websocket(&headers, &method)?;
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = target;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        Ok(Held { request, scheme, asks_websocket })
    }

    /// The fields, with `Host`.
    fn headers(&self) -> Result<HeaderMap, RequestRefusal> {
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(self.host);
        headers.insert(header::HOST, host.map_err(|_| RequestRefusal::Host(HostRefusal::Name))?);
        let count = match &self.lines {
            Lines::Raw(lines) => lines.len(),
            Lines::Joined(lines) => lines.len(),
        };
        if count > LINES {
            return Err(RequestRefusal::TooManyLines);
        }
        let mut line = |name: &str, value: &[u8]| -> Result<(), RequestRefusal> {
            if self.is_described(name, value)? {
                return Ok(());
            }
            let name = name_of(name)?;
            let value = HeaderValue::from_bytes(value).map_err(|_| RequestRefusal::HeaderValue)?;
            headers.append(name, value);
            Ok(())
        };
        match &self.lines {
            Lines::Raw(lines) => {
                for (name, value) in lines {
                    line(name, value)?;
                }
            }
            Lines::Joined(lines) => {
                for (name, value) in lines {
                    if value.contains(',') && single_field(name.as_bytes()).is_some() {
                        return Err(RequestRefusal::Joined(name_of(name)?));
                    }
                    line(name, value.as_bytes())?;
                }
            }
        }
        Ok(headers)
    }

    /// Whether a line repeats a part that is described beside the lines; the two must not differ.
    fn is_described(&self, name: &str, value: &[u8]) -> Result<bool, RequestRefusal> {
        let (part, described) = match name {
            ":method" => ("method", self.method),
            ":path" => ("path", self.path),
            ":scheme" => ("scheme", self.scheme),
            ":authority" | "host" => ("host", self.host),
            _ => return Ok(false),
        };
        match value == described.as_bytes() {
            true => Ok(true),
            false => Err(RequestRefusal::TwoReadings(part)),
        }
    }
}

/// A name in lower case, as Envoy writes all of them.
fn name_of(name: &str) -> Result<HeaderName, RequestRefusal> {
    HeaderName::from_lowercase(name.as_bytes()).map_err(|_| RequestRefusal::HeaderName)
}

/// The target, by the rules for the request line of HTTP/1.
fn target(path: &str) -> Result<Uri, RequestRefusal> {
    if !framing::is_origin_form(path.as_bytes()) {
        return Err(RequestRefusal::Target);
    }
    let unusable = |_| RequestRefusal::Target;
    if !path.contains(['`', '"']) {
        return path.parse().map_err(unusable);
    }
    // The type of targets holds neither, and neither separates anything in any server.
    let mut escaped = String::with_capacity(path.len() + 16);
    for character in path.chars() {
        match character {
            '`' => push_escape(&mut escaped, b'`'),
            '"' => push_escape(&mut escaped, b'"'),
            other => escaped.push(other),
        }
    }
    escaped.parse().map_err(unusable)
}

/// Whether the fields ask for a WebSocket. The request itself is judged with them: an upgrade to anything else would take the
/// connection out of the rules' sight.
fn asks_websocket(headers: &HeaderMap, method: &Method) -> Result<bool, RequestRefusal> {
    let mut connection = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    if !connection.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade")) {
        return Ok(false);
    }
    let Some(protocol) = headers.get(header::UPGRADE) else { return Ok(false) };
    let bodyless = headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0")
        && !headers.contains_key(header::TRANSFER_ENCODING);
    match protocol.as_bytes().eq_ignore_ascii_case(b"websocket") {
        true if *method == Method::GET && bodyless => Ok(true),
        _ => Err(RequestRefusal::OtherProtocol),
    }
}

#[cfg(test)]
mod tests;
