//! The canonical request: the rules judge it, and the upstream request is built from it.
//!
//! Every request, of HTTP/1.1 or HTTP/2, passes [`CanonicalRequest::from_http`] once. Afterwards there is one host, one path,
//! one client address, and no header that a client may not write. A request that two parsers could read differently is refused,
//! never repaired. Nothing here opens a connection or reads the clock.

pub mod forwarded;
pub mod host;
mod escape;
mod method;
mod path;
mod pattern;
mod question;
mod reading;
mod refusal;
pub mod request_id;
pub mod reserved;
mod scrub;
mod websocket;

pub use forwarded::Trust;
pub use host::{CanonicalHost, HostRefusal};
pub use method::{CanonicalMethod, MethodRefusal};
pub(crate) use path::is_below;
pub use path::{CanonicalPath, Keep, PathRefusal, StripError};
pub use pattern::{PathMatch, PathPattern, PatternError};
pub use question::{ForwardAuth, NoQuestion};
pub use request_id::{RequestId, TraceParent};
pub(crate) use scrub::single_field;
pub use websocket::WebSocket;

use std::{fmt, net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderName, Request, StatusCode, Version, header, request::Parts};
use sync_wrapper::SyncWrapper;

use crate::listen::{Body, ConnInfo, Peer, Scheme, UpgradeAsked};

/// A request in the one form that is judged and sent. Only [`CanonicalRequest::from_http`] makes one.
pub struct CanonicalRequest {
    /// The method.
    pub(crate) method: CanonicalMethod,
    /// The host that the client requested.
    pub(crate) host: CanonicalHost,
    /// The scheme that the client used.
    pub(crate) scheme: Scheme,
    /// The path, including ambiguous forms that some route may keep: [`CanonicalPath::check`] judges them for the route.
    pub(crate) path: CanonicalPath,
    /// The query as it was sent, without `?`.
    pub(crate) query: Option<String>,
    /// The other end of the connection.
    pub(crate) peer: Peer,
    /// The client's address; `None` behind a unix socket.
    pub(crate) client_ip: Option<IpAddr>,
    /// The trusted part of the address chain, the client first, the peer last; sent upstream in `X-Forwarded-For`.
    pub(crate) forwarded_for: Vec<IpAddr>,
    /// The end-to-end fields that a client may write: no `Host`, no framing, nothing hop-by-hop, nothing reserved.
    pub(crate) headers: HeaderMap,
    /// Present when this opens a WebSocket.
    pub(crate) websocket: Option<WebSocket>,
    /// Whether the client accepts trailers (`TE: trailers`), as gRPC does.
    pub(crate) accepts_trailers: bool,
    /// The length of the body, when it was declared.
    pub(crate) content_length: Option<u64>,
    /// The reference number.
    pub(crate) request_id: RequestId,
    /// The client's trace.
    pub(crate) traceparent: Option<TraceParent>,
    /// The request that a trusted proxy asks about, or the reason there is none.
    pub(crate) forward_auth: Result<ForwardAuth, NoQuestion>,
    /// The body; its trailers are dropped. Wrapped so that a request may be shared between threads by reference.
    pub(crate) body: SyncWrapper<Body>,
    /// Makes this module the only one that can construct the type.
    parsed: Parsed,
}

struct Parsed;

