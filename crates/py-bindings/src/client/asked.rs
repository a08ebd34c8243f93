//! Requests of a client to its issuer, ready to be waited for or awaited.

use std::sync::Arc;

use oidc_core::client::{ClientAuth, TokenHint};
use oidc_core::login::{LoginRequest, LogoutRequest};
use oidc_core::provider::ProviderError;
use oidc_core::{Secret, Validation};
use pyo3::prelude::*;

use super::login;
use super::{Client, PendingLogin, TokenSet, errors_of_login};
use crate::engine::{Outcome, Work};
use crate::errors;
use crate::trusted::Parts;
use crate::waiting::work;

impl Client {
    /// The client of this process.
    fn of_this_process(&self, py: Python<'_>) -> PyResult<oidc_core::Client> {
        if let Some(client) = self.client.current(py) {
            return Ok(client);
        }
        let parts = self.trusted.parts(py)?;
        Ok(self.client.keep(py, connected(&parts, &self.client_id, &self.auth, &self.validation)))
    }

    pub(super) fn begun(&self, py: Python<'_>, request: LoginRequest) -> PyResult<Work<Outcome>> {
        let client = self.of_this_process(py)?;
        let asked = async move { client.begin_login(request).await };
        Ok(work(asked, |py, begun| match begun {
            Ok((url, pending)) => Ok(Py::new(py, PendingLogin::begun(url, pending))?.into_any()),
            Err(error) => Err(errors_of_login::login(py, &error)),
        }))
    }

    pub(super) fn finished(
        &self,
        py: Python<'_>,
        query: String,
        pending: &Bound<'_, PendingLogin>,
    ) -> PyResult<Work<Outcome>> {
        let client = self.of_this_process(py)?;
        let pending = pending.get().login().clone();
        let asked = async move { login::finish(&client, &query, &pending).await };
        Ok(work(asked, |py, login| match login {
            Ok(login) => TokenSet::of(py, login.tokens, Some(&login.id_token)),
            Err(error) => Err(error.raised(py)),
        }))
    }

    pub(super) fn refreshed(
        &self,
        py: Python<'_>,
        refresh_token: &str,
        subject: String,
    ) -> PyResult<Work<Outcome>> {
        let client = self.of_this_process(py)?;
        let refresh_token = given(py, "refresh_token", refresh_token)?;
        if subject.is_empty() {
            let message = "subject is empty".to_owned();
            let remedy = "pass `claims.subject` of the login".to_owned();
            return Err(errors::configuration(py, "subject", message, remedy));
        }
        let asked = async move { client.refresh(&refresh_token, &subject).await };
        Ok(work(asked, |py, refreshed| match refreshed {
            Ok(refreshed) => TokenSet::of(py, refreshed.tokens, refreshed.id_token.as_ref()),
            Err(error) => Err(errors::token_request(py, &error.into())),
        }))
    }

    pub(super) fn revoked(
        &self,
        py: Python<'_>,
        token: &str,
        kind: &str,
    ) -> PyResult<Work<Outcome>> {
        let client = self.of_this_process(py)?;
        let token = given(py, "token", token)?;
        let hint = match kind {
            "refresh_token" => TokenHint::RefreshToken,
            "access_token" => TokenHint::AccessToken,
            other => {
                let message = format!("invalid token_type_hint {other:?}");
                let remedy = "pass \"refresh_token\" or \"access_token\"".to_owned();
                return Err(errors::configuration(py, "token_type_hint", message, remedy));
            }
        };
        let asked = async move { client.revoke(&token, hint).await };
        Ok(work(asked, |py, revoked| match revoked {
            Ok(()) => Ok(py.None()),
            Err(error) => Err(errors::token_request(py, &error.into())),
        }))
    }

    pub(super) fn asked_about_user(
        &self,
        py: Python<'_>,
        access_token: &str,
        subject: String,
    ) -> PyResult<Work<Outcome>> {
        let client = self.of_this_process(py)?;
        let access_token = given(py, "access_token", access_token)?;
        let asked = async move { client.user_info(&access_token, &subject).await };
        Ok(work(asked, |py, claims| match claims {
            Ok(claims) => Ok(crate::json::object_to_python(py, claims.iter())?.into_any().unbind()),
            Err(error) => Err(errors_of_login::user_info(py, &error)),
        }))
    }

    pub(super) fn logged_out(
        &self,
        py: Python<'_>,
        id_token: Option<&str>,
        post_logout_redirect_uri: Option<&str>,
        state: Option<&str>,
    ) -> PyResult<Work<Outcome>> {
        let client = self.of_this_process(py)?;
        let mut request = LogoutRequest::default();
        if let Some(id_token) = id_token {
            request = request.with_id_token_hint(given(py, "id_token", id_token)?);
        }
        if let Some(uri) = post_logout_redirect_uri {
            let uri = login::address(py, "post_logout_redirect_uri", uri)?;
            request = request.with_post_logout_redirect_uri(uri);
        }
        if let Some(state) = state {
            request = request.with_state(state);
        }
        let asked = async move {
            client.provider().metadata().await?;
            Ok(client.logout_url(&request))
        };
        Ok(work(asked, |py, url: Result<Option<url::Url>, ProviderError>| match url {
            Ok(url) => Ok(url.map(String::from).into_pyobject(py)?.into_any().unbind()),
            Err(error) => Err(errors_of_login::provider(py, &error)),
        }))
    }
}

/// The client over the connection of a process.
pub(super) fn connected(
    parts: &Parts,
    client_id: &str,
    auth: &ClientAuth,
    validation: &Validation,
) -> oidc_core::Client {
    let keys = Arc::clone(&parts.keys);
    let client = oidc_core::Client::new(parts.provider.clone(), keys, client_id, auth.clone())
        .with_leeway(validation.leeway());
    match validation.algorithms() {
        Some(algorithms) => client.with_algorithms(algorithms.to_vec()),
        None => client,
    }
}

/// A token that is not empty.
fn given(py: Python<'_>, name: &str, token: &str) -> PyResult<Secret> {
    if token.is_empty() {
        let remedy = "pass the token that the issuer gave".to_owned();
        return Err(errors::configuration(py, name, format!("{name} is empty"), remedy));
    }
    Ok(Secret::from(token))
}
