//! The canonical request: the rules judge it, and the upstream request is built from it.
//!
//! Every request, of HTTP/1.1 or HTTP/2, passes [`CanonicalRequest::from_http`] once. Afterwards there is one host, one path,
//! one client address, and no header that a client may not write. A request that two parsers could read differently is refused,
//! never repaired. Nothing here opens a connection or reads the clock.

use std::{fmt, net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header, request::Parts};
use sync_wrapper::SyncWrapper;

use crate::{
    certificate::ClientCertificate,
    connection::{Arrival, Peer, Scheme},
    forward_auth::{ForwardAuth, NoQuestion},
    forwarded::{self, Trust},
    host::{CanonicalHost, HostRefusal},
    method::CanonicalMethod,
    path::{CanonicalPath, Keep},
    query::canonical_query,
    refusal::RequestRefusal,
    request_id::{RequestId, TraceParent},
    scrub,
    trailers::Announced,
    websocket,
};

/// `x-doorward-token`: a token for the gateway, beside the application's own `Authorization`.
pub const X_DOORWARD_TOKEN: HeaderName = HeaderName::from_static("x-doorward-token");

/// A request in the one form that is judged and sent. Only [`CanonicalRequest::from_http`] makes one.
pub struct CanonicalRequest<B> {
    parts: RequestParts<B>,
    /// Makes this module the only one that can construct the type.
    parsed: Parsed,
}

/// The parts of a canonical request, for the stage that sends it on.
pub struct RequestParts<B> {
    /// The method.
    pub method: CanonicalMethod,
    /// The host that the client requested.
    pub host: CanonicalHost,
    /// The scheme that the client used.
    pub scheme: Scheme,
    /// The path, including ambiguous forms that some route may keep: [`CanonicalPath::check`] judges them for the route.
    pub path: CanonicalPath,
    /// The query without `?`; bytes that a URL does not hold raw are percent-encoded.
    pub query: Option<String>,
    /// The other end of the connection.
    pub peer: Peer,
    /// The client's address; `None` behind a unix socket.
    pub client_ip: Option<IpAddr>,
    /// The trusted part of the address chain, the client first, the peer last; sent upstream in `X-Forwarded-For`.
    pub forwarded_for: Vec<IpAddr>,
    /// The end-to-end fields that a client may write: no `Host`, no framing, nothing hop-by-hop, nothing reserved.
    pub headers: HeaderMap,
    /// `X-Doorward-Token`: a token for the gateway, for a caller whose `Authorization` belongs to the application. The field is
    /// reserved, so it is not among the headers and never sent upstream.
    pub gateway_token: Option<HeaderValue>,
    /// Whether this opens a WebSocket.
    pub websocket: bool,
    /// Whether the client accepts trailers (`TE: trailers`), as gRPC does.
    pub accepts_trailers: bool,
    /// The trailer fields of the body that are passed on.
    pub trailers: Announced,
    /// Number of fields that were removed for a `_` in their names.
    pub underscored: usize,
    /// The length of the body, when it was declared.
    pub content_length: Option<u64>,
    /// The reference number.
    pub request_id: RequestId,
    /// The client's trace.
    pub traceparent: Option<TraceParent>,
    /// The request that a trusted proxy asks about, or the reason there is none.
    pub forward_auth: Result<ForwardAuth, NoQuestion>,
    /// The certificate whose key the client proved to hold, to the gateway or to a trusted proxy.
    pub client_certificate: Option<Arc<ClientCertificate>>,
    /// The body. Wrapped so that a request may be shared between threads by reference.
    pub body: SyncWrapper<B>,
}

struct Parsed;

impl<B> CanonicalRequest<B> {
    /// Reads a request that arrived in this way.
    ///
    /// # Errors
    ///
    /// See [`RequestRefusal`].
    pub fn from_http(
        request: Request<B>,
        arrival: Arrival,
        trust: &Trust,
    ) -> Result<Self, RequestRefusal> {
        let (mut parts, body) = request.into_parts();
        let Arrival { peer, scheme, request_id, asks_websocket, certificate } = arrival;
        let method = CanonicalMethod::try_from(std::mem::take(&mut parts.method))?;
        scrub::check(&parts.headers, parts.version)?;
        let content_length = content_length(&parts.headers)?;
        if asks_websocket {
            websocket::check(&parts.headers)?;
        }
        let origin = forwarded::Origin::of(&parts.headers, peer, trust)?;
        let scheme = origin.scheme.unwrap_or(scheme);
        let named = named_host(&parts)?;
        // The certificate of a trusted proxy's own connection is the proxy's, and not its client's.
        let (forward_auth, client_certificate) = match trust.trusts(peer) {
            true => (
                ForwardAuth::of(&parts.headers, &named, scheme),
                certificate_of_proxy(&parts.headers, trust)?,
            ),
            false => (Err(NoQuestion::NotTrusted), certificate),
        };
        let host = match &origin.host {
            Some(host) => host.parse().map_err(RequestRefusal::ForwardedHost)?,
            None => named,
        }
        .without_default_port(scheme);
        let path = CanonicalPath::parse(parts.uri.path(), Keep::ALL)?;
        let query = parts.uri.query().map(canonical_query).transpose()?;
        let traceparent = TraceParent::given(&parts.headers);
        let accepts_trailers = scrub::accepts_trailers(&parts.headers);
        let trailers = Announced::of(&parts.headers);
        let mut headers = parts.headers;
        let gateway_token = headers.remove(X_DOORWARD_TOKEN);
        let underscored = scrub::scrub(&mut headers);
        let parts = RequestParts {
            method,
            host,
            scheme,
            path,
            query,
            peer,
            client_ip: origin.chain.first().copied(),
            forwarded_for: origin.chain,
            headers,
            gateway_token,
            websocket: asks_websocket,
            accepts_trailers,
            trailers,
            underscored,
            content_length,
            request_id,
            traceparent,
            forward_auth,
            client_certificate,
            body: SyncWrapper::new(body),
        };
        Ok(Self { parts, parsed: Parsed })
    }