/// Reasons a request cannot be read in exactly one way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefusal {
    /// The method.
    #[error(transparent)]
    Method(#[from] MethodRefusal),
    /// Not `/path?query`.
    #[error("the request target is not a path with an optional query")]
    Target,
    /// The path.
    #[error(transparent)]
    Path(#[from] PathRefusal),
    /// The query holds a control character, `#` or a byte beyond ASCII.
    #[error("the query holds a control character, `#` or a raw non-ASCII octet")]
    Query,
    /// No host.
    #[error("the request names no host")]
    NoHost,
    /// An invalid host.
    #[error("{0}")]
    Host(HostRefusal),
    /// `:authority` and `Host` differ.
    #[error("`:authority` and `Host` name different hosts")]
    TwoHosts,
    /// `X-Forwarded-Host` of a trusted proxy is not a valid host.
    #[error("`X-Forwarded-Host`: {0}")]
    ForwardedHost(HostRefusal),
    /// `Forwarded` of a trusted proxy cannot be read in exactly one way.
    #[error("`Forwarded` is no list of parameters, or names one of them twice")]
    Forwarded,
    /// `X-Forwarded-Host` and `Forwarded` name different hosts, so that one of them was not written by the proxy.
    #[error("`X-Forwarded-Host` and `Forwarded` name different hosts")]
    TwoForwardedHosts,
    /// A name with other characters than letters, digits and `-`.
    #[error("a header name has a character other than letters, digits and `-`")]
    HeaderName,
    /// A header that may occur once occurs more than once.
    #[error("the header `{0}` came more than once")]
    Duplicate(HeaderName),
    /// A connection-specific header in HTTP/2 (RFC 9113 §8.2.2).
    #[error("the header `{0}` has no place in HTTP/2")]
    ConnectionSpecific(HeaderName),
    /// `Content-Length` is not a number.
    #[error("`Content-Length` is not one number")]
    ContentLength,
    /// `Expect` is not `100-continue`.
    #[error("`Expect` is something else than `100-continue`")]
    Expect,
    /// The WebSocket handshake violates RFC 6455.
    #[error("the WebSocket handshake lacks a good `Sec-WebSocket-Key`")]
    WebSocketKey,
    /// Another version of WebSocket.
    #[error("only version 13 of WebSocket is served")]
    WebSocketVersion,
    /// The request did not come from the listener: a bug in the gateway.
    #[error("the request carries no connection")]
    NotListened,
}

impl RequestRefusal {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Method(MethodRefusal::NotServed(_)) => StatusCode::NOT_IMPLEMENTED,
            Self::Expect => StatusCode::EXPECTATION_FAILED,
            Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::NotListened => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl CanonicalRequest {
    /// Reads a request that the listener handed over: [`ConnInfo`] and [`RequestId`] are among its extensions.
    ///
    /// # Errors
    ///
    /// See [`RequestRefusal`].
    pub fn from_http(request: Request<Body>, trust: &Trust) -> Result<Self, RequestRefusal> {
        let (mut parts, body) = request.into_parts();
        let connection =
            parts.extensions.remove::<Arc<ConnInfo>>().ok_or(RequestRefusal::NotListened)?;
        let request_id = parts.extensions.remove().unwrap_or_else(RequestId::random);
        let method = CanonicalMethod::try_from(std::mem::take(&mut parts.method))?;
        scrub::check(&parts.headers, parts.version)?;
        let content_length = content_length(&parts.headers)?;
        let websocket = match parts.extensions.remove::<UpgradeAsked>() {
            Some(_) => Some(WebSocket::of(&mut parts)?),
            None => None,
        };
        let peer = connection.peer;
        let origin = forwarded::Origin::of(&parts.headers, peer, trust)?;
        let scheme = origin.scheme.unwrap_or(connection.scheme);
        let named = named_host(&parts)?;
        let forward_auth = match trust.trusts(peer) {
            true => ForwardAuth::of(&parts.headers, &named, scheme),
            false => Err(NoQuestion::NotTrusted),
        };
        let host = match &origin.host {
            Some(host) => host.parse().map_err(RequestRefusal::ForwardedHost)?,
            None => named,
        }
        .without_default_port(scheme);
        let path = CanonicalPath::parse(parts.uri.path(), Keep::ALL)?;
        let query = parts.uri.query().map(str::to_owned);
        if let Some(query) = &query {
            check_query(query)?;
        }
        let traceparent = TraceParent::given(&parts.headers);
        let accepts_trailers = scrub::accepts_trailers(&parts.headers);
        let mut headers = parts.headers;
        scrub::scrub(&mut headers);
        Ok(Self {
            method,
            host,
            scheme,
            path,
            query,
            peer,
            client_ip: origin.chain.first().copied(),
            forwarded_for: origin.chain,
            headers,
            websocket,
            accepts_trailers,
            content_length,
            request_id,
            traceparent,
            forward_auth,
            body: SyncWrapper::new(body),
            parsed: Parsed,
        })
    }

    /// The path and the query, as a link within the host.
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.as_str().to_owned(),
        }
    }

    /// Its [`CanonicalRequest::method`].
    pub fn method(&self) -> &CanonicalMethod {
        &self.method
    }

    /// Its [`CanonicalRequest::host`].
    pub fn host(&self) -> &CanonicalHost {
        &self.host
    }

    /// Its [`CanonicalRequest::scheme`].
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Its [`CanonicalRequest::path`].
    pub fn path(&self) -> &CanonicalPath {
        &self.path
    }

    /// Its [`CanonicalRequest::query`].
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Its [`CanonicalRequest::peer`].
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Its [`CanonicalRequest::client_ip`].
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.client_ip
    }

    /// Its [`CanonicalRequest::headers`].
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Present when this opens a WebSocket.
    pub fn upgrade(&self) -> Option<&WebSocket> {
        self.websocket.as_ref()
    }

    /// Its [`CanonicalRequest::request_id`].
    pub fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// The request that a trusted proxy asks about.
    ///
    /// # Errors
    ///
    /// The reason there is no valid question: see [`NoQuestion`].
    pub fn question(&self) -> Result<&ForwardAuth, &NoQuestion> {
        self.forward_auth.as_ref()
    }

    /// The body, to be read by one of the gateway's own endpoints.
    pub fn into_body(self) -> Body {
        self.body.into_inner()
    }
}

/// Accepts a query that can stand in a request line; it is sent on unchanged.
fn check_query(query: &str) -> Result<(), RequestRefusal> {
    let plain = |byte: u8| (0x21..=0x7E).contains(&byte) && byte != b'#';
    if query.bytes().all(plain) { Ok(()) } else { Err(RequestRefusal::Query) }
}

/// The host of the target and of the `Host` field, which must be the same.
fn named_host(parts: &Parts) -> Result<CanonicalHost, RequestRefusal> {
    let field = match parts.headers.get(header::HOST) {
        Some(value) => {
            let text = value.to_str().map_err(|_| RequestRefusal::Host(HostRefusal::Name))?;
            Some(text.parse::<CanonicalHost>().map_err(RequestRefusal::Host)?)
        }
        None => None,
    };
    let Some(authority) = parts.uri.authority() else { return field.ok_or(RequestRefusal::NoHost) };
    if parts.version != Version::HTTP_2 {
        return Err(RequestRefusal::Target);
    }
    let authority: CanonicalHost = authority.as_str().parse().map_err(RequestRefusal::Host)?;
    match field {
        Some(field) if field != authority => Err(RequestRefusal::TwoHosts),
        _ => Ok(authority),
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, RequestRefusal> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    let text = value.to_str().map_err(|_| RequestRefusal::ContentLength)?;
    if text.is_empty() || text.len() > 19 || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(RequestRefusal::ContentLength);
    }
    text.parse().map(Some).map_err(|_| RequestRefusal::ContentLength)
}

// === impl CanonicalRequest ===

impl fmt::Debug for CanonicalRequest {
    /// Shows no header and no query: those hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parsed = self.parsed;
        f.debug_struct("CanonicalRequest")
            .field("request_id", &self.request_id)
            .field("method", &self.method)
            .field("host", &self.host)
            .field("path", &self.path)
            .field("client_ip", &self.client_ip)
            .field("websocket", &self.websocket.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
