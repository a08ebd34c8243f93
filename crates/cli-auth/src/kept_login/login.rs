//! One login: its access token, refreshed by one process at a time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use m2m::private_file::{FileLock, PrivateFile, make_folder};
use m2m::{AccessToken, CacheKey, TokenError, TokenSource};
use oidc_core::Clock;
use oidc_core::client::{Grant, TokenEndpoint, TokenEndpointError, TokenHint, TokenSet};

use super::record::Record;
use super::{KeptLoginError, LoginFacts, Person};

/// Longest wait for another process that refreshes: longer than its request may take.
const TURN: Duration = Duration::from_secs(30);

/// One login: a [`TokenSource`] for the person who signed in. Cheap to clone.
///
/// ```no_run
/// # async fn run(endpoint: oidc_core::client::TokenEndpoint) -> Result<(), Box<dyn std::error::Error>> {
/// use cli_auth::KeptLogins;
/// use m2m::TokenSource;
///
/// let login = KeptLogins::new("/home/me/.local/state/doorward/logins").login(endpoint);
/// let token = login.token().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct KeptLogin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    file: PrivateFile,
    lock: PathBuf,
    endpoint: TokenEndpoint,
    clock: Arc<dyn Clock>,
}

/// Result of ending a login.
#[derive(Debug)]
#[non_exhaustive]
pub struct EndedLogin {
    /// The ended login; `None` if there was none.
    pub facts: Option<LoginFacts>,
    /// Result of the revocation at the issuer (RFC 7009).
    pub revoked: Result<(), TokenEndpointError>,
}

impl KeptLogin {
    pub(super) fn new(logins: &super::KeptLogins, endpoint: TokenEndpoint) -> Self {
        let issuer = endpoint.provider().issuer();
        let path = |ends: &str| logins.path(issuer, endpoint.client_id(), ends);
        let (file, lock) = (PrivateFile::new(path(super::FILE_ENDS)), path("lock"));
        Self(Arc::new(Inner {
            folder: logins.folder.clone(),
            file,
            lock,
            endpoint,
            clock: Arc::clone(&logins.clock),
        }))
    }

    /// The token endpoint, as the login's client.
    pub fn endpoint(&self) -> &TokenEndpoint {
        &self.0.endpoint
    }

    /// Keeps these tokens; a login that was kept before is replaced.
    ///
    /// # Errors
    ///
    /// [`KeptLoginError::File`]; [`KeptLoginError::Invalid`] for a token that cannot be sent.
    pub async fn keep(
        &self,
        person: Person,
        tokens: TokenSet,
    ) -> Result<LoginFacts, KeptLoginError> {
        let inner = &self.0;
        // Not an access token at all (RFC 8693 §2.2.1): no login to keep.
        AccessToken::new(tokens.access_token.clone(), tokens.token_type, tokens.expires_at)?;
        make_folder(&inner.folder)?;
        let _turn = FileLock::acquire(&inner.lock, TURN).await?;
        let issuer = inner.endpoint.provider().issuer().clone();
        let now = inner.clock.now();
        let record = Record::new(issuer, inner.endpoint.client_id(), person, tokens, now);
        record.write(&inner.file)?;
        Ok(record.facts())
    }

    /// The kept login; `None` if no person is signed in.
    ///
    /// # Errors
    ///
    /// [`KeptLoginError::File`], [`KeptLoginError::Unreadable`]
    pub fn facts(&self) -> Result<Option<LoginFacts>, KeptLoginError> {
        Ok(self.0.read()?.map(Record::facts))
    }

    /// An access token that is valid now, refreshed if that is due.
    ///
    /// # Errors
    ///
    /// [`KeptLoginError`]
    pub async fn access_token(&self) -> Result<AccessToken, KeptLoginError> {
        self.fresh(None).await
    }

    /// Another access token than `rejected`, which a service answered with 401.
    ///
    /// # Errors
    ///
    /// [`KeptLoginError`]
    pub async fn access_token_after(
        &self,
        rejected: &AccessToken,
    ) -> Result<AccessToken, KeptLoginError> {
        self.fresh(Some(rejected)).await
    }

    /// Asks the issuer to revoke the tokens (RFC 7009), and removes the file even if that fails.
    ///
    /// # Errors
    ///
    /// [`KeptLoginError::File`] when the file cannot be removed.
    pub async fn end(&self) -> Result<EndedLogin, KeptLoginError> {
        let inner = Arc::clone(&self.0);
        let nothing = EndedLogin { facts: None, revoked: Ok(()) };
        if !inner.folder.exists() {
            return Ok(nothing);
        }
        let _turn = FileLock::acquire(&inner.lock, TURN).await?;
        // Tokens that cannot be read cannot be revoked, but the file can be removed.
        let record = match inner.read() {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(nothing),
            Err(error) => {
                inner.file.remove()?;
                return Err(error);
            }
        };
        let mut revoked = Ok(());
        if let Some(tokens) = &record.tokens {
            if let Some(refresh_token) = &tokens.refresh_token {
                revoked = inner.endpoint.revoke(refresh_token, TokenHint::RefreshToken).await;
            }
            if revoked.is_ok() {
                revoked = inner.endpoint.revoke(&tokens.access_token, TokenHint::AccessToken).await;
            }
        }
        inner.file.remove()?;
        Ok(EndedLogin { facts: Some(record.facts()), revoked })
    }

