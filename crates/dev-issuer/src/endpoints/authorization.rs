//! The authorization endpoint ([OpenID Connect Core 1.0 §3.1.2], [RFC 6749 §4.1]).
//!
//! Shows an error on a page here until the redirect URI is known to be the client's. After that, the client gets the error,
//! with `state` and `iss`.
//!
//! [OpenID Connect Core 1.0 §3.1.2]: https://openid.net/specs/openid-connect-core-1_0.html#AuthorizationEndpoint
//! [RFC 6749 §4.1]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;

use crate::authorization;
use crate::authorization_request::{AuthorizationRequest, Refusal};
use crate::endpoints::browser::session_of;
use crate::endpoints::{login, see_other};
use crate::forms::Purpose;
use crate::pages;
use crate::params::Params;
use crate::provider::Provider;
use crate::sessions::Session;

pub(crate) async fn get(
    State(provider): State<Arc<Provider>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    answer(&provider, Params::parse(query.unwrap_or_default().as_bytes()), &headers)
}

pub(crate) async fn post(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&provider, Params::parse(&body), &headers)
}

fn answer(provider: &Provider, params: Params, headers: &HeaderMap) -> Response {
    let request = match authorization::read(provider, params) {
        Ok(request) => request,
        Err(refusal) => return refused(provider, refusal),
    };
    match session_of(provider, headers) {
        Some(session) if is_enough(provider, &session, &request) => {
            match authorization::grant(provider, &request, &session) {
                Ok(url) => see_other(url.as_str()),
                Err(refusal) => refused(provider, refusal),
            }
        }
        _ if request.forbids_pages => {
            let why = "No user is signed in, and prompt=none forbids a login page";
            refused(provider, Refusal::to(&request.target, "login_required", why))
        }
        _ => login::show(provider, headers, Purpose::Login(Box::new(request)), None),
    }
}

/// True if the session's user need not sign in again for this request.
fn is_enough(provider: &Provider, session: &Session, request: &AuthorizationRequest) -> bool {
    request.accepts_login_at(session.auth_time, provider.clock.now())
        && request.accepts_level(&session.level, &provider.sign_in_levels)
        && provider.registry.user(&session.username).is_some()
}

/// Redirects to the client with the error, or shows it on a page.
pub(super) fn refused(provider: &Provider, refusal: Refusal) -> Response {
    match authorization::refusal_url(provider, refusal) {
        Ok(url) => see_other(url.as_str()),
        Err(why) => pages::refused("This sign-in request cannot be served", &why),
    }
}
