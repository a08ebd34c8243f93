//! Sessions: the record behind a cookie, and the port for storing records.
//!
//! A cookie holds a [`Ticket`]. With the embedded store the ticket names a record kept here; with the cookie store the
//! ticket is the sealed record itself. [`Sessions`] opens tickets once and remembers them, so that later requests with the
//! same cookie cost no cryptography and no I/O.
//!
//! A session ends by logout, by its limits, or because the provider says so. It never ends because a request was refused or
//! because a store did not answer.

mod cookie;
mod cookies;
mod embedded;
mod encoding;
mod live;
mod refresh;
mod seal;
mod sessions;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod fixtures;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use oidc_core::{Algorithm, Secret, unverified_issuer};
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use access_policy::Known;

pub use self::{
    cookie::CookieStore,
    cookies::{CookieError, Cookies, SetCookies},
    embedded::{EmbeddedError, EmbeddedStore},
    live::{LiveSession, StreamGuard},
    refresh::{Freshness, Renew, RenewError},
    seal::{Keys, KeysError, P256Key, Purpose, SealError},
    sessions::{Ends, Sessions},
};

/// SHA-256 of a ticket. Caches and tables use it as their key, so that neither holds anything that opens a session.
pub(crate) type Digest = [u8; 32];

/// Names a session in logs, on the admin listener and in deny-lists; gives no access to the session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionId(String);

impl SessionId {
    /// A new, unique name (128 random bits).
    pub fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()))
    }

    /// A name from outside, such as an administrator's request. Only the store knows whether a session has it.
    pub fn from_name(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Content of the session cookie: 256 random bits that name a record, or the sealed record. Possession of it gives access to
/// the session.
#[derive(Debug, Clone)]
pub struct Ticket(Secret);

impl Ticket {
    /// Text of a cookie. Only the store knows whether it opens a session.
    pub fn new(text: Secret) -> Self {
        Self(text)
    }

    /// 256 random bits.
    pub fn random() -> Self {
        Self(Secret::from(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())))
    }

    /// The text for the cookie.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// SHA-256 of the ticket: stands for the ticket where the ticket itself must not be kept.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.expose().as_bytes())
    }
}

/// Everything about one session that must outlive the process.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its public name.
    pub id: SessionId,
    /// Identity of the person who signed in.
    pub known: Arc<Known>,
    /// `sid` at the provider, for logout across clients (Back-Channel Logout 1.0).
    pub provider_session: Option<String>,
    /// Time of the sign-in.
    pub created_at: SystemTime,
    /// Time of the last request, as last written to the store.
    pub last_seen: SystemTime,
    /// Time at which the provider issued the present tokens.
    pub renewed_at: SystemTime,
    /// The provider's access token.
    pub access_token: Secret,
    /// Time at which the access token expires.
    pub access_expires_at: SystemTime,
    /// The provider's refresh token, if it issued one.
    pub refresh_token: Option<Secret>,
    /// The ID token, sent as a hint at logout.
    pub id_token: Option<Secret>,
    /// Algorithm that the ID token is signed with; `None` in records of versions that did not store it.
    pub id_token_algorithm: Option<Algorithm>,
    /// Number of refreshes so far; tells two records of one session apart.
    pub generation: u64,
}

impl Record {
    /// A session that begins `now`, under a name of its own.
    pub fn new(
        known: Known,
        access_token: Secret,
        access_expires_at: SystemTime,
        now: SystemTime,
    ) -> Self {
        Self {
            id: SessionId::random(),
            known: Arc::new(known),
            provider_session: None,
            created_at: now,
            last_seen: now,
            renewed_at: now,
            access_token,
            access_expires_at,
            refresh_token: None,
            id_token: None,
            id_token_algorithm: None,
            generation: 0,
        }
    }

    /// Whether the session's identity comes from the issuer with this identifier. A record of a version that did not store the
    /// identifier is judged by its ID token, which was verified when the session began.
    pub(crate) fn is_of(&self, iss: &str) -> bool {
        if !self.known.iss.is_empty() {
            return self.known.iss == iss;
        }
        let told = self.id_token.as_ref().and_then(|token| unverified_issuer(token.expose()));
        told.is_none_or(|told| told == iss)
    }

    /// With the provider's refresh token; without one the session ends with its access token.
    #[must_use]
    pub fn with_refresh_token(self, refresh_token: Option<Secret>) -> Self {
        Self { refresh_token, ..self }
    }

    /// With the ID token.
    #[must_use]
    pub fn with_id_token(self, id_token: Option<Secret>) -> Self {
        Self { id_token, ..self }
    }

    /// With the algorithm that the ID token is signed with.
    #[must_use]
    pub fn with_id_token_algorithm(self, id_token_algorithm: Option<Algorithm>) -> Self {
        Self { id_token_algorithm, ..self }
    }

    /// With the provider's own name for its session (`sid`).
    #[must_use]
    pub fn with_provider_session(self, provider_session: Option<String>) -> Self {
        Self { provider_session, ..self }
    }

    /// Whether a logout token with this signature algorithm ends the session: yes if the ID token is signed with the same one
    /// (OpenID Connect Back-Channel Logout 1.0 §2.6), or if the ID token's algorithm is not known. `None`: the session is not
    /// ended by a logout token, and always ends.
    fn ended_by(&self, signed_with: Option<Algorithm>) -> bool {
        match (signed_with, self.id_token_algorithm) {
            (Some(found), Some(own)) => found == own,
            _ => true,
        }
    }
}

/// Limits on the life of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest time without a request.
    pub idle: Duration,
    /// The longest time since the person signed in, however active.
    pub lifetime: Duration,
}

