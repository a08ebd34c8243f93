//! Reasons client authentication fails. No variant contains any part of a secret, a key or an
//! assertion.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::jose::InvalidPrivateKey;

/// Reason client authentication failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ClientAuthError {
    /// A secret, key or assertion file cannot be read.
    #[error(
        "the credential file {} cannot be read ({source}); mount it there and let this process read it",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// The file's content is not a valid credential.
    #[error("the credential file {} {problem}", path.display())]
    FileContent {
        /// The file.
        path: PathBuf,
        /// The problem, and what to do.
        problem: &'static str,
    },
    /// The file has no key that can sign.
    #[error("the key file {} cannot be used: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// The problem with the key.
        source: InvalidPrivateKey,
    },
    /// The key does not sign.
    #[error(transparent)]
    Key(#[from] InvalidPrivateKey),
    /// `client_secret_jwt` with a secret that is shorter than the hash (RFC 7518 §3.2).
    #[error(
        "the client secret has {bytes} bytes, {algorithm} needs {needed} or more (RFC 7518 §3.2); set a longer secret at the provider, or use another method than client_secret_jwt"
    )]
    SecretTooShort {
        /// The algorithm chosen by the provider's metadata.
        algorithm: &'static str,
        /// Length of the secret.
        bytes: usize,
        /// Length required.
        needed: usize,
    },
    /// `client_secret_jwt` at a provider that supports no HMAC algorithm.
    #[error(
        "the provider takes none of HS256, HS384 and HS512 (token_endpoint_auth_signing_alg_values_supported); use another method than client_secret_jwt"
    )]
    NoHmacOffered,
    /// The crate `oauth2` made a request that is not this client's, or authenticates it too.
    #[error("the request of the crate `oauth2` cannot be authenticated: {problem}")]
    NotThisClient {
        /// The problem, and what to do.
        problem: &'static str,
    },
    /// [`AutoAuth`](crate::client::AutoAuth) without any credential.
    #[error(
        "the client has no credential to try; give an assertion file, a private key, a certificate or a secret"
    )]
    NoCredential,
    /// [`AutoAuth`](crate::client::AutoAuth): no credential works.
    #[error("none of the client's credentials works: {}", Attempts(attempts))]
    NoneWorks {
        /// The credentials in the order of the attempts, each with the reason it failed.
        attempts: Vec<ClientAuthAttempt>,
    },
}

/// A credential that [`AutoAuth`](crate::client::AutoAuth) tried or left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientAuthAttempt {
    /// The method's name, such as `private_key_jwt`.
    pub method: &'static str,
    /// Reason it does not work.
    pub reason: String,
    /// Whether it may work later without a change at the provider.
    pub is_temporary: bool,
}

impl ClientAuthError {
    /// A stable name of the cause, for logs, metrics and programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::FileContent { .. } => "credential_file",
            Self::KeyFile { .. } | Self::Key(_) => "private_key",
            Self::SecretTooShort { .. } => "client_secret_too_short",
            Self::NoHmacOffered => "no_hmac_offered",
            Self::NotThisClient { .. } => "not_this_client",
            Self::NoCredential => "no_credential",
            Self::NoneWorks { .. } => "no_credential_works",
        }
    }

    /// Whether the same attempt may succeed later: a file is being replaced, or not mounted yet.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::File { .. } | Self::FileContent { .. } | Self::KeyFile { .. } => true,
            Self::NoneWorks { attempts } => attempts.iter().any(|attempt| attempt.is_temporary),
            Self::Key(_)
            | Self::SecretTooShort { .. }
            | Self::NoHmacOffered
            | Self::NotThisClient { .. }
            | Self::NoCredential => false,
        }
    }
}

struct Attempts<'a>(&'a [ClientAuthAttempt]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, attempt) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", attempt.method, attempt.reason)?;
        }
        Ok(())
    }
}
