//! Client authentication with any credential that the client has and the provider accepts.
//!
//! Strongest first: assertions from files, which expire and need no stored secret; then private
//! keys; then certificates, which are bound to the connection; last, shared secrets. A method
//! counts as refused only when the provider refuses the client (`invalid_client`, RFC 6749 §5.2),
//! or when its credential cannot be used. Any other answer is final.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{ClientAuth, ClientSecret, PrivateKeyJwt};

/// The credentials of a client, tried in this order until one works. That one is used until it is
/// refused; then the others are tried again:
///
/// 1. an assertion in a file, then a JWT-SVID in a file (RFC 7523 §2.2)
/// 2. `private_key_jwt`
/// 3. `tls_client_auth` and `self_signed_tls_client_auth` (RFC 8705)
/// 4. `client_secret_jwt`
/// 5. `client_secret_basic`
/// 6. `client_secret_post`
///
/// A method missing from the provider's `token_endpoint_auth_methods_supported` is not tried.
/// Assertions made by others have no name there and are always tried. Clones share which credential
/// worked.
///
/// ```
/// use oidc_core::client::{AutoAuth, ClientAuth, ClientSecret};
/// let auto = AutoAuth::new()
///     .with_assertion_file("/var/run/secrets/tokens/doorward")
///     .with_secret(ClientSecret::file("/run/secrets/doorward"));
/// let auth = ClientAuth::Auto(auto);
/// ```
#[derive(Clone, Debug, Default)]
pub struct AutoAuth {
    assertion_file: Option<PathBuf>,
    jwt_svid_file: Option<PathBuf>,
    private_key: Option<PrivateKeyJwt>,
    certificate: bool,
    secret: Option<ClientSecret>,
    remembered: Arc<Remembered>,
}

/// The position, in the order above, of the last that worked; counted from 1, 0 is none yet.
#[derive(Debug, Default)]
struct Remembered(AtomicUsize);

/// A credential to try.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    place: usize,
    pub(crate) auth: ClientAuth,
}

impl AutoAuth {
    /// Starts without credentials.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an assertion in a file ([`ClientAuth::AssertionFile`]).
    #[must_use]
    pub fn with_assertion_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.assertion_file = Some(path.into());
        self
    }

    /// Adds a SPIFFE JWT-SVID in a file ([`ClientAuth::JwtSvidFile`]).
    #[must_use]
    pub fn with_jwt_svid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.jwt_svid_file = Some(path.into());
        self
    }

    /// Adds a private key ([`ClientAuth::PrivateKeyJwt`]).
    #[must_use]
    pub fn with_private_key(mut self, key: PrivateKeyJwt) -> Self {
        self.private_key = Some(key);
        self
    }

    #[cfg(feature = "login")]
    pub(super) fn has_certificate(&self) -> bool {
        self.certificate
    }

    /// Adds a certificate, which the HTTP adapter sends ([`ClientAuth::MutualTls`]).
    #[must_use]
    pub fn with_certificate(mut self) -> Self {
        self.certificate = true;
        self
    }

    /// Adds a secret ([`ClientAuth::SecretJwt`], [`ClientAuth::SecretBasic`],
    /// [`ClientAuth::SecretPost`]).
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<ClientSecret>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// The candidates: the last that worked, then the rest in order.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let secret = |method: fn(ClientSecret) -> ClientAuth| self.secret.clone().map(method);
        let all = [
            self.assertion_file.clone().map(ClientAuth::AssertionFile),
            self.jwt_svid_file.clone().map(ClientAuth::JwtSvidFile),
            self.private_key.clone().map(ClientAuth::PrivateKeyJwt),
            self.certificate.then_some(ClientAuth::MutualTls),
            secret(ClientAuth::SecretJwt),
            secret(ClientAuth::SecretBasic),
            secret(ClientAuth::SecretPost),
        ];
        let remembered = self.remembered.0.load(Ordering::Relaxed);
        let mut candidates: Vec<Candidate> = (1..)
            .zip(all)
            .filter_map(|(place, auth)| Some(Candidate { place, auth: auth? }))
            .collect();
        candidates.sort_by_key(|candidate| candidate.place != remembered);
        candidates
    }

    /// Records that this one worked.
    pub(crate) fn remember(&self, candidate: &Candidate) {
        self.remembered.0.store(candidate.place, Ordering::Relaxed);
    }
}

impl Candidate {
    /// Whether the provider's list of methods allows this one; an empty list allows all.
    pub(crate) fn is_offered(&self, offered: &[String]) -> bool {
        let method = self.auth.method();
        let has = |name: &str| offered.iter().any(|other| other == name);
        match self.auth {
            ClientAuth::AssertionFile(_) | ClientAuth::JwtSvidFile(_) => true,
            ClientAuth::MutualTls => {
                offered.is_empty() || has(method) || has("self_signed_tls_client_auth")
            }
            _ => offered.is_empty() || has(method),
        }
    }
}
