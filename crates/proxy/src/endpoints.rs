//! The gateway's own URLs, all under one prefix (`/oauth2`), on every host it serves.
//!
//! | URL | method | purpose |
//! |---|---|---|
//! | `start?rd=&issuer=` | GET | begins a login |
//! | `callback` | GET | finishes it |
//! | `sign_in?rd=` | GET | a page to choose where to sign in |
//! | `sign_out` | GET, POST | GET asks; POST ends the session here and at the provider |
//! | `signed_out` | GET | the page to which the provider sends the browser back |
//! | `auth` | any | forward-auth for nginx, Traefik, Caddy |
//! | `userinfo` | GET | the caller's identity, as JSON |
//! | `session` | GET | the end of the session, as JSON |
//! | `session/refresh` | POST | refreshes the session's tokens now |
//! | `backchannel_logout` | POST | the provider ends sessions |
//! | `frontchannel_logout?iss=&sid=` | GET | the provider's page ends a session |
//! | `keys` | GET, POST | the user's API keys; POST makes one |
//! | `keys/end` | POST | ends one of the user's API keys |
//! | `portal` | GET | the services this user may open |
//! | `registry_token` | GET | the token of a client of a container registry |
//! | `jwks` | GET | keys of the identity assertion |

pub mod auth;
pub mod backchannel_logout;
mod call;
mod frontchannel_logout;
pub mod callback;
pub mod jwks;
mod keys;
mod login_refusal;
pub mod portal;
pub mod registry_token;
pub mod return_to;
mod router;
pub mod session;
pub mod sign_out;
mod start;
pub mod userinfo;

use std::sync::Arc;

use access_policy::{Caller, Known};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use http_canonical::{CanonicalHost, CanonicalPath, Scheme};
use oidc_core::Clock;
use url::Url;
use web_sessions::{ApiKeys, Cookies, Keys, LiveSession, Logins, Sessions, SetCookies};

pub(crate) use self::call::Call;
pub use self::router::OwnUrls;
pub(crate) use self::start::Visit;
use crate::{
    forward::{Assertions, OnBehalf},
    identify::{Identify, Sender, authorization::Takes, issuers::Issuers, possession::Asked},
    listen::CanonicalRequest,
    refusal::Refusal,
    route::Routes,
    throttle::Throttle,
};

/// The longest form a browser or provider posts to the gateway, in bytes.
const FORM_LIMIT: usize = 64 * 1024;

/// State and services behind the gateway's own URLs.
#[derive(Debug)]
pub struct Endpoints {
    pub(crate) prefix: String,
    /// The same as a path.
    pub(crate) prefix_path: CanonicalPath,
    pub(crate) public_url: Url,
    pub(crate) routes: Arc<Routes>,
    pub(crate) issuers: Arc<Issuers>,
    pub(crate) identify: Arc<Identify>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) cookies: Cookies,
    pub(crate) logins: Logins,
    pub(crate) keys: Arc<Keys>,
    pub(crate) assertions: Arc<Assertions>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) on_behalf: OnBehalf,
    pub(crate) lifetime: std::time::Duration,
    pub(crate) seen_logout_tokens: backchannel_logout::SeenLogoutTokens,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) api_keys: Arc<ApiKeys>,
}