impl Limits {
    /// Both limits; a session ends at whichever comes first.
    pub fn new(idle: Duration, lifetime: Duration) -> Self {
        Self { idle, lifetime }
    }

    /// Whether a session is over. A clock that was set back ends no session.
    pub fn passed(&self, created_at: SystemTime, last_seen: SystemTime, now: SystemTime) -> bool {
        let since = |then| now.duration_since(then).unwrap_or(Duration::ZERO);
        since(last_seen) >= self.idle || since(created_at) >= self.lifetime
    }
}

/// Failures of a session store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached or failed; nothing is known about the session. Never treated as "logged out".
    #[error("session store unavailable: {reason}")]
    Unavailable {
        /// cause of the failure
        reason: String,
    },
    /// The record does not fit (cookie store: browsers keep at most 4096 bytes in a cookie).
    #[error(
        "session too large for the store: {size} octets, at most {limit}; map fewer claims into tokens at the provider, or use the embedded store"
    )]
    TooLarge {
        /// its size, in bytes
        size: usize,
        /// the store's limit, in bytes
        limit: usize,
    },
}

/// A session as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its public name.
    pub id: SessionId,
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// Name to show for the person.
    pub name: String,
    /// Time of the sign-in.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: SystemTime,
    /// Time of the last request.
    #[serde(serialize_with = "rfc3339")]
    pub last_seen: SystemTime,
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let text = OffsetDateTime::from(*time).format(&Rfc3339).map_err(S::Error::custom)?;
    serializer.serialize_str(&text)
}

impl From<&Record> for Summary {
    fn from(record: &Record) -> Self {
        Self {
            id: record.id.clone(),
            issuer: record.known.issuer.clone(),
            subject: record.known.subject.clone(),
            name: record.known.display_name().to_owned(),
            created_at: record.created_at,
            last_seen: record.last_seen,
        }
    }
}

/// Storage of session records.
#[async_trait]
pub trait SessionStore: Send + Sync + fmt::Debug {
    /// Stores a new record; the ticket goes into the browser's cookie.
    async fn create(&self, record: &Record) -> Result<Ticket, StoreError>;

    /// The record of a ticket; `None` when there is none (never existed, ended, or not ours).
    async fn load(&self, ticket: &Ticket) -> Result<Option<Record>, StoreError>;

    /// Stores a changed record of the same session; `None` when the session has ended meanwhile. It then stays ended.
    ///
    /// The ticket may change (cookie store); the new one must reach the browser. An old ticket of the same session keeps
    /// working for a minute, for requests already under way.
    async fn replace(&self, ticket: &Ticket, record: &Record)
    -> Result<Option<Ticket>, StoreError>;

    /// Stores the times at which sessions were last used, many at once.
    async fn touch(&self, seen: &[(SessionId, SystemTime)]) -> Result<(), StoreError>;

    /// Whether the store keeps records. If not, the ticket is the record. A refresh or a new time of last use then changes the
    /// ticket, and takes effect once the browser has the new one. Such a change is made while a request waits, so that its
    /// answer carries the new ticket.
    fn keeps_records(&self) -> bool {
        true
    }

    /// Ends a session: no ticket of it opens again.
    async fn end(&self, id: &SessionId) -> Result<(), StoreError>;

    /// Ends the sessions of a provider session (`sid`) or of a subject, and returns the names that are known. With
    /// `signed_with`, ends only those whose ID token is signed with this algorithm, and those whose algorithm is not known.
    async fn end_matching(
        &self,
        which: &Which,
        signed_with: Option<Algorithm>,
    ) -> Result<Ended, StoreError>;

    /// The sessions in this store, at most `limit`; none where records are kept elsewhere (cookie store).
    async fn list(&self, limit: usize) -> Result<Vec<Summary>, StoreError>;

    /// Deletes records that are over, and returns their number.
    async fn sweep(&self, limits: &Limits, now: SystemTime) -> Result<usize, StoreError>;

    /// Whether the store can be used now, for readiness.
    async fn ready(&self) -> Result<(), StoreError>;
}

/// Result of ending several sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// The sessions that ended, as far as their names are known.
    pub ids: Vec<SessionId>,
    /// The sessions that stay, because their ID token is signed with another algorithm than the logout token.
    pub spared: Vec<SessionId>,
}

/// Sessions chosen by the provider's identifiers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Which {
    /// All sessions that belong to one provider session.
    ProviderSession {
        /// issuer name in the configuration
        issuer: String,
        /// `sid`
        sid: String,
    },
    /// All sessions of one person.
    Subject {
        /// issuer name in the configuration
        issuer: String,
        /// `sub`
        subject: String,
    },
}

impl Which {
    /// Whether a record is one of them.
    pub fn includes(&self, record: &Record) -> bool {
        match self {
            Self::ProviderSession { issuer, sid } => {
                record.known.issuer == *issuer && record.provider_session.as_ref() == Some(sid)
            }
            Self::Subject { issuer, subject } => {
                record.known.issuer == *issuer && record.known.subject == *subject
            }
        }
    }

    /// The choices that include a record.
    fn of(record: &Record) -> impl Iterator<Item = Self> {
        let issuer = record.known.issuer.clone();
        let by_session = record
            .provider_session
            .clone()
            .map(|sid| Self::ProviderSession { issuer: issuer.clone(), sid });
        let subject = record.known.subject.clone();
        by_session.into_iter().chain(std::iter::once(Self::Subject { issuer, subject }))
    }
}

pub(crate) fn sha256(octets: &[u8]) -> Digest {
    let mut out = Digest::default();
    out.copy_from_slice(digest(&SHA256, octets).as_ref());
    out
}

/// Nanoseconds since 1970, as tables and atomics hold times; 0 for earlier times.
fn nanos(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn from_nanos(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}