    /// The path and the query, as a link within the host.
    pub fn path_and_query(&self) -> String {
        match &self.parts.query {
            Some(query) => format!("{}?{query}", self.parts.path),
            None => self.parts.path.as_str().to_owned(),
        }
    }

    /// Its [`RequestParts::method`].
    pub fn method(&self) -> &CanonicalMethod {
        &self.parts.method
    }

    /// Its [`RequestParts::host`].
    pub fn host(&self) -> &CanonicalHost {
        &self.parts.host
    }

    /// Its [`RequestParts::scheme`].
    pub fn scheme(&self) -> Scheme {
        self.parts.scheme
    }

    /// Its [`RequestParts::path`].
    pub fn path(&self) -> &CanonicalPath {
        &self.parts.path
    }

    /// Its [`RequestParts::query`].
    pub fn query(&self) -> Option<&str> {
        self.parts.query.as_deref()
    }

    /// Its [`RequestParts::peer`].
    pub fn peer(&self) -> Peer {
        self.parts.peer
    }

    /// Its [`RequestParts::client_ip`].
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.parts.client_ip
    }

    /// Its [`RequestParts::headers`].
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Its [`RequestParts::gateway_token`].
    pub fn gateway_token(&self) -> Option<&HeaderValue> {
        self.parts.gateway_token.as_ref()
    }

    /// Whether this opens a WebSocket.
    pub fn opens_websocket(&self) -> bool {
        self.parts.websocket
    }

    /// Its [`RequestParts::client_certificate`].
    pub fn client_certificate(&self) -> Option<&Arc<ClientCertificate>> {
        self.parts.client_certificate.as_ref()
    }

    /// Its [`RequestParts::underscored`].
    pub fn underscored(&self) -> usize {
        self.parts.underscored
    }

    /// Its [`RequestParts::request_id`].
    pub fn request_id(&self) -> &RequestId {
        &self.parts.request_id
    }

    /// The request that a trusted proxy asks about.
    ///
    /// # Errors
    ///
    /// The reason there is no valid question: see [`NoQuestion`].
    pub fn question(&self) -> Result<&ForwardAuth, &NoQuestion> {
        self.parts.forward_auth.as_ref()
    }

    /// The body, to be read before the request is sent on.
    pub fn body_mut(&mut self) -> &mut B {
        self.parts.body.get_mut()
    }

    /// The body alone.
    pub fn into_body(self) -> B {
        self.parts.body.into_inner()
    }

    /// The parts, to be sent on.
    pub fn into_parts(self) -> RequestParts<B> {
        self.parts
    }
}

/// [`CanonicalRequest::path_and_query`] of a request with this target.
///
/// ```
/// let target: http::Uri = "/search?q={a}".parse()?;
/// assert_eq!(http_canonical::path_and_query(&target)?, "/search?q=%7Ba%7D");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`CanonicalRequest::from_http`] about path and query.
pub fn path_and_query(target: &Uri) -> Result<String, RequestRefusal> {
    let path = CanonicalPath::parse(target.path(), Keep::ALL)?;
    Ok(match target.query().map(canonical_query).transpose()? {
        Some(query) => format!("{path}?{query}"),
        None => path.as_str().to_owned(),
    })
}

fn certificate_of_proxy(
    headers: &HeaderMap,
    trust: &Trust,
) -> Result<Option<Arc<ClientCertificate>>, RequestRefusal> {
    match trust.takes_certificates() {
        true => Ok(ClientCertificate::of_proxy(headers)?.map(Arc::new)),
        false => Ok(None),
    }
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
    let authority: CanonicalHost = authority.as_str().parse().map_err(RequestRefusal::Host)?;
    match field {
        // RFC 9112 §3.2: the absolute form of HTTP/1.1 needs `Host` too.
        None if parts.version != Version::HTTP_2 => Err(RequestRefusal::NoHost),
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

impl<B> fmt::Debug for CanonicalRequest<B> {
    /// Shows no header and no query: those hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parsed = self.parsed;
        f.debug_struct("CanonicalRequest")
            .field("request_id", &self.parts.request_id)
            .field("method", &self.parts.method)
            .field("host", &self.parts.host)
            .field("path", &self.parts.path)
            .field("client_ip", &self.parts.client_ip)
            .field("websocket", &self.parts.websocket)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
