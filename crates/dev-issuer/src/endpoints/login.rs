//! The login page and its form.
//!
//! Every login begins a new session with a new cookie, so that a session cookie planted by an attacker
//! is never used (session fixation).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;

use crate::authorization;
use crate::endpoints::authorization::refused;
use crate::endpoints::browser::{browser_of, purpose_of_form, with_cookies};
use crate::endpoints::see_other;
use crate::forms::Purpose;
use crate::pages;
use crate::params::Params;
use crate::path;
use crate::provider::Provider;
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
    let Some(Purpose::Login(request)) = purpose_of_form(&provider, &headers, csrf) else {
        return pages::expired();
    };
    let Some(user) = authenticated_user(&provider, &form) else {
        let typed = form.value("username").unwrap_or_default().to_owned();
        return show(&provider, &headers, Purpose::Login(request), Some(&typed));
    };
    provider.forms.close(csrf);
    let session = provider.begin_session_for(&request, &user.username);
    let response = match authorization::grant(&provider, &request, &session) {
        Ok(url) => see_other(url.as_str()),
        Err(refusal) => return refused(&provider, refusal),
    };
    with_cookies(response, [provider.cookies.set_session(&session.cookie)])
}

/// The person who typed their password, or chose their demo account with one click.
pub(crate) fn authenticated_user(provider: &Provider, form: &Params) -> Option<User> {
    if let Some(chosen) = form.value("account") {
        return provider.registry.user(chosen).filter(|user| user.password.is_some());
    }
    let user = provider.registry.user(form.value("username")?.trim())?;
    user.has_password(form.value("password")?).then_some(user)
}
