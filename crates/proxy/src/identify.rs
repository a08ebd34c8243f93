//! Stage 3, identify: who calls, from a bearer token or a session cookie.
//!
//! Missing credentials are not refused here, only bad ones: whether somebody must be known is for `authorize` to say. A
//! public route thus still learns who is there.

pub mod bearer;
pub mod claims;
pub mod cookie;
pub mod issuers;

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use http::{HeaderMap, HeaderValue};
use oidc_core::Secret;
use serde::{Deserialize, Serialize};

use crate::{
    identify::{cookie::SessionCookie, issuers::Issuers},
    respond::Refusal,
    route::Routed,
    session::LiveSession,
};

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

    /// Whether `name` is the subject, the user name, or the verified e-mail address.
    pub fn is_called(&self, name: &str) -> bool {
        self.subject == name
            || self.preferred_username.as_deref() == Some(name)
            || (self.email_verified && self.email.as_deref() == Some(name))
    }

    /// Whether a role was granted: `name` asks for a realm role, `client:name` for a role of that client. The one never passes
    /// for the other, whatever characters their names hold.
    pub fn has_role(&self, role: &str) -> bool {
        match role.split_once(':') {
            None => self.roles.iter().any(|has| has == role),
            Some((client, role)) => self
                .client_roles
                .get(client)
                .is_some_and(|roles| roles.iter().any(|has| has == role)),
        }
    }

    /// The claim at a dotted path.
    pub fn claim(&self, path: &str) -> Option<&serde_json::Value> {
        if let Some(value) = self.claims.get(path) {
            return Some(value);
        }
        let mut parts = path.split('.');
        let mut value = self.claims.get(parts.next()?)?;
        for part in parts {
            value = value.get(part)?;
        }
        Some(value)
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
        /// When it ceases to be good: `exp`, and the leeway its issuer is given.
        good_until: SystemTime,
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
    /// `Set-Cookie` values for the answer, when a refresh changed the session's cookie.
    pub(crate) cookies: Vec<HeaderValue>,
}

/// The second step of the line: who sent these headers.
#[derive(Debug)]
pub struct Identify {
    issuers: Arc<Issuers>,
    cookie: SessionCookie,
}

/// Who sent a request, and what proved it.
#[derive(Debug)]
pub struct Caller {
    /// Who calls.
    pub identity: Identity,
    /// What proved it.
    pub credential: Credential,
    /// `Set-Cookie` values for the answer, when a refresh changed the session's cookie.
    pub cookies: Vec<HeaderValue>,
}

impl Caller {
    /// Nobody in particular.
    pub const ANONYMOUS: Self =
        Self { identity: Identity::Anonymous, credential: Credential::None, cookies: Vec::new() };
}

impl Identify {
    /// Reads bearer tokens of these issuers, and session cookies.
    pub fn new(issuers: Arc<Issuers>, cookie: SessionCookie) -> Self {
        Self { issuers, cookie }
    }

    /// Finds out who sent a routed request.
    ///
    /// # Errors
    ///
    /// Those of [`Identify::caller`].
    pub async fn identify(&self, routed: Routed) -> Result<Identified, Refusal> {
        let Caller { identity, credential, cookies } =
            self.caller(routed.request.headers()).await?;
        Ok(Identified { routed, identity, credential, cookies })
    }

    /// Finds out who sent these headers. A bearer token, where the gateway takes any, speaks before a cookie.
    ///
    /// # Errors
    ///
    /// [`Refusal::BadCredentials`] for a bearer token that is not good, [`Refusal::StoreUnavailable`] and
    /// [`Refusal::ProviderUnavailable`] when a cookie cannot be judged now.
    pub async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        if let Some(token) = bearer::token(headers)
            && self.issuers.bearer().is_some()
        {
            return bearer::identify(&self.issuers, token).await;
        }
        self.cookie.identify(headers).await
    }
}
