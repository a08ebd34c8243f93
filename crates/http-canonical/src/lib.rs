//! HTTP requests that can be read in one way only.
//!
//! Two servers that read one request differently are the cause of request smuggling, of rules that miss, and of forged client
//! addresses. This crate refuses such a request instead of repairing it, in two steps:
//!
//! | step | type | standard |
//! |---|---|---|
//! | find where each HTTP/1 message ends, before another parser sees a byte | [`framing::Framing`] | RFC 9112 |
//! | read the parsed request into one method, host, path, query and client address | [`CanonicalRequest::from_http`] | RFC 3986, RFC 9110, RFC 7239 |
//!
//! [`PathPattern`] and [`CanonicalPath::readings`] let a rule judge a path as every server may read it. [`ForwardAuth`] is the
//! request that nginx, Traefik or Caddy asks about, [`ext_authz`] the one that Envoy does. [`Wants`] is the form of answer that the client expects: a page, a problem
//! document or a gRPC status.
//!
//! Everything here is pure: no socket, no clock, no runtime. The only input besides the arguments is the random number of
//! [`RequestId::random`].
//!
//! ```
//! use http_canonical::{Arrival, CanonicalRequest, Peer, RequestId, Scheme, Trust};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let request = http::Request::get("/reports/%61nnual?y=1").header("host", "Hub.Example:80").body(())?;
//! let arrival = Arrival {
//!     peer: Peer::Tcp("192.0.2.7:4711".parse()?),
//!     scheme: Scheme::Http,
//!     request_id: RequestId::random(),
//!     asks_websocket: false,
//!     certificate: None,
//! };
//! let request = CanonicalRequest::from_http(request, arrival, &Trust::none())?;
//! assert_eq!(request.path_and_query(), "/reports/annual?y=1");
//! assert_eq!(request.host().to_string(), "hub.example");
//! # Ok(()) }
//! ```

// Names and values.
mod escape;
mod oddities;
mod reading;
mod double_encoding;
mod path;
mod pattern;
mod host;
mod method;
pub mod request_id;
mod certificate;
mod connection;
mod wants;
mod refusal;

// Header fields.
pub mod reserved;
mod query;
mod scrub;
mod spelling;
pub mod trailers;
mod websocket;
pub mod forwarded;
mod forward_auth;
pub mod ext_authz;
pub mod proxy_protocol;
mod client_certificate;

// Messages.
pub mod framing;
mod request;

pub use certificate::ClientCertificate;
pub use connection::{Arrival, Peer, Scheme, customer_network};
pub use forward_auth::{ForwardAuth, NoQuestion};
pub use forwarded::{OriginFields, Trust};
pub use host::{CanonicalHost, HostRefusal};
pub use method::{CanonicalMethod, MethodRefusal};
pub use path::{CanonicalPath, Keep, PathRefusal, StripError, is_below};
pub use pattern::{PathMatch, PathPattern, PatternError};
pub use refusal::RequestRefusal;
pub use request::{CanonicalRequest, RequestParts, X_DOORWARD_TOKEN, path_and_query};
pub use request_id::{RequestId, TraceParent};
pub use wants::Wants;

/// The example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;
