//! The tokens of an account: the machine's own, the person's, or those obtained in exchange for the person's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use cli_auth::KeptLogin;
use m2m::{
    AccessToken, CachedTokens, ClientCredentials, Exchange, FileCache, IssuerTokens,
    PresentedToken, TokenSource,
};
use oidc_core::{Secret, TokenEndpoint};
use py_values::refuse_pickling;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::engine::Engine;
use crate::errors;

/// Access tokens, with their type and end.
#[pyclass(frozen, module = "doorward._native")]
pub(crate) struct AccountTokens {
    /// Login of the person; `None` for a machine's tokens.
    login: Option<KeptLogin>,
    /// Source of the tokens given out; `None` gives the login's own.
    source: Option<Arc<dyn TokenSource>>,
}

/// Directory in which runs share tokens.
pub(super) struct Shared {
    pub(super) directory: Option<PathBuf>,
    /// Seals the tokens that are kept on a disk.
    pub(super) seal: Option<String>,
}

impl Shared {
    fn cached(self, tokens: impl TokenSource + 'static) -> PyResult<Arc<dyn TokenSource>> {
        let cached = CachedTokens::new(tokens);
        let Some(directory) = self.directory else { return Ok(Arc::new(cached)) };
        let files = match self.seal {
            None => FileCache::in_directory(directory),
            Some(key) => FileCache::sealed(directory, &Secret::from(key))
                .map_err(|error| PyValueError::new_err(error.to_string()))?,
        };
        Ok(Arc::new(cached.with_file_cache(&files)))
    }
}

impl AccountTokens {
    /// The machine's tokens, by its own credential.
    pub(super) fn of_machine(
        endpoint: TokenEndpoint,
        asked: ClientCredentials,
        shared: Shared,
    ) -> PyResult<Self> {
        let source = shared.cached(IssuerTokens::new(endpoint, asked))?;
        Ok(Self { login: None, source: Some(source) })
    }

    /// The person's tokens as they are, or those obtained in exchange.
    pub(super) fn of_person(
        login: KeptLogin,
        wanted: Option<Exchange>,
        shared: Shared,
    ) -> PyResult<Self> {
        let Some(wanted) = wanted else { return Ok(Self { login: Some(login), source: None }) };
        let subject = PresentedToken::from_source(login.clone());
        let tokens = IssuerTokens::exchange(login.endpoint().clone(), subject, wanted);
        Ok(Self { login: Some(login), source: Some(shared.cached(tokens)?) })
    }
}

#[pymethods]
impl AccountTokens {
    /// A token that is good now, its type as it stands in a header, and when it ends, in UTC, if that is known.
    ///
    /// Raises:
    ///     LoginNeeded: if a person has to sign in.
    fn token(&self, py: Python<'_>) -> PyResult<(String, String, Option<SystemTime>)> {
        let engine = Engine::of(py)?;
        let mut given: Option<AccessToken> = None;
        if let Some(login) = self.login.clone() {
            // Asked first, because its own error says that a sign-in is needed.
            let token = engine.wait_elsewhere(py, async move { login.access_token().await })?;
            given = Some(token.map_err(|error| errors::kept_login(py, &error))?);
        }
        if let Some(source) = self.source.clone() {
            let token = engine.wait_elsewhere(py, async move { source.token().await })?;
            given = Some(token.map_err(|error| errors::token_request(py, &error))?);
        }
        let token = given.ok_or_else(|| PyValueError::new_err("there is no source of tokens"))?;
        let kind = token.token_type().as_str().to_owned();
        Ok((token.secret().expose().to_owned(), kind, token.expires_at()))
    }

    fn __reduce__(&self) -> PyResult<()> {
        refuse_pickling("AccountTokens", "make them in each process that needs them")
    }
}
