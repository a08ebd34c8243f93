//! Reasons a request is refused because two servers could read it differently.

use http::{HeaderName, StatusCode};

use crate::{host::HostRefusal, method::MethodRefusal, path::PathRefusal};

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
    #[error("the query holds a control character, `#` or a raw non-ASCII byte")]
    Query,
    /// No host.
    #[error("the request has no host")]
    NoHost,
    /// An invalid host.
    #[error("{0}")]
    Host(HostRefusal),
    /// The authority of the request target and `Host` differ.
    #[error("the request target and `Host` name different hosts")]
    TwoHosts,
    /// `X-Forwarded-Host` of a trusted proxy is not a valid host.
    #[error("`X-Forwarded-Host`: {0}")]
    ForwardedHost(HostRefusal),
    /// `Forwarded` of a trusted proxy cannot be read in exactly one way.
    #[error("`Forwarded` is not a list of parameters, or has one of them twice")]
    Forwarded,
    /// `X-Forwarded-Host` and `Forwarded` name different hosts, so that one of them was not written by the proxy.
    #[error("`X-Forwarded-Host` and `Forwarded` name different hosts")]
    TwoForwardedHosts,
    /// `Client-Cert` or `Client-Cert-Chain` of a trusted proxy cannot be read in exactly one way.
    #[error("`Client-Cert` or `Client-Cert-Chain` is not a certificate as RFC 9440 writes it")]
    ClientCertificate,
    /// The host asks for other client certificates than the connection was made with (RFC 9110 §15.5.20).
    #[error(
        "this host asks for other client certificates than this connection; open a new one to it"
    )]
    OtherClients,
    /// The client certificate of the connection was revoked meanwhile, or its revocation cannot be known any more.
    #[error(
        "the client certificate of this connection is revoked, or its revocation list has expired; connect with a valid one"
    )]
    EndedCertificate,
    /// A name with other characters than letters, digits, `-` and `_`, or one with `_` that some server takes for a reserved name.
    #[error(
        "a header name has a character other than letters, digits and `-`, or imitates a reserved name"
    )]
    HeaderName,
    /// A header that may occur once occurs more than once.
    #[error("the header `{0}` occurs more than once")]
    Duplicate(HeaderName),
    /// A value with a control character.
    #[error("a header value holds a control character")]
    HeaderValue,
    /// A proxy describes more header lines than a request may have.
    #[error("the request has too many header lines")]
    TooManyLines,
    /// A proxy that joins the lines of a header may have joined two of one that may occur once.
    #[error(
        "the header `{0}` may occur once and holds a comma, by which Envoy joins two: set `encode_raw_headers: true` in Envoy"
    )]
    Joined(HeaderName),
    /// A proxy describes a part of the request in two places, and differently, or in a form that no request has.
    #[error("the proxy's description of the request leaves its {0} open")]
    TwoReadings(&'static str),
    /// A proxy holds a request for another protocol than WebSocket.
    #[error("the request asks for another protocol than WebSocket")]
    OtherProtocol,
    /// A connection-specific header in HTTP/2 (RFC 9113 §8.2.2).
    #[error("the header `{0}` is not allowed in HTTP/2")]
    ConnectionSpecific(HeaderName),
    /// `Content-Length` is not a number.
    #[error("`Content-Length` is not one number")]
    ContentLength,
    /// `Expect` is not `100-continue`.
    #[error("`Expect` is not `100-continue`")]
    Expect,
    /// The WebSocket handshake violates RFC 6455.
    #[error("the WebSocket handshake has no valid `Sec-WebSocket-Key`")]
    WebSocketKey,
    /// Another version of WebSocket.
    #[error("only version 13 of WebSocket is supported")]
    WebSocketVersion,
}

impl RequestRefusal {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Method(MethodRefusal::NotServed(_)) => StatusCode::NOT_IMPLEMENTED,
            Self::OtherClients | Self::EndedCertificate => StatusCode::MISDIRECTED_REQUEST,
            Self::Expect => StatusCode::EXPECTATION_FAILED,
            Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