    async fn fresh(&self, rejected: Option<&AccessToken>) -> Result<AccessToken, KeptLoginError> {
        let record = self.0.read()?.ok_or_else(|| self.0.not_signed_in())?;
        let good = match self.0.validity(&record, rejected)? {
            Validity::Fresh(token) => return Ok(token),
            Validity::Due(token) => Some(token),
            Validity::Expired => None,
        };
        let turn = match good {
            // Another process is refreshing: the present token is still valid.
            Some(token) => match FileLock::try_acquire(&self.0.lock)? {
                Some(turn) => turn,
                None => return Ok(token),
            },
            None => FileLock::acquire(&self.0.lock, TURN).await?,
        };
        let (inner, rejected) = (Arc::clone(&self.0), rejected.cloned());
        // A task of its own: once the refresh token is sent, the answer must be written even if the caller is cancelled.
        let refreshed = tokio::spawn(async move { inner.in_turn(turn, rejected.as_ref()).await });
        refreshed.await.unwrap_or_else(|error| {
            let reason = format!("the refresh was interrupted: {error}");
            Err(KeptLoginError::Endpoint(TokenEndpointError::unavailable(reason, None)))
        })
    }
}

/// Validity of a record's access token.
enum Validity {
    Fresh(AccessToken),
    /// Still valid; a refresh is due.
    Due(AccessToken),
    Expired,
}

impl Inner {
    fn read(&self) -> Result<Option<Record>, KeptLoginError> {
        let record = Record::read(&self.file)?;
        let ours = (self.endpoint.provider().issuer(), self.endpoint.client_id());
        match record {
            Some(record) if record.id() != ours => Err(KeptLoginError::Unreadable {
                path: self.file.path().to_owned(),
                reason: "it belongs to another login".to_owned(),
            }),
            record => Ok(record),
        }
    }

    fn validity(
        &self,
        record: &Record,
        rejected: Option<&AccessToken>,
    ) -> Result<Validity, KeptLoginError> {
        let now = self.clock.now();
        let tokens = record.tokens.as_ref().ok_or_else(|| self.ended(None))?;
        let Some(token) = tokens.good(now).transpose()? else { return Ok(Validity::Expired) };
        let is_rejected = rejected == Some(&token);
        let due = is_rejected || tokens.is_due(now);
        if !due || tokens.refresh_token.is_none() || record.pause(now).is_some() {
            return Ok(Validity::Fresh(token));
        }
        Ok(Validity::Due(token))
    }

    /// Refreshes, unless the previous holder of the lock did.
    async fn in_turn(
        &self,
        _turn: FileLock,
        rejected: Option<&AccessToken>,
    ) -> Result<AccessToken, KeptLoginError> {
        let mut record = self.read()?.ok_or_else(|| self.not_signed_in())?;
        let present = match self.validity(&record, rejected)? {
            Validity::Fresh(token) => return Ok(token),
            Validity::Due(token) => Some(token),
            Validity::Expired => None,
        };
        let unavailable = |reason: String, retry_after: Option<Duration>| {
            Err(KeptLoginError::Endpoint(TokenEndpointError::unavailable(reason, retry_after)))
        };
        if let Some((reason, left)) = record.pause(self.clock.now()) {
            return unavailable(reason.to_owned(), Some(left));
        }
        let tokens = record.tokens.as_ref();
        let Some(refresh_token) = tokens.and_then(|tokens| tokens.refresh_token.clone()) else {
            let why = "the access token ended, and the issuer gave no refresh token";
            return Err(self.ended(Some(why.to_owned())));
        };
        // Fails here if the folder is not writable, before the refresh token is used up.
        record.write(&self.file)?;
        match self.endpoint.request(Grant::RefreshToken { refresh_token, scope: None }).await {
            Ok(answer) => {
                let token = AccessToken::new(
                    answer.access_token.clone(),
                    answer.token_type,
                    answer.expires_at,
                );
                record.renew(answer, self.clock.now());
                record.write(&self.file)?;
                tracing::debug!(issuer = %self.endpoint.provider().issuer(), "a login was refreshed");
                Ok(token?)
            }
            Err(TokenEndpointError::InvalidGrant { description, .. }) => {
                record.end();
                record.write(&self.file)?;
                Err(self.ended(description))
            }
            Err(error) => {
                let wait = match &error {
                    TokenEndpointError::Unavailable { retry_after, .. } => *retry_after,
                    _ => None,
                };
                if error.is_temporary() {
                    record.fail(error.to_string(), wait, self.clock.now());
                    record.write(&self.file)?;
                }
                match present {
                    Some(token) => {
                        tracing::warn!(%error, "a login could not be refreshed; the present token is still used");
                        Ok(token)
                    }
                    None => Err(KeptLoginError::Endpoint(error)),
                }
            }
        }
    }

    fn not_signed_in(&self) -> KeptLoginError {
        KeptLoginError::NotSignedIn {
            issuer: self.endpoint.provider().issuer().clone(),
            client_id: self.endpoint.client_id().to_owned(),
        }
    }

    fn ended(&self, description: Option<String>) -> KeptLoginError {
        KeptLoginError::Ended {
            issuer: self.endpoint.provider().issuer().clone(),
            client_id: self.endpoint.client_id().to_owned(),
            description,
        }
    }
}

// === impl TokenSource ===

#[async_trait]
impl TokenSource for KeptLogin {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        Ok(self.access_token().await?)
    }

    async fn token_after(&self, rejected: &AccessToken) -> Result<AccessToken, TokenError> {
        Ok(self.access_token_after(rejected).await?)
    }

    /// The key of this login only: a later login, or one of another person, has another key.
    fn cache_key(&self) -> Option<CacheKey> {
        let facts = self.facts().ok().flatten()?;
        let since = facts.signed_in_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(CacheKey::of([
            ("issuer", facts.issuer.as_str()),
            ("client_id", facts.client_id.as_str()),
            ("subject", facts.person.subject.as_str()),
            ("signed_in_at", since.as_millis().to_string().as_str()),
        ]))
    }
}
