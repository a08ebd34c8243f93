//! Sessions: the record behind a cookie, and the port to where records are kept.
//!
//! A cookie holds a [`Ticket`]. With the embedded store the ticket names a record kept here; with the cookie store the
//! ticket is the sealed record itself. [`Sessions`] opens tickets once and remembers them, so that later requests with the same
//! cookie cost no cryptography and no I/O.

use std::time::SystemTime;

use async_trait::async_trait;
use oidc_core::Secret;
use serde::{Deserialize, Serialize};

use crate::identify::Known;

/// Names a session in logs, on the admin listener and in deny-lists; knowing it opens nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(String);

/// What the cookie holds: 256 random bits that name a record, or the sealed record. Whoever has it has the session.
#[derive(Debug, Clone)]
pub struct Ticket(Secret);

/// Everything about one session that must outlive the process.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its public name.
    pub id: SessionId,
    /// Who signed in.
    pub known: Known,
    /// `sid` at the provider, for logout across clients (Back-Channel Logout 1.0).
    pub provider_session: Option<String>,
    /// When the person signed in.
    pub created_at: SystemTime,
    /// When the last request came, as last written.
    pub last_seen: SystemTime,
    /// The provider's access token.
    pub access_token: Secret,
    /// When the access token expires.
    pub access_expires_at: SystemTime,
    /// The provider's refresh token, if it gave one.
    pub refresh_token: Option<Secret>,
    /// The ID token, sent as a hint at logout.
    pub id_token: Option<Secret>,
    /// How often the tokens were refreshed; two records of one session are told apart by it.
    pub generation: u64,
}

/// Why a store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached or failed; nothing is known about the session. Never treated as "logged out".
    #[error("session store unavailable: {reason}")]
    Unavailable {
        /// what failed
        reason: String,
    },
    /// The record does not fit (cookie store: browsers keep at most 4096 octets in a cookie).
    #[error("session too large for the store: {size} octets, at most {limit}")]
    TooLarge {
        /// its size, in octets
        size: usize,
        /// the store's limit, in octets
        limit: usize,
    },
}

/// Where session records are kept.
#[async_trait]
pub trait SessionStore: Send + Sync + std::fmt::Debug {
    /// Keeps a new record; the ticket goes into the browser's cookie.
    async fn create(&self, record: &Record) -> Result<Ticket, StoreError>;
    /// The record a ticket stands for; `None` when there is none (never was, ended, or not ours).
    async fn load(&self, ticket: &Ticket) -> Result<Option<Record>, StoreError>;
    /// Keeps a changed record of the same session. The ticket may change (cookie store) and then must reach the browser; an old
    /// ticket of the same session keeps working for a minute, for requests already under way.
    async fn replace(&self, ticket: &Ticket, record: &Record) -> Result<Ticket, StoreError>;
    /// Writes down when sessions were last used, many at once.
    async fn touch(&self, seen: &[(SessionId, SystemTime)]) -> Result<(), StoreError>;
    /// Ends a session: no ticket of it opens again.
    async fn end(&self, id: &SessionId) -> Result<(), StoreError>;
    /// Ends the sessions of a provider session (`sid`) or of a subject, and names them.
    async fn end_matching(&self, which: &Which) -> Result<Vec<SessionId>, StoreError>;
    /// Whether the store can be used now, for readiness.
    async fn ready(&self) -> Result<(), StoreError>;
}

/// Sessions chosen by what the provider calls them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All that stem from one provider session.
    ProviderSession {
        /// issuer name in the configuration
        issuer: String,
        /// `sid`
        sid: String,
    },
    /// All of one person.
    Subject {
        /// issuer name in the configuration
        issuer: String,
        /// `sub`
        subject: String,
    },
}
