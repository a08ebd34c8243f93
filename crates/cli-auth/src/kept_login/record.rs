//! File format of a login: one JSON object, in a file that only its owner can read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use m2m::AccessToken;
use m2m::private_file::PrivateFile;
use oidc_core::client::{TokenSet, TokenType};
use oidc_core::{Issuer, Secret};
use serde::{Deserialize, Serialize, Serializer};

use super::{KeptLoginError, LoginFacts, Person};

/// Version of the format, written into each file.
const VERSION: u32 = 1;

/// Longest time before expiry at which a token is refreshed.
const MARGIN: Duration = Duration::from_secs(30);
/// Assumed life of a token when the issuer does not state it.
const UNSTATED_LIFE: Duration = Duration::from_secs(60);
/// Shortest and longest pause after a failure. Within these bounds the issuer's `Retry-After` counts.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Record {
    version: u32,
    issuer: Issuer,
    client_id: String,
    #[serde(flatten)]
    person: Person,
    #[serde(with = "milliseconds")]
    signed_in_at: SystemTime,
    scope: Option<String>,
    /// `None` once the issuer ended the login.
    pub(super) tokens: Option<Tokens>,
    /// Failure of the last refresh, and the time before which the next is not tried.
    failure: Option<Failure>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Tokens {
    #[serde(serialize_with = "exposed")]
    pub(super) access_token: Secret,
    /// True if the access token is bound to a key (RFC 9449), so that it is never sent as a plain bearer token.
    #[serde(default)]
    dpop: bool,
    #[serde(with = "milliseconds")]
    obtained_at: SystemTime,
    #[serde(with = "milliseconds::optional")]
    expires_at: Option<SystemTime>,
    #[serde(serialize_with = "exposed_if_any")]
    pub(super) refresh_token: Option<Secret>,
    #[serde(with = "milliseconds::optional")]
    refresh_expires_at: Option<SystemTime>,
    #[serde(serialize_with = "exposed_if_any")]
    pub(super) id_token: Option<Secret>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Failure {
    reason: String,
    #[serde(with = "milliseconds")]
    until: SystemTime,
}

impl Record {
    pub(super) fn new(
        issuer: Issuer,
        client_id: &str,
        person: Person,
        tokens: TokenSet,
        now: SystemTime,
    ) -> Self {
        let scope = tokens.scope.as_ref().map(ToString::to_string);
        Self {
            version: VERSION,
            issuer,
            client_id: client_id.to_owned(),
            person,
            signed_in_at: now,
            scope,
            tokens: Some(Tokens::new(tokens, now)),
            failure: None,
        }
    }

    /// The record in `file`, if there is one.
    pub(super) fn read(file: &PrivateFile) -> Result<Option<Self>, KeptLoginError> {
        let Some(text) = file.read()? else { return Ok(None) };
        let unreadable =
            |reason: String| KeptLoginError::Unreadable { path: file.path().to_owned(), reason };
        let record: Self = serde_json::from_str(text.expose()).map_err(|error| {
            // The parser's message quotes values, which may be tokens: report only the position.
            unreadable(format!("line {}, column {}", error.line(), error.column()))
        })?;
        if record.version != VERSION {
            return Err(unreadable(format!("unsupported version {}", record.version)));
        }
        Ok(Some(record))
    }

    pub(super) fn write(&self, file: &PrivateFile) -> Result<(), KeptLoginError> {
        let text = serde_json::to_string(self).map_err(|error| KeptLoginError::Unreadable {
            path: file.path().to_owned(),
            reason: error.to_string(),
        })?;
        Ok(file.replace(&Secret::from(text))?)
    }

    /// Replaces the tokens by those of a refresh. Keeps the refresh token or scope if the answer has none (RFC 6749 §6).
    pub(super) fn renew(&mut self, answer: TokenSet, now: SystemTime) {
        let before = self.tokens.take();
        if let Some(scope) = &answer.scope {
            self.scope = Some(scope.to_string());
        }
        let mut next = Tokens::new(answer, now);
        if let Some(before) = before {
            if next.refresh_token.is_none() {
                next.refresh_token = before.refresh_token;
                next.refresh_expires_at = before.refresh_expires_at;
            }
            // Keep the ID token of the login, which was verified. A refresh does not change the person.
            next.id_token = before.id_token;
        }
        self.tokens = Some(next);
        self.failure = None;
    }

    /// Removes the tokens, after the issuer ended the login.
    pub(super) fn end(&mut self) {
        self.tokens = None;
        self.failure = None;
    }

    pub(super) fn fail(&mut self, reason: String, wait: Option<Duration>, now: SystemTime) {
        let (shortest, longest) = PAUSE;
        let wait = wait.unwrap_or(shortest).clamp(shortest, longest);
        self.failure = Some(Failure { reason, until: now + wait });
    }

    /// Reason for the present pause, and the time left of it.
    pub(super) fn pause(&self, now: SystemTime) -> Option<(&str, Duration)> {
        let failure = self.failure.as_ref()?;
        let (_, longest) = PAUSE;
        // A longer pause means that the clock was set back; it is ignored.
        let left = failure.until.duration_since(now).ok().filter(|left| *left <= longest)?;
        Some((&failure.reason, left))
    }

    pub(super) fn id(&self) -> (&Issuer, &str) {
        (&self.issuer, &self.client_id)
    }

    pub(super) fn facts(self) -> LoginFacts {
        let tokens = self.tokens.as_ref();
        LoginFacts {
            access_expires_at: tokens.and_then(|tokens| tokens.expires_at),
            refresh_expires_at: tokens.and_then(|tokens| tokens.refresh_expires_at),
            renews: tokens.is_some_and(|tokens| tokens.refresh_token.is_some()),
            ended: tokens.is_none(),
            issuer: self.issuer,
            client_id: self.client_id,
            person: self.person,
            signed_in_at: self.signed_in_at,
            scope: self.scope.as_deref().map(Into::into),
        }
    }
}

impl Tokens {
    fn new(answer: TokenSet, now: SystemTime) -> Self {
        Self {
            access_token: answer.access_token,
            dpop: answer.token_type == TokenType::DPoP,
            obtained_at: now,
            expires_at: answer.expires_at,
            refresh_token: answer.refresh_token,
            refresh_expires_at: answer.refresh_expires_at,
            id_token: answer.id_token,
        }
    }

    /// The access token, unless it has expired.
    pub(super) fn good(&self, now: SystemTime) -> Option<Result<AccessToken, KeptLoginError>> {
        let over = self.expires_at.is_some_and(|at| at <= now);
        let token_type = if self.dpop { TokenType::DPoP } else { TokenType::Bearer };
        let token = || AccessToken::new(self.access_token.clone(), token_type, self.expires_at);
        (!over).then(|| token().map_err(KeptLoginError::from))
    }

    /// True if a refresh is due: less than `min(30 s, life / 2)` is left, or the clock was set back.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        let Ok(used) = now.duration_since(self.obtained_at) else { return true };
        let life = match self.expires_at {
            Some(at) => at.duration_since(self.obtained_at).unwrap_or_default(),
            None => UNSTATED_LIFE,
        };
        life.saturating_sub(used) < MARGIN.min(life / 2)
    }
}

fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

fn exposed_if_any<S: Serializer>(
    secret: &Option<Secret>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => serializer.serialize_some(secret.expose()),
        None => serializer.serialize_none(),
    }
}

/// Times as milliseconds since 1970.
mod milliseconds {
    use super::{Duration, SystemTime, UNIX_EPOCH};
    use serde::{Deserialize as _, Deserializer, Serializer};

    fn since_1970(time: &SystemTime) -> u64 {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn time<E: serde::de::Error>(milliseconds: u64) -> Result<SystemTime, E> {
        let time = UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds));
        time.ok_or_else(|| E::custom("a time out of range"))
    }

    pub(super) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(since_1970(time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        time(u64::deserialize(deserializer)?)
    }

    pub(super) mod optional {
        use super::{Deserializer, Serializer, SystemTime, since_1970, time};
        use serde::Deserialize as _;

        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<SystemTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => serializer.serialize_some(&since_1970(time)),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            Option::<u64>::deserialize(deserializer)?.map(time).transpose()
        }
    }
}