impl Endpoints {
    /// The name of the gateway's own URL at a path as it is compared, if it is one: `callback` for `/oauth2/callback`.
    pub fn name_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(self.prefix_path.compared())?.strip_prefix('/')
    }

    /// Whether a path is that of forward-auth questions.
    pub(crate) fn is_question(&self, path: &str) -> bool {
        self.name_of(path) == Some("auth")
    }

    /// The origin of the gateway's pages on a host it serves. Host names come from the configuration's patterns, scheme and
    /// port from `public_url`; no other text of a client goes into a redirect.
    pub(crate) fn origin(&self, host: &CanonicalHost) -> String {
        let scheme = self.public_url.scheme();
        match self.public_url.port() {
            Some(port) => format!("{scheme}://{}:{port}", host.name()),
            None => format!("{scheme}://{}", host.name()),
        }
    }

    /// One of the gateway's own URLs on a host.
    pub(crate) fn own_url(&self, host: &CanonicalHost, name: &str) -> Result<Url, Refusal> {
        let text = format!("{}{}/{name}", self.origin(host), self.prefix);
        Url::parse(&text)
            .map_err(|error| Refusal::Internal { reason: format!("own URL {text:?}: {error}") })
    }

    /// The session of a request, if there is one. Its tokens need not be fresh, and asking does not count as activity.
    pub(crate) async fn session_of(
        &self,
        request: &CanonicalRequest,
    ) -> Result<Option<Arc<LiveSession>>, Refusal> {
        match self.cookies.session_ticket(request.headers()) {
            Some(ticket) => Ok(self.sessions.peek(&ticket).await?),
            None => Ok(None),
        }
    }

    /// The sender of a request. Cookies that identification sets go with the answer.
    pub(crate) async fn sender(
        &self,
        call: &Call,
        asked: Asked<'_>,
        takes: Takes<'_>,
    ) -> Result<Sender, Refusal> {
        let mut cookies = SetCookies::default();
        let sender = self.identify.sender(&call.request, asked, takes, &mut cookies).await;
        call.notes.set_cookies(cookies);
        sender.inspect(|sender| {
            call.notes.sent_by(sender);
            call.notes.next_nonce(self.identify.next_nonce(sender));
        })
    }

    /// The sender of a request for one of the gateway's own URLs.
    pub(crate) async fn own_sender(
        &self,
        call: &Call,
        takes: Takes<'_>,
    ) -> Result<Sender, Refusal> {
        let asked = Asked {
            method: Some(call.request.method()),
            origin: &|| self.origin(call.request.host()),
            path: call.request.path(),
        };
        self.sender(call, asked, takes).await
    }

    /// The same for a URL that does not accept an application's own token.
    pub(crate) async fn sender_here(&self, call: &Call) -> Result<Sender, Refusal> {
        let mut sender = self.own_sender(call, Takes::BEARER).await?;
        match sender.unread.take() {
            Some(refusal) => Err(refusal.into()),
            None => Ok(sender),
        }
    }

    /// The caller, or a challenge if there is no identity.
    pub(crate) async fn known_caller(&self, call: &Call) -> Result<Arc<Known>, Refusal> {
        match self.sender_here(call).await?.caller {
            Caller::Known(known) => Ok(known),
            Caller::Anonymous => Err(sign_in_needed(call)),
        }
    }

    /// Refuses a form that, by the browser's `Origin` or `Sec-Fetch-Site`, did not come from one of the gateway's own pages.
    pub(crate) fn same_origin(&self, request: &CanonicalRequest) -> Result<(), Refusal> {
        let own = self.origin(request.host());
        match request.headers().get(header::ORIGIN) {
            Some(origin) if origin.as_bytes() == own.as_bytes() => Ok(()),
            Some(origin) => Err(Refusal::ForeignOrigin {
                origin: String::from_utf8_lossy(origin.as_bytes()).chars().take(200).collect(),
            }),
            None => match request.headers().get("sec-fetch-site") {
                Some(site) if site != "same-origin" => Err(Refusal::ForeignOrigin {
                    origin: String::from_utf8_lossy(site.as_bytes()).chars().take(200).collect(),
                }),
                _ => Ok(()),
            },
        }
    }
}

/// A challenge: none of these URLs redirects a program to sign in.
pub(crate) fn sign_in_needed(call: &Call) -> Refusal {
    Refusal::LoginNeeded {
        route: "doorward".to_owned(),
        redirect: false,
        return_to: call.context.return_to.clone(),
        level: None,
    }
}

/// The scheme `public_url` names.
pub(crate) fn browser_scheme(public_url: &Url) -> Scheme {
    if public_url.scheme() == "https" { Scheme::Https } else { Scheme::Http }
}

/// Reads a posted form, bounded.
pub(crate) async fn read_form(body: Body) -> Result<Bytes, Refusal> {
    match Limited::new(body, FORM_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(_) => Err(Refusal::BodyTooLarge { limit: FORM_LIMIT as u64 }),
    }
}

/// The value of an optional parameter of a query or a posted form.
///
/// # Errors
///
/// [`Refusal::Malformed`] for a parameter that occurs more than once: two readers could take different values.
pub fn parameter(encoded: &[u8], name: &str) -> Result<Option<String>, Refusal> {
    let mut values = url::form_urlencoded::parse(encoded)
        .filter_map(|(key, value)| (key == name).then(|| value.into_owned()));
    let first = values.next();
    if values.next().is_some() {
        return Err(Refusal::Malformed {
            status: StatusCode::BAD_REQUEST,
            reason: format!("the parameter `{name}` occurs twice").into(),
        });
    }
    Ok(first)
}

/// An answer of JSON.
pub(crate) fn json(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
