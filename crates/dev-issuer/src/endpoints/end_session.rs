//! Logout that a client requests ([OpenID Connect RP-Initiated Logout 1.0]).
//!
//! With an `id_token_hint` of the browser's session the logout needs no confirmation; otherwise the
//! person confirms.
//!
//! [OpenID Connect RP-Initiated Logout 1.0]: https://openid.net/specs/openid-connect-rpinitiated-1_0.html

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::client_auth;
use crate::endpoints::browser::{browser_of, purpose_of_form, session_of, with_cookies};
use crate::endpoints::see_other;
use crate::forms::Purpose;
use crate::jws;
use crate::logout_request::LogoutRequest;
use crate::oauth_error::OAuthError;
use crate::pages;
use crate::params::Params;
use crate::path;
use crate::provider::Provider;
use crate::sessions::Session;

pub(crate) async fn get(
    State(provider): State<Arc<Provider>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    answer(&provider, &Params::parse(query.unwrap_or_default().as_bytes()), &headers).await
}

pub(crate) async fn post(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let params = Params::parse(&body);
    if params.value("refresh_token").is_some() {
        return match by_refresh_token(&provider, &headers, &body).await {
            Ok(()) => StatusCode::NO_CONTENT.into_response(),
            Err(error) => error.into_response(),
        };
    }
    answer(&provider, &params, &headers).await
}

async fn answer(provider: &Provider, params: &Params, headers: &HeaderMap) -> Response {
    let request = match LogoutRequest::read(
        &provider.keys,
        &provider.presented,
        &provider.registry,
        params,
    ) {
        Ok(request) => request,
        Err(why) => return pages::refused("This sign-out request cannot be served", &why),
    };
    let session = session_of(provider, headers);
    let hinted = request.hinted.as_deref();
    let hinted = hinted.and_then(|sid| provider.sessions.live(sid, provider.clock.now()));
    match (hinted, session) {
        (Some(hinted), session) if session.as_ref().is_none_or(|own| own.id == hinted.id) => {
            leave(provider, Some(&hinted), request).await
        }
        (_, Some(session)) => confirm(provider, headers, &session, request),
        (_, None) => leave(provider, None, request).await,
    }
}

fn confirm(
    provider: &Provider,
    headers: &HeaderMap,
    session: &Session,
    request: LogoutRequest,
) -> Response {
    let (browser, fresh) = browser_of(provider, headers);
    let purpose = Purpose::Logout(Box::new(request));
    let page = pages::ConfirmLogout {
        action: provider.at(path::LOGOUT_CONFIRMATION),
        csrf: provider.forms.show(&browser, purpose, provider.clock.now()),
        username: session.username.clone(),
    };
    with_cookies(page.into_response(), [fresh])
}

/// Handles the person's confirmation.
pub(crate) async fn confirmed(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Params::parse(&body);
    let csrf = form.value("csrf").unwrap_or_default();
    let Some(Purpose::Logout(request)) = purpose_of_form(&provider, &headers, csrf) else {
        return pages::expired();
    };
    provider.forms.close(csrf);
    leave(&provider, session_of(&provider, &headers).as_ref(), *request).await
}

async fn leave(provider: &Provider, session: Option<&Session>, request: LogoutRequest) -> Response {
    if let Some(session) = session {
        provider.end_session(session).await;
    }
    let response = match request.onward {
        Some(url) => see_other(url.as_str()),
        None => pages::signed_out(),
    };
    with_cookies(response, [provider.cookies.forget_session()])
}

/// Keycloak's older logout: the client itself ends the session that its refresh token belongs to.
async fn by_refresh_token(
    provider: &Provider,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), OAuthError> {
    const INVALID: OAuthError = OAuthError::InvalidGrant("Invalid refresh token");
    let params = client_auth::form(headers, body)?;
    let client = client_auth::authenticate(provider, headers, &params)?;
    let token = params.value("refresh_token").unwrap_or_default();
    let claims = jws::open_refresh(token, &provider.keys).map_err(|_| INVALID)?;
    if jws::text(&claims, "azp") != Some(client.id.as_str()) {
        return Err(INVALID);
    }
    let sid = jws::text(&claims, "sid").ok_or(INVALID)?;
    if let Some(session) = provider.sessions.live(sid, provider.clock.now()) {
        provider.end_session(&session).await;
    }
    Ok(())
}
