//! The proof that a token was verified.
//!
//! A [`Verified`] cannot be made outside this crate:
//!
//! ```compile_fail,E0451
//! use oidc_core::{AccessToken, Verified};
//!
//! fn forge(token: AccessToken) -> Verified<AccessToken> {
//!     Verified { token, key_id: None, algorithm: None, derived: Default::default() }
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

use crate::token::Algorithm;

/// A token that passed every check of a [`Verifier`](crate::Verifier), or of its issuer and this
/// crate's rules (`Introspection`); nothing else makes one.
#[derive(Clone, Debug)]
pub struct Verified<T> {
    token: T,
    key_id: Option<String>,
    algorithm: Option<Algorithm>,
    derived: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl<T> Verified<T> {
    pub(crate) fn new(token: T, key_id: Option<String>, algorithm: Algorithm) -> Self {
        Self { token, key_id, algorithm: Some(algorithm), derived: OnceLock::new() }
    }

    /// The issuer itself confirmed the token, over TLS (RFC 7662).
    #[cfg(feature = "token")]
    pub(crate) fn introspected(token: T) -> Self {
        Self { token, key_id: None, algorithm: None, derived: OnceLock::new() }
    }

    /// A value that an application derives from the claims, computed once and kept as long as the
    /// token is remembered: an identity with roles, a tenant. The first caller decides the type; a
    /// value of another type is computed at each call.
    pub fn derive<D: Send + Sync + 'static>(&self, make: impl Fn(&T) -> Arc<D>) -> Arc<D> {
        let kept = self.derived.get_or_init(|| make(&self.token));
        Arc::clone(kept).downcast().unwrap_or_else(|_| make(&self.token))
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
