//! HTTP to a provider: one request, one bounded answer (RFC 9110).
//!
//! | to … | use |
//! |---|---|
#![cfg_attr(
    feature = "reqwest",
    doc = "| send requests over TLS | [`reqwest::ReqwestHttp`], with [`reqwest::HttpOptions`] |\n| trust certificates of your own, show a client certificate | [`reqwest::HttpOptions`] |"
)]
//! | send a token from a file, to an issuer whose keys are not public | [`BearerFile`] |
//! | send requests in another way, or none in tests | your own [`Http`] |
//! | see why there is no answer, or no usable one | [`HttpError`], [`FetchError`] |
//!
//! No redirects are followed and nothing is retried here. The adapter over `reqwest` needs the
//! feature `reqwest`.
//!
//! ```
//! use async_trait::async_trait;
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use oidc_core::http::{Http, HttpError};
//!
//! /// Answers every request with the same document.
//! #[derive(Debug)]
//! struct Canned(&'static [u8]);
//!
//! #[async_trait]
//! impl Http for Canned {
//!     async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
//!         Ok(Response::new(Bytes::from_static(self.0)))
//!     }
//! }
//! # let _: &dyn Http = &Canned(b"{}");
//! ```

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use crate::foreign_text::bounded;

mod bearer_file;
#[cfg(feature = "reqwest")]
pub mod reqwest;

pub use bearer_file::BearerFile;

/// Port: sends one request and returns one answer.
///
/// An adapter follows no redirect, bounds the size of the body and the time until its end, and
/// decodes no compression.
#[async_trait]
pub trait Http: Send + Sync + fmt::Debug {
    /// Sends `request`; an answer of any status is `Ok`.
    ///
    /// # Errors
    ///
    /// [`HttpError`] when there is no complete answer within the bounds of time and size.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError>;
}

/// No answer was received.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No connection: name, network, refused, or TLS.
    #[error("no connection to {host}: {reason}")]
    Connect {
        /// Host and port.
        host: String,
        /// The innermost cause.
        reason: String,
        /// The adapter's error.
        #[source]
        source: Option<Arc<dyn Error + Send + Sync>>,
    },
    /// The port does not speak TLS.
    #[error("{host} does not speak TLS: its answer to the handshake is not TLS")]
    NotTls {
        /// Host and port.
        host: String,
    },
    /// The server's certificate is not trusted, not for this host, or not valid now.
    #[error("the certificate of {host} is not accepted: {reason}")]
    Certificate {
        /// Host and port.
        host: String,
        /// The verifier's error.
        reason: String,
    },
    /// The whole answer did not arrive in time.
    #[error("no complete answer from {host} within {after:?}")]
    TimedOut {
        /// Host and port.
        host: String,
        /// The limit.
        after: Duration,
    },
    /// The body is larger than the limit.
    #[error("the answer of {host} is larger than {limit} bytes")]
    BodyTooLarge {
        /// Host and port.
        host: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The exchange broke off or was not HTTP.
    #[error("the exchange with {host} failed: {reason}")]
    Exchange {
        /// Host and port.
        host: String,
        /// The innermost cause.
        reason: String,
        /// The adapter's error.
        #[source]
        source: Option<Arc<dyn Error + Send + Sync>>,
    },
}

impl HttpError {
    /// A stable name of the cause, for logs, metrics and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::NotTls { .. } => "not_tls",
            Self::Certificate { .. } => "certificate",
            Self::TimedOut { .. } => "timed_out",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::Exchange { .. } => "exchange",
        }
    }
}

/// A document could not be fetched: no answer, or not the expected one.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A redirect. It is not followed, because its target is not a trusted address.
    #[error(
        "{url} answered with a redirect ({status}), which is not followed; configure the final address"
    )]
    Redirected {
        /// The URL requested.
        url: String,
        /// The status.
        status: u16,
    },
    /// Another status than 200.
    #[error("{url} answered with status {status}")]
    Status {
        /// The URL requested.
        url: String,
        /// The status.
        status: u16,
        /// `Retry-After`, in seconds form.
        retry_after: Option<Duration>,
    },
    /// The URL is invalid.
    #[error("{url} is not a valid address: {reason}")]
    Address {
        /// The URL to request.
        url: String,
        /// The problem with it.
        reason: String,
    },
}

impl FetchError {
    /// A stable name of the cause, for logs, metrics and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Http(error) => error.code(),
            Self::Redirected { .. } => "redirected",
            Self::Status { .. } => "status",
            Self::Address { .. } => "address",
        }
    }

    /// Whether a later attempt may succeed without a change of the address, its server or what is
    /// trusted here.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Http(error) => {
                !matches!(error, HttpError::NotTls { .. } | HttpError::Certificate { .. })
            }
            Self::Status { status, .. } => {
                !(400..500).contains(status) || matches!(status, 408 | 425 | 429)
            }
            Self::Redirected { .. } | Self::Address { .. } => false,
        }
    }

    /// Wait that the server asks for (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Gets a document; any status but 200 is an error.
pub(crate) async fn get(http: &dyn Http, url: &str) -> Result<Response<Bytes>, FetchError> {
    document(url, ask(http, url, HeaderMap::new()).await?)
}

/// Requests a document with these headers; an answer of any status is `Ok`.
pub(crate) async fn ask(
    http: &dyn Http,
    url: &str,
    headers: HeaderMap,
) -> Result<Response<Bytes>, FetchError> {
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(url)
        .header(header::ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|error| FetchError::Address {
            url: bounded(url),
            reason: bounded(&error.to_string()),
        })?;
    request.headers_mut().extend(headers);
    Ok(http.send(request).await?)
}

/// The answer, if its status is 200.
pub(crate) fn document(
    url: &str,
    response: Response<Bytes>,
) -> Result<Response<Bytes>, FetchError> {
    let status = response.status();
    if status.is_redirection() {
        return Err(FetchError::Redirected { url: bounded(url), status: status.as_u16() });
    }
    if status != StatusCode::OK {
        let retry_after = retry_after(response.headers());
        return Err(FetchError::Status { url: bounded(url), status: status.as_u16(), retry_after });
    }
    Ok(response)
}

/// `Retry-After` in its seconds form (RFC 9110 §10.2.3), an hour at most.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(3600)))
}
