//! How a client proves itself, as flags: files, read when they are used. The environment has the same names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use m2m::Person;
use oidc_core::http::reqwest::HttpOptions;
use oidc_core::{Algorithm, ClientAuth, ClientAuthError, ClientSecret, PrivateKeyJwt};

/// What the client has to prove itself with; nothing for a public one.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub(super) struct Credential {
    /// A file with the client's secret
    #[arg(long, env = "DOORWARD_CLIENT_SECRET_FILE", value_name = "FILE", group = "credential")]
    client_secret_file: Option<PathBuf>,
    /// How the secret is sent: in a header (RFC 6749 §2.3.1), in the body, or as the key of an assertion
    #[arg(long, value_enum, value_name = "METHOD", requires = "client_secret_file")]
    client_secret_method: Option<SecretMethod>,
    /// A file with an assertion that the platform keeps fresh, such as a projected service account token
    #[arg(long, env = "DOORWARD_CLIENT_ASSERTION_FILE", value_name = "FILE", group = "credential")]
    client_assertion_file: Option<PathBuf>,
    /// A file with the client's private key, PEM or JWK
    #[arg(long, env = "DOORWARD_PRIVATE_KEY_FILE", value_name = "FILE", group = "credential")]
    private_key_file: Option<PathBuf>,
    /// The key's `kid` at the issuer, for a key in PEM
    #[arg(
        long,
        env = "DOORWARD_PRIVATE_KEY_ID",
        value_name = "KID",
        requires = "private_key_file"
    )]
    private_key_id: Option<String>,
    /// What the key signs with, for a key in PEM; its usual algorithm unless set
    #[arg(long, value_name = "ALG", requires = "private_key_file")]
    private_key_algorithm: Option<Algorithm>,
    /// A PEM file with the client's certificate and those above it
    #[arg(
        long,
        env = "DOORWARD_CLIENT_CERTIFICATE",
        value_name = "FILE",
        group = "credential",
        requires = "client_key"
    )]
    client_certificate: Option<PathBuf>,
    /// A PEM file with the certificate's key
    #[arg(long, env = "DOORWARD_CLIENT_KEY", value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

/// The names of the ways a secret is sent.
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
    /// Whether there is any.
    pub(super) fn is_given(&self) -> bool {
        self.file().is_some()
    }

    /// The file that nobody has but the client.
    pub(super) fn file(&self) -> Option<&Path> {
        let files = [
            &self.client_secret_file,
            &self.client_assertion_file,
            &self.private_key_file,
            &self.client_key,
        ];
        files.into_iter().find_map(Option::as_deref)
    }

    /// As the library takes it. A private key is read now, to say at once what is wrong with it.
    pub(super) fn auth(&self) -> Result<ClientAuth, ClientAuthError> {
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

    /// The connection shows the certificate, if there is one.
    pub(super) fn with_certificate(&self, options: HttpOptions) -> HttpOptions {
        match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => options.with_client_certificate(certificate, key),
            _ => options,
        }
    }

    /// Remembers where the credential is, for a login that is refreshed later; never the credential itself.
    pub(super) fn remember(&self, mut person: Person) -> Person {
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

    /// What a login was made with.
    pub(super) fn remembered(settings: &BTreeMap<String, String>) -> Self {
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

/// A path that still leads there from another folder.
pub(super) fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
