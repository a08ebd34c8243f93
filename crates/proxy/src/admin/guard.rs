//! Decides which requests may use the admin listener.
//!
//! Probes and metrics are open, by any `Host`, because kubelet and Prometheus ask by address. Every other path, including one
//! that serves nothing, needs a `Host` that fits the listener, must not come from a browser's page, and needs the admin token;
//! without a configured token it is served on a loopback listener only. A token that cannot be read admits no request.

use std::net::SocketAddr;

use axum::{
    http::{
        HeaderMap, StatusCode, Version,
        header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use http_canonical::CanonicalHost;
use oidc_core::Secret;

use crate::config::AdminConfig;

/// Paths that are open to every caller.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The rules of one admin listener.
#[derive(Debug)]
pub(super) struct Guard {
    config: AdminConfig,
    port: u16,
    loopback: bool,
}

/// Reasons a request to the admin listener is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    /// No host, several, or an invalid one.
    #[error("invalid Host: send exactly one, well formed")]
    Host,
    /// A name that a page's owner may have pointed here (DNS rebinding).
    #[error(
        "foreign Host: this listener is on a loopback address; ask for localhost, 127.0.0.1 or [::1], \
         with its own port or none"
    )]
    ForeignHost,
    /// A browser's page sent it.
    #[error("cross-site request: this listener serves no pages and takes no requests from any")]
    Page,
    /// Other machines can reach this listener, and no token is configured.
    #[error(
        "missing configuration `admin.token`: beyond a loopback address only /healthz, /readyz and \
         /metrics are served without it"
    )]
    Unprotected,
    /// No token, or several, or another scheme.
    #[error("missing token: send the admin token as `Authorization: Bearer`")]
    NoToken,
    /// Another token.
    #[error("invalid token: this is not the admin token")]
    WrongToken,
    /// The configured token cannot be read; the log says why.
    #[error("the admin token cannot be read: see the gateway's log")]
    Unreadable,
}

impl Guard {
    /// The rules for a listener that is bound to `bound`.
    pub(super) fn new(config: AdminConfig, bound: SocketAddr) -> Self {
        let loopback = bound.ip().to_canonical().is_loopback();
        Self { config, port: bound.port(), loopback }
    }

    /// Admits or refuses a request.
    pub(super) async fn admit(&self, request: &Parts) -> Result<(), Denied> {
        if OPEN.contains(&request.uri.path()) {
            return Ok(());
        }
        let host = host(request)?;
        if self.loopback && !self.is_here(&host) {
            return Err(Denied::ForeignHost);
        }
        if is_from_a_page(&request.headers) {
            return Err(Denied::Page);
        }
        if self.config.token.is_none() {
            return if self.loopback { Ok(()) } else { Err(Denied::Unprotected) };
        }
        let presented = bearer(&request.headers).ok_or(Denied::NoToken)?;
        match self.token().await? {
            token if token.matches(presented) => Ok(()),
            _ => Err(Denied::WrongToken),
        }
    }

    fn is_here(&self, host: &CanonicalHost) -> bool {
        host.port().is_none_or(|port| port == self.port) && host.is_loopback()
    }

    /// The current token; a changed file takes effect at once.
    async fn token(&self) -> Result<Secret, Denied> {
        let config = self.config.clone();
        match tokio::task::spawn_blocking(move || config.read_token()).await {
            Ok(Ok(Some(token))) => Ok(token),
            Ok(Ok(None)) | Err(_) => Err(Denied::Unreadable),
            Ok(Err(error)) => {
                tracing::error!(%error, "the admin token cannot be used; requests that need it are refused");
                Err(Denied::Unreadable)
            }
        }
    }
}

impl Denied {
    fn status(self) -> StatusCode {
        match self {
            Self::Host => StatusCode::BAD_REQUEST,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Page | Self::Unprotected => StatusCode::FORBIDDEN,
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::Unreadable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let answer = (self.status(), format!("{self}\n"));
        match self {
            Self::NoToken => {
                ([(WWW_AUTHENTICATE, r#"Bearer realm="doorward admin""#)], answer).into_response()
            }
            Self::WrongToken => {
                let challenge = r#"Bearer realm="doorward admin", error="invalid_token""#;
                ([(WWW_AUTHENTICATE, challenge)], answer).into_response()
            }
            _ => answer.into_response(),
        }
    }
}

/// The host of a request. A target in absolute form and `Host` must agree; HTTP/2 has it in the target alone.
fn host(request: &Parts) -> Result<CanonicalHost, Denied> {
    let parse = |text: &str| text.parse::<CanonicalHost>().map_err(|_| Denied::Host);
    let target = request.uri.authority().map(|authority| parse(authority.as_str())).transpose()?;
    let mut fields = request.headers.get_all(HOST).iter();
    let field =
        fields.next().map(|value| parse(value.to_str().map_err(|_| Denied::Host)?)).transpose()?;
    if fields.next().is_some() {
        return Err(Denied::Host);
    }
    match (field, target) {
        (Some(field), Some(target)) if field != target => Err(Denied::Host),
        (Some(field), _) => Ok(field),
        (None, Some(target)) if request.version > Version::HTTP_11 => Ok(target),
        (None, _) => Err(Denied::Host),
    }
}

/// Whether a browser's page sent these headers. This listener serves no pages, so every page is a foreign one.
fn is_from_a_page(headers: &HeaderMap) -> bool {
    let own =
        |value: &axum::http::HeaderValue| matches!(value.as_bytes(), b"none" | b"same-origin");
    headers.contains_key(ORIGIN) || !headers.get_all("sec-fetch-site").iter().all(own)
}

/// The token of the only `Authorization` field.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (scheme, token) = fields.next()?.to_str().ok()?.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let one = fields.next().is_none() && scheme.eq_ignore_ascii_case("bearer");
    (one && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests;
