//! Tokens that are bound to a key: by the proof of a request (DPoP, [RFC 9449]) or by the client's certificate ([RFC 8705] §3).
//!
//! A bound token counts with its proof only, at each request, remembered or not. Nothing here decides whether a token is valid.
//!
//! [RFC 9449]: https://www.rfc-editor.org/rfc/rfc9449
//! [RFC 8705]: https://www.rfc-editor.org/rfc/rfc8705

use http::{HeaderMap, HeaderName, Method, StatusCode};
use http_canonical::{CanonicalMethod, CanonicalPath};
use oidc_core::verify::{InvalidRequest, Presented};
use url::Url;

use crate::refusal::Refusal;

/// `dpop`: the proof of a request (RFC 9449 §4.1).
pub const DPOP: HeaderName = HeaderName::from_static("dpop");

/// The request that a proof must be for, as its client sees it.
#[derive(Clone, Copy)]
pub struct Asked<'r> {
    /// Its method; `None` if a proxy asks about it and does not state the method.
    pub method: Option<&'r CanonicalMethod>,
    /// Scheme, host and port.
    pub origin: &'r (dyn Fn() -> String + Send + Sync),
    /// Its path.
    pub path: &'r CanonicalPath,
}

/// Method and address of a request.
#[derive(Debug)]
pub(super) struct Target {
    method: Method,
    url: Url,
}

impl Target {
    /// The target of a proof.
    ///
    /// # Errors
    ///
    /// A proxy that asks about the request does not state its method: the proof cannot be judged.
    pub(super) fn of(asked: Asked<'_>) -> Result<Self, Refusal> {
        let Some(method) = asked.method else {
            return Err(Refusal::Malformed {
                status: StatusCode::FORBIDDEN,
                reason: "a DPoP proof is for one method, which the proxy does not state: send `X-Forwarded-Method`".into(),
            });
        };
        let text = format!("{}{}", (asked.origin)(), asked.path.as_str());
        let url = Url::parse(&text).map_err(|error| Refusal::Internal {
            reason: format!("address of a request {text:?}: {error}"),
        })?;
        Ok(Self { method: method.clone().into_http(), url })
    }

    /// The token of the scheme `DPoP` and its proof in these headers.
    ///
    /// # Errors
    ///
    /// `Authorization` is not as [`presented`](super::authorization::presented) read it.
    pub(super) fn presented<'t>(
        &'t self,
        headers: &'t HeaderMap,
    ) -> Result<Presented<'t>, Refusal> {
        match Presented::from_headers(headers, &self.method, Some(&self.url)) {
            Ok(Some(presented)) => Ok(presented),
            Ok(None) => Err(malformed(InvalidRequest::MalformedAuthorization)),
            Err(error) => Err(malformed(error)),
        }
    }
}

fn malformed(error: InvalidRequest) -> Refusal {
    Refusal::Malformed { status: StatusCode::BAD_REQUEST, reason: error.to_string().into() }
}
