//! The canonical request of this listener, and what it carries beside the head.

use std::{fmt, sync::Arc};

use axum::body::Body;
use http::Request;
use http_canonical::{Arrival, RequestId, RequestRefusal, Trust};
use hyper::upgrade::OnUpgrade;

use super::{ConnInfo, response_progress::ResponseProgress};

/// A request in the one form that is judged and sent. Only [`canonical`] makes one.
pub type CanonicalRequest = http_canonical::CanonicalRequest<Payload>;

/// The body of a request, and the client's end of the WebSocket that the request asks for.
pub struct Payload {
    /// The body, with the trailers that the client sent.
    pub body: Body,
    /// Lets the body pause. Present for an HTTP/2 request whose body is still arriving.
    pub(crate) pace: Option<ResponseProgress>,
    /// Becomes the client's byte stream after 101 was sent. Present when 101 is a possible answer.
    pub(crate) tunnel: Option<OnUpgrade>,
    /// The connection that it came on.
    pub(crate) connection: Arc<ConnInfo>,
}

/// Marks a request whose head asked for a WebSocket, and whose answer may therefore be 101.
#[derive(Debug, Clone, Copy)]
pub struct UpgradeAsked(pub(super) ());

/// Reads a request that this listener accepted, or `None` for one from elsewhere.
pub fn canonical(
    mut request: Request<Body>,
    trust: &Trust,
) -> Option<Result<CanonicalRequest, RequestRefusal>> {
    let extensions = request.extensions_mut();
    let connection = extensions.remove::<Arc<ConnInfo>>()?;
    let request_id = extensions.remove().unwrap_or_else(RequestId::random);
    let tunnel = match extensions.remove::<UpgradeAsked>() {
        Some(UpgradeAsked(())) => Some(extensions.remove::<OnUpgrade>()?),
        None => None,
    };
    let pace = extensions.remove();
    let arrival = Arrival {
        peer: connection.peer,
        scheme: connection.scheme,
        request_id,
        asks_websocket: tunnel.is_some() || connection.websocket_elsewhere,
        certificate: connection.certificate.clone(),
    };
    if !connection.certificate_counts() {
        return Some(Err(RequestRefusal::EndedCertificate));
    }
    // A proxy may use one connection for all hosts; it states the certificates of its clients.
    let clients = connection.clients.clone().filter(|_| !trust.trusts(connection.peer));
    let request = request.map(|body| Payload { body, pace, tunnel, connection });
    Some(CanonicalRequest::from_http(request, arrival, trust).and_then(|request| match clients {
        Some(clients) if !clients.include(request.host().name()) => {
            Err(RequestRefusal::OtherClients)
        }
        _ => Ok(request),
    }))
}

// === impl Payload ===

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload")
    }
}
