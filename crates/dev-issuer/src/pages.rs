//! The provider's pages: rendered here, with one style sheet and without scripts.

use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{HeaderName, StatusCode};

use crate::user::User;

/// Style sheet in every page. The policy below allows exactly this text as a style.
const STYLE: &str = include_str!("../pages/style.css");

/// Content Security Policy that allows the page, its style sheet, its form and `data:` images only.
/// `form-action` names schemes instead of hosts: browsers apply it to the redirects after a login too,
/// and those lead through the client to any host.
static CSP: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; \
         form-action http: https:; frame-ancestors 'none'; base-uri 'none'"
    )
});

#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct Login {
    pub(crate) action: String,
    pub(crate) csrf: String,
    pub(crate) client: String,
    pub(crate) username: String,
    pub(crate) failed: bool,
    pub(crate) accounts: Vec<Account>,
}

/// A demo account, shown with its password on the login page.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) initial: String,
    pub(crate) roles: String,
}

impl Account {
    pub(crate) fn of(users: &[User]) -> Vec<Self> {
        let with_password = users.iter().filter_map(|user| Some((user, user.password.clone()?)));
        with_password
            .map(|(user, password)| Self {
                username: user.username.clone(),
                password,
                initial: user.name.chars().next().map(String::from).unwrap_or_default(),
                roles: user.roles.join(", "),
            })
            .collect()
    }
}

#[derive(Template)]
#[template(path = "device.html")]
pub(crate) struct Device {
    pub(crate) action: String,
    pub(crate) csrf: String,
    pub(crate) client: String,
    pub(crate) user_code: String,
    pub(crate) signed_in_as: String,
    pub(crate) problem: String,
}

#[derive(Template)]
#[template(path = "confirm_logout.html")]
pub(crate) struct ConfirmLogout {
    pub(crate) action: String,
    pub(crate) csrf: String,
    pub(crate) username: String,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    hint: &'a str,
    is_problem: bool,
}

impl Login {
    pub(crate) fn into_response(self) -> Response {
        respond(StatusCode::OK, &self)
    }
}

impl Device {
    pub(crate) fn into_response(self) -> Response {
        respond(StatusCode::OK, &self)
    }
}

impl ConfirmLogout {
    pub(crate) fn into_response(self) -> Response {
        respond(StatusCode::OK, &self)
    }
}

/// Answer to a request that cannot be served, and must not be redirected to the client.
pub(crate) fn refused(title: &str, why: &str) -> Response {
    let hint = "Compare the request with how the client is registered at this provider.";
    respond(StatusCode::BAD_REQUEST, &Message { title, text: why, hint, is_problem: true })
}

/// Answer to a form that came too late, twice, or from another browser.
pub(crate) fn expired() -> Response {
    respond(
        StatusCode::BAD_REQUEST,
        &Message {
            title: "This page has expired",
            text: "It was answered already, waited too long, or your browser sent no cookie.",
            hint: "Go back to the application and begin again.",
            is_problem: true,
        },
    )
}

pub(crate) fn signed_out() -> Response {
    done("You are signed out", "Your session at this provider has ended.")
}

pub(crate) fn device_allowed() -> Response {
    done("Your device is connected", "It continues by itself in a few seconds.")
}

pub(crate) fn device_denied() -> Response {
    done("Refused", "The device gets no access.")
}

fn done(title: &str, text: &str) -> Response {
    let hint = "You can close this page.";
    respond(StatusCode::OK, &Message { title, text, hint, is_problem: false })
}

fn respond(status: StatusCode, page: &impl Template) -> Response {
    let html = match page.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "page not rendered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let headers: [(HeaderName, &str); 4] = [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, &CSP),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    (status, headers, Html(html)).into_response()
}
