//! Logout that a client requests ([OpenID Connect RP-Initiated Logout 1.0]).
//!
//! With an `id_token_hint` of the browser's session the logout needs no confirmation; otherwise the
//! person confirms. The browser is redirected only to a URI that is registered for the client that the
//! hint or `client_id` names.
//!
//! [OpenID Connect RP-Initiated Logout 1.0]: https://openid.net/specs/openid-connect-rpinitiated-1_0.html

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use url::Url;

use crate::client_auth;
use crate::endpoints::login::{browser_of, session_of, shown, with_cookies};
use crate::endpoints::see_other;
use crate::forms::Purpose;
use crate::jws;
use crate::oauth_error::OAuthError;
use crate::pages;
use crate::params::Params;
use crate::provider::Provider;
use crate::server::path;
use crate::sessions::Session;

/// A checked logout request.
#[derive(Clone, Debug)]
pub(crate) struct LogoutRequest {
    /// Session that the hint names.
    hinted: Option<String>,
    onward: Option<Url>,
}

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
    let request = match LogoutRequest::read(provider, params) {
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
    let Some(Purpose::Logout(request)) = shown(&provider, &headers, csrf) else {
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

impl LogoutRequest {
    fn read(provider: &Provider, params: &Params) -> Result<Self, String> {
        let hint = match params.value("id_token_hint") {
            Some(token) => {
                let claims = jws::open(token, &provider.keys)
                    .map_err(|_| "id_token_hint is not a token of this provider.".to_owned())?;
                if jws::text(&claims, "typ") != Some("ID") {
                    return Err("id_token_hint is not an ID token.".to_owned());
                }
                Some(claims)
            }
            None => None,
        };
        let by_hint = hint.as_ref().and_then(|claims| jws::text(claims, "azp"));
        let named = params.value("client_id");
        if let (Some(by_hint), Some(named)) = (by_hint, named)
            && by_hint != named
        {
            return Err("client_id is not the client that id_token_hint was issued to.".to_owned());
        }
        let client = by_hint.or(named).and_then(|id| provider.registry.client(id));
        let onward = match params.value("post_logout_redirect_uri") {
            None => None,
            Some(uri) => {
                let client = client.ok_or(
                    "post_logout_redirect_uri needs id_token_hint or client_id beside it.",
                )?;
                if !client.may_leave_to(uri) {
                    return Err(format!(
                        "{uri:?} is not a post-logout redirect URI of client {:?}.",
                        client.id
                    ));
                }
                Some(with_state(uri, params.value("state"))?)
            }
        };
        let hinted = hint.as_ref().and_then(|claims| jws::text(claims, "sid")).map(str::to_owned);
        Ok(Self { hinted, onward })
    }
}

fn with_state(uri: &str, state: Option<&str>) -> Result<Url, String> {
    let mut url = Url::parse(uri)
        .map_err(|error| format!("post_logout_redirect_uri cannot be parsed: {error}."))?;
    if let Some(state) = state {
        url.query_pairs_mut().append_pair("state", state);
    }
    Ok(url)
}
