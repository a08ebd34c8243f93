//! The record of a session, its limits, and the choices that logout makes among records.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use access_policy::Known;
use oidc_core::Secret;
use oidc_core::token::Algorithm;
use oidc_core::verify::unverified_issuer;
use serde::{Serialize, Serializer, ser::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    digest::{Digest, sha256},
    ticket::SessionId,
};

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
    /// Number of refreshes so far; distinguishes two records of one session.
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
    pub fn is_of(&self, iss: &str) -> bool {
        if !self.known.iss.is_empty() {
            return self.known.iss == iss;
        }
        let stated = self.id_token.as_ref().and_then(|token| unverified_issuer(token.expose()));
        stated.is_none_or(|stated| stated == iss)
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
    pub(super) fn ended_by(&self, signed_with: Option<Algorithm>) -> bool {
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

    /// Whether a session has ended. A clock that was set back ends no session.
    pub fn passed(&self, created_at: SystemTime, last_seen: SystemTime, now: SystemTime) -> bool {
        let since = |then| now.duration_since(then).unwrap_or(Duration::ZERO);
        since(last_seen) >= self.idle || since(created_at) >= self.lifetime
    }
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
    /// The sessions of one person whose ID token named no provider session.
    Unnamed {
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
            Self::Unnamed { issuer, subject } => {
                record.provider_session.is_none()
                    && record.known.issuer == *issuer
                    && record.known.subject == *subject
            }
        }
    }

    /// Names the choice in a store, where its words must not be kept. Lengths come first, so that no two choices give the same
    /// digest.
    pub(super) fn digest(&self) -> Digest {
        let (kind, issuer, name) = match self {
            Self::ProviderSession { issuer, sid } => ("sid", issuer, sid),
            Self::Subject { issuer, subject } => ("sub", issuer, subject),
            Self::Unnamed { issuer, subject } => ("unnamed", issuer, subject),
        };
        sha256(format!("{kind} {} {issuer}{name}", issuer.len()).as_bytes())
    }

    /// The choices that include a record.
    pub(super) fn of(record: &Record) -> impl Iterator<Item = Self> {
        let issuer = record.known.issuer.clone();
        let subject = record.known.subject.clone();
        let by_session = match record.provider_session.clone() {
            Some(sid) => Self::ProviderSession { issuer: issuer.clone(), sid },
            None => Self::Unnamed { issuer: issuer.clone(), subject: subject.clone() },
        };
        [by_session, Self::Subject { issuer, subject }].into_iter()
    }
}
