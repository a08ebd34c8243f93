//! The sender of a request: the caller as rules know it, and the proof of its identity.

use std::{sync::Arc, time::SystemTime};

use access_policy::{Caller, Known};
use http_canonical::ClientCertificate;
use oidc_core::{Secret, TokenRefusal};
use web_sessions::{LiveKey, LiveSession};

use super::authorization::Carrier;
use crate::refusal::Refusal;

/// Proof of the identity; a stream ends at the latest with it.
#[derive(Debug, Clone)]
pub enum Credential {
    /// No credential was presented.
    None,
    /// An access token.
    Bearer {
        /// The token, as the client sent it.
        token: Secret,
        /// End of its validity: `exp` plus the leeway of its issuer. An answer to introspection may lack one (RFC 7662 §2.2).
        good_until: Option<SystemTime>,
        /// The field it came in.
        carrier: Carrier,
    },
    /// An API key.
    Key {
        /// The key, without its secret.
        key: Arc<LiveKey>,
        /// Time at which it expires, or is suspended.
        good_until: SystemTime,
        /// The field it came in.
        carrier: Carrier,
    },
    /// A session cookie.
    Session(Arc<LiveSession>),
    /// A client certificate, without a token.
    Certificate {
        /// The certificate.
        certificate: Arc<ClientCertificate>,
        /// End of its validity.
        until: SystemTime,
    },
}

impl Credential {
    /// The field in which a token or key came.
    pub fn carrier(&self) -> Option<Carrier> {
        match self {
            Self::Bearer { carrier, .. } | Self::Key { carrier, .. } => Some(*carrier),
            Self::None | Self::Session(_) | Self::Certificate { .. } => None,
        }
    }
}

/// The sender of a request: the caller as rules know it, and the proof of its identity.
#[derive(Debug)]
pub struct Sender {
    /// The caller, as rules know it.
    pub caller: Caller,
    /// Proof of the identity.
    pub credential: Credential,
    /// A credential that was not accepted and does not matter where anyone may call. Everywhere else the request is refused.
    pub(crate) unread: Option<Unread>,
}

/// A credential that does not matter where anyone may call.
#[derive(Debug, Clone)]
pub(crate) enum Unread {
    /// A bearer token that no configured issuer issued: it belongs to the application.
    Token(TokenRefusal),
    /// A session that its issuer, which is unavailable, would have to confirm.
    Session {
        /// The issuer's name in the configuration.
        issuer: String,
        /// Reason it is not confirmed.
        reason: String,
    },
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Token(refusal) => refusal.into(),
            Unread::Session { issuer, reason } => Self::ProviderUnavailable { issuer, reason },
        }
    }
}

impl Sender {
    /// A caller that presents nothing.
    pub const ANONYMOUS: Self =
        Self { caller: Caller::Anonymous, credential: Credential::None, unread: None };

    /// A caller whose identity an issuer has confirmed.
    pub fn known(known: Arc<Known>, credential: Credential) -> Self {
        Self { caller: Caller::Known(known), credential, unread: None }
    }

    /// Whether the identity comes from a bearer token or an API key.
    pub fn is_bearer(&self) -> bool {
        self.credential.carrier().is_some()
    }

    /// Whether the identity comes from `X-Doorward-Token`: `Authorization` is then the application's.
    pub fn leaves_authorization(&self) -> bool {
        self.credential.carrier() == Some(Carrier::OwnField)
    }

    /// Whether the identity comes from the password of Basic or from a client certificate, which a browser may send for another
    /// site's page.
    pub(crate) fn is_ambient(&self) -> bool {
        matches!(self.credential, Credential::Certificate { .. })
            || self.credential.carrier() == Some(Carrier::Basic)
    }

    /// Whether the identity comes from a token with a DPoP proof.
    pub(crate) fn is_dpop(&self) -> bool {
        self.credential.carrier() == Some(Carrier::Dpop)
    }

    /// Whether the identity comes from a session cookie.
    pub fn has_session(&self) -> bool {
        matches!(self.credential, Credential::Session(_))
    }
}
