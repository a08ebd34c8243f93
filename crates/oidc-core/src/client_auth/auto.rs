//! Client authentication by whatever the client has and the provider takes.
//!
//! Strongest first: what ends by itself and is held by nobody before what signs, that before what is
//! bound to the connection, and last what is one word that both sides know. A method counts as refused
//! only by the provider's word on the client (`invalid_client`, RFC 6749 §5.2), or if it cannot even be
//! tried; any other answer stands.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{ClientAuth, ClientSecret, PrivateKeyJwt};

/// The credentials of a client, tried in this order until one works; that one is used from then on,
/// and the others again only once it is refused:
///
/// 1. an assertion in a file, then a JWT-SVID in a file (RFC 7523 §2.2)
/// 2. `private_key_jwt`
/// 3. `tls_client_auth` and `self_signed_tls_client_auth` (RFC 8705)
/// 4. `client_secret_jwt`
/// 5. `client_secret_basic`
/// 6. `client_secret_post`
///
/// What the provider's `token_endpoint_auth_methods_supported` leaves out is not tried; assertions of
/// others have no name there, and are. Clones share what worked.
///
/// ```
/// use oidc_core::{AutoAuth, ClientAuth, ClientSecret};
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

/// The place, in the order above, of what worked last; counted from 1, 0 is nothing yet.
#[derive(Debug, Default)]
struct Remembered(AtomicUsize);

/// A credential to try.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    place: usize,
    pub(crate) auth: ClientAuth,
}

impl AutoAuth {
    /// No credential yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has an assertion in a file ([`ClientAuth::AssertionFile`]).
    #[must_use]
    pub fn with_assertion_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.assertion_file = Some(path.into());
        self
    }

    /// Has a SPIFFE JWT-SVID in a file ([`ClientAuth::JwtSvidFile`]).
    #[must_use]
    pub fn with_jwt_svid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.jwt_svid_file = Some(path.into());
        self
    }

    /// Has a private key ([`ClientAuth::PrivateKeyJwt`]).
    #[must_use]
    pub fn with_private_key(mut self, key: PrivateKeyJwt) -> Self {
        self.private_key = Some(key);
        self
    }

    /// Has a certificate, which the HTTP adapter shows ([`ClientAuth::MutualTls`]).
    #[must_use]
    pub fn with_certificate(mut self) -> Self {
        self.certificate = true;
        self
    }

    /// Has a secret ([`ClientAuth::SecretJwt`], [`ClientAuth::SecretBasic`],
    /// [`ClientAuth::SecretPost`]).
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<ClientSecret>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// What there is to try: what worked last, then the rest in order.
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

    /// Notes that this one worked.
    pub(crate) fn remember(&self, candidate: &Candidate) {
        self.remembered.0.store(candidate.place, Ordering::Relaxed);
    }
}

impl Candidate {
    /// Whether the provider's list of methods has this one; an empty list says nothing.
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
