//! Content of an entry: the token, its times, and the last failed attempt.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oidc_core::Secret;
use oidc_core::client::{TokenEndpointError, TokenType};
use serde::{Deserialize, Serialize, Serializer};

use super::FileCacheError;
use crate::access_token::AccessToken;
use crate::cache::backoff::Failure;
use crate::cache_key::CacheKey;
use crate::source::TokenError;

const VERSION: u32 = 2;
/// Tolerated difference by which a written time may be ahead of this process's clock.
const TOLERANCE: Duration = Duration::from_secs(5);
/// Longest accepted life of a token.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Longest back-off that is written or accepted, even if the issuer asks for more.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// State that the processes share.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) token: Option<Kept>,
    /// The issuer's last outage.
    pub(super) failure: Option<Failed>,
    /// Time of the last renewal of a token that a service had rejected.
    pub(super) renewed_at: Option<SystemTime>,
}

#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) token: AccessToken,
    pub(super) obtained: SystemTime,
}

/// The last failed attempt and its time.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) at: SystemTime,
}

impl Failed {
    /// The failure with the back-off that is left; `None` once it has passed.
    pub(super) fn now(&self, now: SystemTime) -> Option<Failure> {
        let left =
            self.failure.wait.checked_sub(now.duration_since(self.at).unwrap_or_default())?;
        let error = self.failure.error.clone().with_time_left(left);
        (!left.is_zero()).then_some(Failure { error, wait: left, ..self.failure })
    }
}

/// Format of the file. Times are milliseconds since 1970.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<FileToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<FileFailure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    renewed_at: Option<u64>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FileToken {
    #[serde(serialize_with = "exposed")]
    access_token: Secret,
    token_type: FileTokenType,
    issued_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
enum FileTokenType {
    Bearer,
    DPoP,
}

/// An outage of the issuer, which concerns every process.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FileFailure {
    reason: String,
    failures: u32,
    at: u64,
    wait: u64,
}

impl Record {
    /// Parses a file; refuses another version, another key and impossible times.
    pub(super) fn parse(
        text: &Secret,
        key: &CacheKey,
        now: SystemTime,
    ) -> Result<Self, FileCacheError> {
        #[derive(Deserialize)]
        struct Format {
            version: u32,
        }
        let text = text.expose();
        let format: Format = serde_json::from_str(text).map_err(|_| FileCacheError::Malformed)?;
        if format.version != VERSION {
            return Err(FileCacheError::Foreign);
        }
        let file: File = serde_json::from_str(text).map_err(|_| FileCacheError::Malformed)?;
        if file.key != key.to_string() {
            return Err(FileCacheError::Foreign);
        }
        let token = file.token.map(|token| token.believed(now)).transpose()?;
        let failure = file.failure.map(|failure| failure.believed(now)).transpose()?;
        let renewed_at = file.renewed_at.map(|at| past(at, now)).transpose()?;
        Ok(Self { token, failure, renewed_at })
    }

    pub(super) fn to_text(&self, key: &CacheKey) -> Result<Secret, FileCacheError> {
        let file = File {
            version: VERSION,
            key: key.to_string(),
            token: self.token.as_ref().and_then(FileToken::of),
            failure: self.failure.as_ref().and_then(FileFailure::of),
            renewed_at: self.renewed_at.map(millis),
        };
        serde_json::to_string(&file).map(Secret::from).map_err(|_| FileCacheError::Malformed)
    }
}

impl FileToken {
    fn of(kept: &Kept) -> Option<Self> {
        let token_type = match kept.token.token_type() {
            TokenType::Bearer => FileTokenType::Bearer,
            TokenType::DPoP => FileTokenType::DPoP,
            _ => return None,
        };
        Some(Self {
            access_token: kept.token.secret().clone(),
            token_type,
            issued_at: millis(kept.obtained),
            expires_at: kept.token.expires_at().map(millis),
        })
    }

    fn believed(self, now: SystemTime) -> Result<Kept, FileCacheError> {
        let obtained = past(self.issued_at, now)?;
        let expires_at = self.expires_at.map(time).transpose()?;
        let life = expires_at.and_then(|at| at.duration_since(obtained).ok());
        if life.is_some_and(|life| life > LONGEST_LIFE) {
            return Err(FileCacheError::Impossible { what: "a life of more than ten years" });
        }
        let token_type = match self.token_type {
            FileTokenType::Bearer => TokenType::Bearer,
            FileTokenType::DPoP => TokenType::DPoP,
        };
        let token = AccessToken::new(self.access_token, token_type, expires_at);
        Ok(Kept { token: token.map_err(|_| FileCacheError::Malformed)?, obtained })
    }
}

impl FileFailure {
    fn of(failed: &Failed) -> Option<Self> {
        let TokenError::Unavailable { source, .. } = &failed.failure.error else { return None };
        let TokenEndpointError::Unavailable { reason, outage: true, .. } = source else {
            return None;
        };
        let reason = reason.clone();
        let wait = failed.failure.wait.min(LONGEST_WAIT);
        let wait = u64::try_from(wait.as_millis()).unwrap_or_default();
        Some(Self { reason, failures: failed.failure.failures, at: millis(failed.at), wait })
    }

    fn believed(self, now: SystemTime) -> Result<Failed, FileCacheError> {
        let at = past(self.at, now)?;
        let wait = Duration::from_millis(self.wait);
        if wait > LONGEST_WAIT {
            return Err(FileCacheError::Impossible { what: "a back-off of more than an hour" });
        }
        let (reason, retry_after) = (self.reason, Some(wait));
        let source = TokenEndpointError::Unavailable { reason, retry_after, outage: true };
        let failure = Failure { error: source.into(), failures: self.failures, wait };
        Ok(Failed { failure, at })
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time(millis: u64) -> Result<SystemTime, FileCacheError> {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .ok_or(FileCacheError::Impossible { what: "a time out of range" })
}

fn past(millis: u64, now: SystemTime) -> Result<SystemTime, FileCacheError> {
    let at = time(millis)?;
    match at.duration_since(now) {
        Ok(ahead) if ahead > TOLERANCE => {
            Err(FileCacheError::Impossible { what: "it comes from the future" })
        }
        _ => Ok(at),
    }
}

fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}
