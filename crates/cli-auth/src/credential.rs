//! Credential of a client as flags, each with an environment variable. Secrets are files, read when they are used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use oidc_core::client::{ClientAuth, ClientAuthError, ClientSecret, PrivateKeyJwt};
use oidc_core::http::reqwest::HttpOptions;
use oidc_core::token::Algorithm;

use crate::kept_login::Person;

/// Credential of a client; empty for a public one.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub(crate) struct Credential {
    /// File with the client's secret
    #[arg(long, env = "DOORWARD_CLIENT_SECRET_FILE", value_name = "FILE", group = "credential")]
    client_secret_file: Option<PathBuf>,
    /// Method of sending the secret: in a header (RFC 6749 §2.3.1), in the body, or as the key of an assertion
    #[arg(long, value_enum, value_name = "METHOD", requires = "client_secret_file")]
    client_secret_method: Option<SecretMethod>,
    /// File with an assertion that the platform keeps fresh, such as a projected service account token
    #[arg(long, env = "DOORWARD_CLIENT_ASSERTION_FILE", value_name = "FILE", group = "credential")]
    client_assertion_file: Option<PathBuf>,
    /// File with the client's private key, PEM or JWK
    #[arg(long, env = "DOORWARD_PRIVATE_KEY_FILE", value_name = "FILE", group = "credential")]
    private_key_file: Option<PathBuf>,
    /// `kid` of the key at the issuer, for a key in PEM
    #[arg(
        long,
        env = "DOORWARD_PRIVATE_KEY_ID",
        value_name = "KID",
        requires = "private_key_file"
    )]
    private_key_id: Option<String>,
    /// Signature algorithm of a key in PEM; by default the usual one for its type
    #[arg(long, value_name = "ALG", requires = "private_key_file")]
    private_key_algorithm: Option<Algorithm>,
    /// PEM file with the client's certificate and its chain
    #[arg(
        long,
        env = "DOORWARD_CLIENT_CERTIFICATE",
        value_name = "FILE",
        group = "credential",
        requires = "client_key"
    )]
    client_certificate: Option<PathBuf>,
    /// PEM file with the certificate's key
    #[arg(long, env = "DOORWARD_CLIENT_KEY", value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

/// Ways to send a secret, by their names on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SecretMethod {
    /// client_secret_basic
    Basic,
    /// client_secret_post
    Post,
    /// client_secret_jwt
    Jwt,
}

impl Credential {
    /// True if there is one.
    pub(crate) fn is_given(&self) -> bool {
        self.file().is_some()
    }

    /// The file that only the client has.
    pub(crate) fn file(&self) -> Option<&Path> {
        let files = [
            &self.client_secret_file,
            &self.client_assertion_file,
            &self.private_key_file,
            &self.client_key,
        ];
        files.into_iter().find_map(Option::as_deref)
    }

    /// The same for the library. Reads a private key now, to report a problem with it early.
    pub(crate) fn auth(&self) -> Result<ClientAuth, ClientAuthError> {
        if let Some(file) = &self.client_secret_file {
            let secret = ClientSecret::file(file);
            return Ok(match self.client_secret_method.unwrap_or(SecretMethod::Basic) {
                SecretMethod::Basic => ClientAuth::SecretBasic(secret),
                SecretMethod::Post => ClientAuth::SecretPost(secret),
                SecretMethod::Jwt => ClientAuth::SecretJwt(secret),
            });
        }
        if let Some(file) = &self.client_assertion_file {
            return Ok(ClientAuth::AssertionFile(file.clone()));
        }
        if let Some(file) = &self.private_key_file {
            let key_id = self.private_key_id.clone();
            let key = PrivateKeyJwt::from_file(file, self.private_key_algorithm, key_id)?;
            return Ok(ClientAuth::PrivateKeyJwt(key));
        }
        let certificate = self.client_certificate.is_some();
        Ok(if certificate { ClientAuth::MutualTls } else { ClientAuth::None })
    }

    /// Adds the certificate, if there is one.
    pub(crate) fn with_certificate(&self, options: HttpOptions) -> HttpOptions {
        match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => options.with_client_certificate(certificate, key),
            _ => options,
        }
    }

    /// Keeps the path of the credential with the login, for a later refresh; never the credential itself.
    pub(crate) fn remember(&self, mut person: Person) -> Person {
        for (name, file) in [
            ("client_secret_file", &self.client_secret_file),
            ("client_assertion_file", &self.client_assertion_file),
            ("private_key_file", &self.private_key_file),
            ("client_certificate", &self.client_certificate),
            ("client_key", &self.client_key),
        ] {
            if let Some(file) = file {
                person = person.with_setting(name, absolute(file));
            }
        }
        let method = self.client_secret_method.and_then(|method| method.to_possible_value());
        for (name, text) in [
            ("client_secret_method", method.map(|method| method.get_name().to_owned())),
            ("private_key_id", self.private_key_id.clone()),
            ("private_key_algorithm", self.private_key_algorithm.map(|alg| alg.to_string())),
        ] {
            if let Some(text) = text {
                person = person.with_setting(name, text);
            }
        }
        person
    }

    /// The credential that a login was made with.
    pub(crate) fn remembered(settings: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| settings.get(name).cloned();
        let file = |name: &str| text(name).map(PathBuf::from);
        Self {
            client_secret_file: file("client_secret_file"),
            client_secret_method: text("client_secret_method")
                .and_then(|name| SecretMethod::from_str(&name, false).ok()),
            client_assertion_file: file("client_assertion_file"),
            private_key_file: file("private_key_file"),
            private_key_id: text("private_key_id"),
            private_key_algorithm: text("private_key_algorithm").and_then(|alg| alg.parse().ok()),
            client_certificate: file("client_certificate"),
            client_key: file("client_key"),
        }
    }
}

/// The path as it is from any working directory.
pub(crate) fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
