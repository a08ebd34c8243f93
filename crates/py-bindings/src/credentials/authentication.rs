//! Client authentication, from the keyword arguments of `Issuer.client_credentials`.

use std::path::PathBuf;

use oidc_core::Secret;
use oidc_core::client::{ClientAuth, ClientSecret, PrivateKeyJwt};
use oidc_core::token::Algorithm;
use pyo3::prelude::*;

use crate::errors;

/// The credentials passed: one of them.
#[derive(Default)]
pub(crate) struct Authentication {
    pub(crate) secret: Option<String>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) private_key_file: Option<PathBuf>,
    pub(crate) key_id: Option<String>,
    pub(crate) key_algorithm: Option<String>,
    pub(crate) assertion_file: Option<PathBuf>,
    pub(crate) certificate: bool,
    pub(crate) method: Option<String>,
}

impl Authentication {
    /// Authentication of a public client, which has no credential.
    pub(crate) fn none(&self, py: Python<'_>) -> PyResult<ClientAuth> {
        let is_empty = self.secret.is_none()
            && self.secret_file.is_none()
            && self.private_key_file.is_none()
            && self.key_id.is_none()
            && self.key_algorithm.is_none()
            && self.assertion_file.is_none()
            && !self.certificate
            && self.method.is_none();
        match is_empty {
            true => Ok(ClientAuth::None),
            false => {
                let message = "a public client has no credential".to_owned();
                Err(wrong(py, message, "leave out public=True, or the credential"))
            }
        }
    }

    pub(crate) fn method(self, py: Python<'_>) -> PyResult<ClientAuth> {
        let given = [
            self.secret.is_some(),
            self.secret_file.is_some(),
            self.private_key_file.is_some(),
            self.assertion_file.is_some(),
            self.certificate,
        ];
        if given.into_iter().filter(|given| *given).count() != 1 {
            let message = "a client proves itself in exactly one way".to_owned();
            return Err(wrong(
                py,
                message,
                "pass one of secret_file=, secret=, private_key_file=, assertion_file= and certificate=",
            ));
        }
        if self.secret.as_deref() == Some("") {
            let remedy = "pass the secret, or secret_file=";
            return Err(wrong(py, "the secret is empty".to_owned(), remedy));
        }
        let secret = self.secret.map(|secret| ClientSecret::from(Secret::from(secret)));
        if let Some(secret) = secret.or(self.secret_file.map(ClientSecret::file)) {
            return match self.method.as_deref() {
                None | Some("client_secret_basic") => Ok(ClientAuth::SecretBasic(secret)),
                Some("client_secret_post") => Ok(ClientAuth::SecretPost(secret)),
                Some("client_secret_jwt") => Ok(ClientAuth::SecretJwt(secret)),
                Some(other) => Err(wrong(
                    py,
                    format!("{other:?} is no way to use a secret"),
                    "pass \"client_secret_basic\", \"client_secret_post\" or \"client_secret_jwt\"",
                )),
            };
        }
        if self.method.is_some() {
            return Err(wrong(py, "method= is for a secret".to_owned(), "leave it out"));
        }
        if let Some(path) = self.private_key_file {
            let algorithm = self.key_algorithm.map(|name| name.parse::<Algorithm>()).transpose();
            let algorithm = algorithm.map_err(|error| {
                wrong(py, error.to_string(), "name an algorithm that fits the key, or leave it out")
            })?;
            let key = PrivateKeyJwt::from_file(path, algorithm, self.key_id).map_err(|error| {
                wrong(
                    py,
                    py_values::with_causes(&error),
                    "let the file hold a private key in PEM or as a JWK",
                )
            })?;
            return Ok(ClientAuth::PrivateKeyJwt(key));
        }
        Ok(self.assertion_file.map_or(ClientAuth::MutualTls, ClientAuth::AssertionFile))
    }
}

fn wrong(py: Python<'_>, message: String, remedy: &str) -> PyErr {
    errors::configuration(py, "client_authentication", message, remedy.to_owned())
}
