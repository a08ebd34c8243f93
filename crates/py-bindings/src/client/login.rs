//! The request that begins a login, from the arguments of Python; the answer that ends it.

use std::collections::BTreeMap;

use oidc_core::login::callback::CallbackRefusal;
use oidc_core::login::{Login, LoginError, LoginRequest, PendingLogin};
use py_values::{Span, Texts};
use pyo3::prelude::*;
use url::Url;

use super::errors_of_login;
use crate::errors;

/// Names and values that a caller adds to the authorization request.
pub(super) type Parameters = BTreeMap<String, String>;

/// The request of a login: `(scope, acr_values)` as lists, single texts by their names.
pub(super) fn request(
    py: Python<'_>,
    redirect_uri: &str,
    (scope, acr_values): (Option<Texts>, Option<Texts>),
    max_age: Option<Span>,
    texts: [(&str, Option<&str>); 2],
    parameters: Option<Parameters>,
) -> PyResult<LoginRequest> {
    let mut request = LoginRequest::new(address(py, "redirect_uri", redirect_uri)?);
    let words = |texts: Vec<String>| {
        let words: Vec<_> = texts.iter().flat_map(|text| text.split_whitespace()).collect();
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    if let Some(Texts(scope)) = scope {
        request = request.with_scopes(words(scope).into_iter().filter(|word| word != "openid"));
    }
    if let Some(Texts(values)) = acr_values {
        request = request.with_acr_values(words(values));
    }
    if let Some(Span(max_age)) = max_age {
        request = request.with_max_age(max_age);
    }
    for (name, value) in texts {
        request = match value {
            Some(value) => request.with_parameter(name, value),
            None => request,
        };
    }
    for (name, value) in parameters.unwrap_or_default() {
        if LoginRequest::sets(&name) {
            let message = format!("the login itself sets {name:?}");
            let remedy = "leave it out of parameters=".to_owned();
            return Err(errors::configuration(py, "parameters", message, remedy));
        }
        request = request.with_parameter(&name, &value);
    }
    Ok(request)
}

/// An absolute `http` or `https` address.
pub(super) fn address(py: Python<'_>, name: &str, text: &str) -> PyResult<Url> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.filter(|url| url.fragment().is_none()).ok_or_else(|| {
        let message = format!("{name} {text:?} is no absolute address without a fragment");
        let remedy = "pass it as registered at the issuer, like https://app.example/callback";
        errors::configuration(py, name, message, remedy.to_owned())
    })
}

/// Checks the browser's answer, exchanges its code and verifies the ID token.
pub(super) async fn finish(
    client: &oidc_core::Client,
    query: &str,
    pending: &PendingLogin,
) -> Result<Login, Unfinished> {
    let code = client.parse_callback(query, pending).await.map_err(Unfinished::Callback)?;
    client.finish_login(code, pending).await.map_err(Unfinished::Login)
}

/// Reason a login did not finish.
pub(super) enum Unfinished {
    /// The browser's answer is not accepted.
    Callback(CallbackRefusal),
    /// The code was not exchanged, or the ID token is not accepted.
    Login(LoginError),
}

impl Unfinished {
    pub(super) fn raised(&self, py: Python<'_>) -> PyErr {
        match self {
            Self::Callback(refusal) => errors_of_login::callback(py, refusal),
            Self::Login(error) => errors_of_login::login(py, error),
        }
    }
}
