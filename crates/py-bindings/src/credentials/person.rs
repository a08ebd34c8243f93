//! Tokens of a person for a service that goes on when the person's own token has ended.
//!
//! From a token it was shown, the service gets a refresh token of its own in the person's session (RFC 8693 §2.1,
//! `requested_token_type`); with that, fresh access tokens (RFC 6749 §6) until the session ends.

use std::time::{SystemTime, UNIX_EPOCH};

use m2m::TokenError;
use oidc_core::Secret;
use oidc_core::client::{Grant, TokenEndpoint, TokenSet};
use oidc_core::token::Scope;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::engine::{Outcome, Work};
use crate::errors;
use crate::waiting::work;

/// RFC 8693 §3
const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";

/// Token that is presented to get the person's tokens.
pub(super) enum Shown {
    /// An access token of the person, issued to any client.
    Access(Secret),
    /// The refresh token that was given last.
    Refresh(Secret),
}

impl Shown {
    pub(super) fn one_of(
        py: Python<'_>,
        access: Option<String>,
        refresh: Option<String>,
    ) -> PyResult<Self> {
        match (access, refresh) {
            (Some(token), None) if !token.is_empty() => Ok(Self::Access(Secret::from(token))),
            (None, Some(token)) if !token.is_empty() => Ok(Self::Refresh(Secret::from(token))),
            _ => {
                let message = "one token is needed, and only one".to_owned();
                let remedy = "pass subject_token=, or refresh_token= once there is one".to_owned();
                Err(errors::configuration(py, "subject_token", message, remedy))
            }
        }
    }

    fn grant(self, scope: Option<Scope>) -> Grant {
        match self {
            Self::Refresh(refresh_token) => Grant::RefreshToken { refresh_token, scope },
            Self::Access(subject_token) => Grant::TokenExchange {
                subject_token,
                subject_token_type: None,
                actor_token: None,
                actor_token_type: None,
                requested_token_type: Some(REFRESH_TOKEN.to_owned()),
                audience: Vec::new(),
                resource: Vec::new(),
                scope,
            },
        }
    }
}

/// Sends one token request.
pub(super) fn ask(endpoint: TokenEndpoint, shown: Shown, scope: Option<Scope>) -> Work<Outcome> {
    let asked = async move { endpoint.request(shown.grant(scope)).await.map_err(TokenError::from) };
    work(asked, |py, answer| match answer {
        Ok(tokens) => written(py, &tokens),
        Err(error) => Err(errors::token_request(py, &error)),
    })
}

fn written(py: Python<'_>, tokens: &TokenSet) -> PyResult<Py<PyAny>> {
    let seconds = |at: Option<SystemTime>| {
        at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs_f64())
    };
    let dict = PyDict::new(py);
    dict.set_item("access_token", tokens.access_token.expose())?;
    dict.set_item("refresh_token", tokens.refresh_token.as_ref().map(Secret::expose))?;
    dict.set_item("expires_at", seconds(tokens.expires_at))?;
    dict.set_item("refresh_expires_at", seconds(tokens.refresh_expires_at))?;
    Ok(dict.into_any().unbind())
}
