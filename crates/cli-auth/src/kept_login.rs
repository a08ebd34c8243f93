//! A person's login that outlives the program: its tokens are in a file that only its owner can read, and are refreshed
//! without user interaction.
//!
//! Any number of processes may use one login at once. Only the process that holds the lock presents the refresh token. It
//! writes the answer before it releases the lock, and the others read what it wrote. So an issuer that accepts each refresh
//! token once (RFC 9700 §4.14.2) never sees one twice, and running two programs does not sign the person out.
//!
//! While the issuer is down the present access token is served until it expires. A login with a refresh token ends only when
//! the issuer refuses that token.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use m2m::private_file::{PrivateFile, PrivateFileError};
use m2m::{CacheKey, InvalidAccessToken, TokenError};
use oidc_core::client::{TokenEndpoint, TokenEndpointError};
use oidc_core::token::Scope;
use oidc_core::{Clock, Issuer, SystemClock};
use serde::{Deserialize, Serialize};

mod login;
mod record;

pub use login::{EndedLogin, KeptLogin};
use record::Record;

/// Extension of the logins' files.
const FILE_ENDS: &str = "json";

/// The folder where logins are kept, one file for each issuer and client id.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let logins = cli_auth::KeptLogins::new(folder.path().join("logins"));
/// assert!(logins.last()?.is_none(), "no login yet");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct KeptLogins {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
}

/// The person who signed in, and settings that the program keeps with the login. Holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Person {
    /// `sub` of the ID token.
    pub subject: String,
    /// Display name of the person.
    pub name: Option<String>,
    /// Settings of the program that belong to this login, such as the CA file it was made with.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// Facts about a kept login, without its tokens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoginFacts {
    /// Issuer of the login.
    pub issuer: Issuer,
    /// Client that the person signed in with.
    pub client_id: String,
    /// Person who signed in.
    pub person: Person,
    /// Granted scope; `None` if it is the requested one.
    pub scope: Option<Scope>,
    /// Time of the login.
    pub signed_in_at: SystemTime,
    /// Expiry of the present access token, if it is known.
    pub access_expires_at: Option<SystemTime>,
    /// Expiry of the refresh token unless it is used before, if the issuer states it.
    pub refresh_expires_at: Option<SystemTime>,
    /// True if there is a refresh token. Without one the login ends with its access token.
    pub renews: bool,
    /// True if the issuer ended the login, so that a new one is needed.
    pub ended: bool,
}

/// Reason a kept login gives no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeptLoginError {
    /// No login is kept for this issuer and client.
    #[error("not signed in at {issuer} with the client {client_id}; sign in first")]
    NotSignedIn {
        /// The issuer.
        issuer: Issuer,
        /// The client.
        client_id: String,
    },
    /// The issuer ended the login, or it ended by itself.
    #[error(
        "the login at {issuer} with the client {client_id} ended{}; sign in again",
        because(description)
    )]
    Ended {
        /// The issuer.
        issuer: Issuer,
        /// The client.
        client_id: String,
        /// Description by the issuer, cut and escaped.
        description: Option<String>,
    },
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The file is not one that this version can read, or belongs to another login.
    #[error("invalid login file {}: {reason}; remove it and sign in again", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Reason it cannot be read.
        reason: String,
    },
    /// The issuer gave no token. The login is kept.
    #[error("the token could not be refreshed: {0}")]
    Endpoint(#[source] TokenEndpointError),
    /// The issuer gave a token that cannot be sent.
    #[error(transparent)]
    Invalid(#[from] InvalidAccessToken),
}

impl KeptLoginError {
    /// True if the person has to sign in.
    pub fn is_login_needed(&self) -> bool {
        matches!(self, Self::NotSignedIn { .. } | Self::Ended { .. })
    }
}

impl Person {
    /// The person with this `sub` at the issuer.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), ..Self::default() }
    }

    /// The display name, or the subject without one.
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.subject)
    }

    /// Sets the display name.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Keeps a setting with the login. For a secret, keep its path, not the secret.
    #[must_use]
    pub fn with_setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }
}

impl KeptLogins {
    /// Logins in this folder, which is created when the first one is kept.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), clock: Arc::new(SystemClock) }
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The folder of the logins.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All logins, the latest first.
    ///
    /// # Errors
    ///
    /// [`KeptLoginError::File`] and [`KeptLoginError::Unreadable`], which name the file and what to do about it.
    pub fn all(&self) -> Result<Vec<LoginFacts>, KeptLoginError> {
        let unreadable = |source| PrivateFileError::Read { path: self.folder.clone(), source };
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error).into()),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            let hidden =
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if path.extension().is_some_and(|ends| ends == FILE_ENDS) && !hidden {
                all.extend(Record::read(&PrivateFile::new(path))?.map(Record::facts));
            }
        }
        all.sort_by_key(|facts| std::cmp::Reverse(facts.signed_in_at));
        Ok(all)
    }

    /// The latest login: the one to use when none is named.
    ///
    /// # Errors
    ///
    /// As [`all`](Self::all).
    pub fn last(&self) -> Result<Option<LoginFacts>, KeptLoginError> {
        Ok(self.all()?.into_iter().next())
    }

    /// The login at this issuer with this client. Other files in the folder are not read.
    ///
    /// # Errors
    ///
    /// As [`all`](Self::all).
    pub fn of(
        &self,
        issuer: &Issuer,
        client_id: &str,
    ) -> Result<Option<LoginFacts>, KeptLoginError> {
        let file = PrivateFile::new(self.path(issuer, client_id, FILE_ENDS));
        Ok(Record::read(&file)?.map(Record::facts))
    }

    /// The login at this endpoint's issuer with this endpoint's client, even if no person is signed in yet.
    pub fn login(&self, endpoint: TokenEndpoint) -> KeptLogin {
        KeptLogin::new(self, endpoint)
    }

    fn path(&self, issuer: &Issuer, client_id: &str, ends: &str) -> PathBuf {
        let key = CacheKey::of([("issuer", issuer.as_str()), ("client_id", client_id)]);
        self.folder.join(format!("{key}.{ends}"))
    }
}

fn because(description: &Option<String>) -> String {
    description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default()
}

impl From<KeptLoginError> for TokenError {
    fn from(error: KeptLoginError) -> Self {
        match error {
            KeptLoginError::Endpoint(error) => error.into(),
            KeptLoginError::Invalid(error) => error.into(),
            error if error.is_login_needed() => {
                let description = Some(error.to_string());
                // The status that RFC 6749 §5.2 gives this error.
                TokenEndpointError::InvalidGrant { description, status: 400 }.into()
            }
            error => TokenEndpointError::unavailable(error.to_string(), None).into(),
        }
    }
}
