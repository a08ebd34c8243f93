//! The kinds of token, as types that do not convert into each other (RFC 8725 §3.11, §3.12), and
//! the proof that a token was verified.
//!
//! A [`Verified`] cannot be made outside this crate:
//!
//! ```compile_fail,E0451
//! fn forge(token: oidc_core::AccessToken) -> oidc_core::Verified<oidc_core::AccessToken> {
//!     oidc_core::Verified { token, key_id: None, algorithm: None, derived: Default::default() }
//! }
//! ```
//!
//! while the same lines without the forgery compile:
//!
//! ```
//! fn pass(token: oidc_core::Verified<oidc_core::AccessToken>) -> oidc_core::Verified<oidc_core::AccessToken> {
//!     token
//! }
//! ```
//!
//! and an ID token is not taken for an access token:
//!
//! ```compile_fail,E0308
//! fn confuse(token: oidc_core::Verified<oidc_core::IdToken>) -> oidc_core::Verified<oidc_core::AccessToken> {
//!     token
//! }
//! ```

use std::any::Any;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use crate::algorithm::Algorithm;
use crate::claims::Claims;

/// A token that passed every check of a [`Verifier`](crate::Verifier), or of its issuer and this
/// crate's rules ([`Introspection`](crate::Introspection)); nothing else makes one.
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
    /// ([`Introspection`](crate::Introspection)).
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

/// Claims of an access token: the permissions of a program here (RFC 9068, or Keycloak's own form).
#[derive(Clone, Debug)]
pub struct AccessToken {
    claims: Arc<Claims>,
    subject: String,
}

/// Claims of an ID token: the identity of the person who logged in, for this client only (OpenID
/// Connect Core 1.0 §2).
#[derive(Clone, Debug)]
pub struct IdToken {
    claims: Arc<Claims>,
    subject: String,
}

/// Claims of a logout token: the sessions to end (OpenID Connect Back-Channel Logout 1.0 §2.4).
#[derive(Clone, Debug)]
pub struct LogoutToken {
    claims: Claims,
    jwt_id: String,
}

impl AccessToken {
    pub(crate) fn new(claims: Claims, subject: String) -> Self {
        Self { claims: Arc::new(claims), subject }
    }

    /// The claims, which can be kept without the token.
    pub fn claims(&self) -> &Arc<Claims> {
        &self.claims
    }

    /// `sub`: the subject, unique and stable at this issuer.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl IdToken {
    pub(crate) fn new(claims: Claims, subject: String) -> Self {
        Self { claims: Arc::new(claims), subject }
    }

    /// The claims, which can be kept without the token.
    pub fn claims(&self) -> &Arc<Claims> {
        &self.claims
    }

    /// `sub`: the subject, unique and stable at this issuer.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl LogoutToken {
    pub(crate) fn new(claims: Claims, jwt_id: String) -> Self {
        Self { claims, jwt_id }
    }

    /// `sub`: all sessions of this person end, unless [`LogoutToken::session_id`] names one.
    pub fn subject(&self) -> Option<&str> {
        self.claims.subject.as_deref()
    }

    /// `sid`: the session at the provider that ended.
    pub fn session_id(&self) -> Option<&str> {
        self.claims.session_id.as_deref()
    }

    /// `jti`: remember it to refuse a second use.
    pub fn jwt_id(&self) -> &str {
        &self.jwt_id
    }
}

impl Deref for AccessToken {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.claims
    }
}

impl Deref for IdToken {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.claims
    }
}

impl Deref for LogoutToken {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.claims
    }
}
