//! The login page and its form.
//!
//! Every login begins a new session with a new cookie, so that a session cookie planted by an attacker
//! is never used (session fixation).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::endpoints::see_other;
use crate::forms::Purpose;
use crate::pages;
use crate::params::Params;
use crate::provider::Provider;
use crate::server::path;
use crate::sessions::Session;
use crate::tokens::random_handle;
use crate::user::User;

/// Shows the page; `failed` is the name that was typed in a failed attempt.
pub(crate) fn show(
    provider: &Provider,
    headers: &HeaderMap,
    purpose: Purpose,
    failed: Option<&str>,
) -> Response {
    let (client, hint) = match &purpose {
        Purpose::Login(request) => (request.client.id.clone(), request.login_hint.clone()),
        Purpose::Device | Purpose::Logout(_) => (String::new(), None),
    };
    let (browser, fresh) = browser_of(provider, headers);
    let csrf = provider.forms.show(&browser, purpose, provider.clock.now());
    let users = provider.registry.users();
    let page = pages::Login {
        action: provider.at(path::LOGIN),
        csrf,
        client,
        username: failed.map(str::to_owned).or(hint).unwrap_or_default(),
        failed: failed.is_some(),
        accounts: pages::Account::of(&users),
    };
    with_cookies(page.into_response(), [fresh])
}

pub(crate) async fn submit(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Params::parse(&body);
    let csrf = form.value("csrf").unwrap_or_default();
    let Some(Purpose::Login(request)) = shown(&provider, &headers, csrf) else {
        return pages::expired();
    };
    let Some(user) = who_signs_in(&provider, &form) else {
        let typed = form.value("username").unwrap_or_default().to_owned();
        return show(&provider, &headers, Purpose::Login(request), Some(&typed));
    };
    provider.forms.close(csrf);
    let session = provider.begin_session(&user.username);
    let response = match request.grant(&provider, &session) {
        Ok(url) => see_other(url.as_str()),
        Err(refusal) => return refusal.into_response(&provider),
    };
    with_cookies(response, [provider.cookies.set_session(&session.cookie)])
}

/// Purpose of the page with this `csrf`, if it was shown to this browser.
pub(crate) fn shown(provider: &Provider, headers: &HeaderMap, csrf: &str) -> Option<Purpose> {
    let browser = provider.cookies.browser(headers)?;
    provider.forms.check(csrf, &browser, provider.clock.now())
}

/// The person who typed their password, or chose their demo account with one click.
pub(crate) fn who_signs_in(provider: &Provider, form: &Params) -> Option<User> {
    if let Some(chosen) = form.value("account") {
        return provider.registry.user(chosen).filter(|user| user.password.is_some());
    }
    let user = provider.registry.user(form.value("username")?.trim())?;
    user.has_password(form.value("password")?).then_some(user)
}

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

pub(crate) fn with_cookies<const N: usize>(
    mut response: Response,
    cookies: [Option<HeaderValue>; N],
) -> Response {
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}
