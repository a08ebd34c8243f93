//! The proof that a token was verified.
//!
//! A [`Verified`] cannot be made outside this crate:
//!
//! ```compile_fail,E0451
//! use oidc_core::{AccessToken, Verified};
//!
//! fn forge(token: AccessToken) -> Verified<AccessToken> {
//!     let issuer = "https://id.example".parse().unwrap();
//!     Verified { token, issuer, key_id: None, algorithm: None, derived: Default::default() }
//! }
//! ```
//!
//! while the same lines without the forgery compile:
//!
//! ```
//! use oidc_core::{AccessToken, Verified};
//!
//! fn pass(token: Verified<AccessToken>) -> Verified<AccessToken> {
//!     token
//! }
//! ```

use std::any::Any;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use crate::issuer::Issuer;
use crate::jose::Header;
use crate::token::Algorithm;

/// A token that passed every check of a [`Verifier`](crate::Verifier), or of its issuer and this
/// crate's rules (`Introspection`); nothing else makes one.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    token: T,
    issuer: Issuer,
    key_id: Option<String>,
    algorithm: Option<Algorithm>,
    derived: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl<T> Verified<T> {
    pub(crate) fn new(token: T, issuer: &Issuer, header: Header) -> Self {
        let Header { key_id, algorithm, .. } = header;
        let (issuer, algorithm) = (issuer.clone(), Some(algorithm));
        Self { token, issuer, key_id, algorithm, derived: OnceLock::new() }
    }

    /// The issuer itself confirmed the token, over TLS (RFC 7662).
    #[cfg(feature = "token")]
    pub(crate) fn introspected(token: T, issuer: &Issuer) -> Self {
        Self {
            token,
            issuer: issuer.clone(),
            key_id: None,
            algorithm: None,
            derived: OnceLock::new(),
        }
    }

    #[cfg(feature = "login")]
    pub(crate) fn into_inner(self) -> T {
        self.token
    }

    /// A value that an application derives from the claims, computed once and kept as long as the
    /// token is remembered: an identity with roles, a tenant. The first caller decides the type; a
    /// value of another type is computed at each call.
    pub fn derive<D: Send + Sync + 'static>(&self, make: impl Fn(&T) -> Arc<D>) -> Arc<D> {
        let kept = self.derived.get_or_init(|| make(&self.token));
        Arc::clone(kept).downcast().unwrap_or_else(|_| make(&self.token))
    }

    /// The trusted issuer that confirmed the token, also of a token without `iss`: one that the issuer was asked about, or a
    /// JWT-SVID. For a tenant it is the template of the issuer's identifiers.
    pub fn confirmed_by(&self) -> &Issuer {
        &self.issuer
    }

    /// `kid` of the key that signed it.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The algorithm it is signed with; `None` if the issuer was asked instead
    /// (`Introspection`).
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.token
    }
}
