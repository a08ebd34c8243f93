//! Stage 3, identify: who calls, from a bearer token or a session cookie.
//!
//! Missing credentials are not refused here, only bad ones: whether somebody must be known is for `authorize` to say. A
//! public route thus still learns who is there.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use oidc_core::Secret;
use serde::{Deserialize, Serialize};

use crate::{route::Routed, session::LiveSession};

/// Who calls.
#[derive(Debug, Clone)]
pub enum Identity {
    /// Nobody said who they are.
    Anonymous,
    /// Somebody an issuer vouches for.
    Known(Arc<Known>),
}

/// Somebody an issuer vouches for: claims that were verified, read by the issuer's configured paths.
///
/// Realm roles and client roles are kept apart: a role of one client never passes for a role of the realm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// `sub`, unique within the issuer.
    pub subject: String,
    /// The name a person signs in with.
    pub preferred_username: Option<String>,
    /// The e-mail address, if the issuer told one.
    pub email: Option<String>,
    /// Whether the issuer says that the address was verified; anything but JSON `true` is `false`.
    pub email_verified: bool,
    /// The name to show.
    pub name: Option<String>,
    /// Roles that hold for the whole realm.
    pub roles: Vec<String>,
    /// Roles that hold for one client, by client.
    pub client_roles: BTreeMap<String, Vec<String>>,
    /// Groups, as the issuer writes them (Keycloak: full paths).
    pub groups: Vec<String>,
    /// Scopes the token was granted.
    pub scopes: Vec<String>,
    /// The client the token was issued to (`azp` or `client_id`).
    pub client: Option<String>,
    /// Every verified claim, for rules on claims.
    pub claims: serde_json::Map<String, serde_json::Value>,
}

impl Known {
    /// What a page or a log line calls this person or program.
    pub fn display_name(&self) -> &str {
        self.name
            .as_deref()
            .or(self.preferred_username.as_deref())
            .or(self.client.as_deref())
            .unwrap_or(&self.subject)
    }
}

/// What proved the identity; streams live no longer than this does.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Nothing was presented.
    None,
    /// An access token in the `Authorization` header.
    Bearer {
        /// The token, as it came.
        token: Secret,
        /// Its `exp`.
        expires_at: SystemTime,
    },
    /// A session cookie.
    Session(Arc<LiveSession>),
}

/// A routed request whose caller is known, or known to be anonymous.
#[derive(Debug)]
pub struct Identified {
    pub(crate) routed: Routed,
    pub(crate) identity: Identity,
    pub(crate) credential: Credential,
}
