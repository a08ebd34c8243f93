//! Errors of a login → Python exceptions: one match for each error of `oidc_core::login`.

use oidc_core::TokenRefusal;
use oidc_core::client::TokenEndpointError;
use oidc_core::http::FetchError;
use oidc_core::login::callback::CallbackRefusal;
use oidc_core::login::{LoginError, UserInfoError};
use oidc_core::provider::ProviderError;
use pyo3::prelude::*;

use crate::errors;

/// The provider cannot be used, now or until a configuration is corrected.
pub(super) fn provider(py: Python<'_>, error: &ProviderError) -> PyErr {
    match error {
        ProviderError::Unavailable(error) => {
            errors::unavailable_for_now(py, &error.to_string(), Some(error.retry_after))
        }
        mistake => errors::token_request(py, &TokenEndpointError::from(mistake.clone()).into()),
    }
}

/// A login that did not begin, or whose code brought no tokens.
pub(super) fn login(py: Python<'_>, error: &LoginError) -> PyErr {
    match error {
        LoginError::Provider(error) => provider(py, error),
        LoginError::NotSupported { endpoint } => {
            let error = TokenEndpointError::NotSupported { endpoint };
            errors::token_request(py, &error.into())
        }
        LoginError::PushedAuthorization(error) | LoginError::Token(error) => {
            errors::token_request(py, &error.clone().into())
        }
        LoginError::IdToken(refusal) => errors::refusal(py, refusal),
        LoginError::NoIdToken => {
            let remedy = "allow the scope openid for this client at the issuer";
            errors::login_refused(py, "no_id_token", &error.to_string(), remedy, None)
        }
        error => {
            let remedy = "begin the login again";
            errors::login_refused(py, "login", &error.to_string(), remedy, None)
        }
    }
}

/// An answer of the browser that is not accepted.
pub(super) fn callback(py: Python<'_>, refusal: &CallbackRefusal) -> PyErr {
    let remedy = "begin the login again";
    let (code, message) = (refusal.code(), refusal.to_string());
    match refusal {
        CallbackRefusal::Unavailable(error) => provider(py, error),
        CallbackRefusal::Response(refused) if refused.is_unavailable() => {
            errors::refusal(py, refused)
        }
        CallbackRefusal::Provider { error, description } => {
            let facts = Some((error.as_str(), description.as_deref()));
            errors::login_refused(py, code, &message, remedy, facts)
        }
        _ => errors::login_refused(py, code, &message, remedy, None),
    }
}

/// There are no UserInfo claims.
pub(super) fn user_info(py: Python<'_>, error: &UserInfoError) -> PyErr {
    match error {
        UserInfoError::Provider(error) => provider(py, error),
        UserInfoError::Fetch(error) => {
            let retry_after = FetchError::retry_after(error);
            errors::unavailable_for_now(py, &error.to_string(), retry_after)
        }
        UserInfoError::NotSupported => {
            let error = TokenEndpointError::NotSupported { endpoint: "userinfo_endpoint" };
            errors::token_request(py, &error.into())
        }
        UserInfoError::WrongSubject => errors::refusal(py, &TokenRefusal::WrongSubject),
        UserInfoError::Refused(refusal) => errors::refusal(py, refusal),
        UserInfoError::Encrypted => {
            let reason = error.to_string();
            errors::refusal(py, &TokenRefusal::Malformed { part: "UserInfo", reason })
        }
        UserInfoError::Unauthorized => {
            let (error, status) = ("invalid_token".to_owned(), 401);
            let error = TokenEndpointError::OAuth { error, description: None, status };
            errors::token_request(py, &error.into())
        }
        error => errors::unavailable_for_now(py, &error.to_string(), None),
    }
}
