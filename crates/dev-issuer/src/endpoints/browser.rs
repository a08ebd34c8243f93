//! Parts of an exchange with a browser: its session, its identifier, the page whose form it answers, and cookies.

use axum::response::Response;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::forms::Purpose;
use crate::identifiers::random_handle;
use crate::provider::Provider;
use crate::sessions::Session;

/// The session of this browser.
pub(crate) fn session_of(provider: &Provider, headers: &HeaderMap) -> Option<Session> {
    let cookie = provider.cookies.session(headers)?;
    provider.sessions.with_cookie(&cookie, provider.clock.now())
}

/// The browser's identifier, and the cookie to set if it had none.
pub(crate) fn browser_of(
    provider: &Provider,
    headers: &HeaderMap,
) -> (String, Option<HeaderValue>) {
    match provider.cookies.browser(headers) {
        Some(known) => (known, None),
        None => {
            let fresh = random_handle();
            let cookie = provider.cookies.set_browser(&fresh);
            (fresh, cookie)
        }
    }
}

/// Purpose of the page with this `csrf`, if it was shown to this browser.
pub(crate) fn purpose_of_form(
    provider: &Provider,
    headers: &HeaderMap,
    csrf: &str,
) -> Option<Purpose> {
    let browser = provider.cookies.browser(headers)?;
    provider.forms.check(csrf, &browser, provider.clock.now())
}

pub(crate) fn with_cookies<const N: usize>(
    mut response: Response,
    cookies: [Option<HeaderValue>; N],
) -> Response {
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}
