//! Device authorization ([RFC 8628 §3.1 to §3.3]): the device gets a code, and a person types it here.
//!
//! A link that contains the code only fills in the field: the person always sees the client's name, and
//! allows or refuses.
//!
//! [RFC 8628 §3.1 to §3.3]: https://www.rfc-editor.org/rfc/rfc8628#section-3.1

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use serde_json::json;

use crate::client_auth;
use crate::devices;
use crate::endpoints::browser::{browser_of, purpose_of_form, session_of, with_cookies};
use crate::endpoints::login::authenticated_user;
use crate::forms::Purpose;
use crate::oauth_error::OAuthError;
use crate::pages;
use crate::params::Params;
use crate::path;
use crate::pkce::Challenge;
use crate::provider::Provider;
use crate::sessions::Session;

/// Begins an authorization for the device.
pub(crate) async fn authorize(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let params = client_auth::form(&headers, &body)?;
    let client = client_auth::authenticate(&provider, &headers, &params)?;
    let scope = client
        .grant_scope(params.value("scope").unwrap_or_default())
        .map_err(OAuthError::InvalidScope)?;
    let challenge =
        Challenge::read(&params).map_err(|why| OAuthError::InvalidRequest(why.to_owned()))?;
    let now = provider.clock.now();
    let (device_code, user_code) = provider.devices.begin(&client.id, scope, challenge, now);
    let page = provider.at(path::DEVICE_VERIFICATION);
    let body = json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?user_code={user_code}"),
        "expires_in": devices::LIFETIME.as_secs(),
        "interval": devices::INTERVAL.as_secs(),
    });
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Shows the page to the person.
pub(crate) async fn show(
    State(provider): State<Arc<Provider>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = Params::parse(query.unwrap_or_default().as_bytes());
    let code = query.value("user_code").unwrap_or_default();
    page(&provider, &headers, code, session_of(&provider, &headers).as_ref(), None)
}

/// Handles the person's answer.
pub(crate) async fn answer(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Params::parse(&body);
    let csrf = form.value("csrf").unwrap_or_default();
    let Some(Purpose::Device) = purpose_of_form(&provider, &headers, csrf) else {
        return pages::expired();
    };
    let code = form.value("user_code").unwrap_or_default();
    let now = provider.clock.now();
    let session = session_of(&provider, &headers);
    if provider.devices.waiting(code, now).is_none() {
        let problem = "No device is waiting under this code. Compare it with your device.";
        return page(&provider, &headers, code, session.as_ref(), Some(problem));
    }
    if form.value("answer") == Some("deny") {
        provider.devices.answer(code, None, now);
        return pages::device_denied();
    }
    let (session, fresh) = match (session, authenticated_user(&provider, &form)) {
        (_, Some(user)) => {
            let session = provider.begin_session(&user.username);
            let cookie = provider.cookies.set_session(&session.cookie);
            (session, cookie)
        }
        (Some(session), None) if form.value("username").is_none() => (session, None),
        _ => {
            let problem = "Wrong username or password.";
            return page(&provider, &headers, code, None, Some(problem));
        }
    };
    provider.forms.close(csrf);
    provider.devices.answer(code, Some(session.id), now);
    with_cookies(pages::device_allowed(), [fresh])
}

fn page(
    provider: &Provider,
    headers: &HeaderMap,
    code: &str,
    session: Option<&Session>,
    problem: Option<&str>,
) -> Response {
    let (browser, fresh) = browser_of(provider, headers);
    let now = provider.clock.now();
    let device = provider.devices.waiting(code, now);
    let page = pages::Device {
        action: provider.at(path::DEVICE_VERIFICATION),
        csrf: provider.forms.show(&browser, Purpose::Device, now),
        client: device.map(|device| device.client).unwrap_or_default(),
        user_code: code.to_owned(),
        signed_in_as: session.map(|session| session.username.clone()).unwrap_or_default(),
        problem: problem.unwrap_or_default().to_owned(),
    };
    with_cookies(page.into_response(), [fresh])
}
