//! The kinds of token, as types that do not convert into each other (RFC 8725 §3.11, §3.12).
//!
//! An ID token is not taken for an access token:
//!
//! ```compile_fail,E0308
//! use oidc_core::{AccessToken, IdToken, Verified};
//!
//! fn confuse(token: Verified<IdToken>) -> Verified<AccessToken> {
//!     token
//! }
//! ```
//!
//! while the same lines with one kind compile:
//!
//! ```
//! use oidc_core::{AccessToken, Verified};
//!
//! fn pass(token: Verified<AccessToken>) -> Verified<AccessToken> {
//!     token
//! }
//! ```

use std::ops::Deref;
use std::sync::Arc;

use super::claims::Claims;

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
