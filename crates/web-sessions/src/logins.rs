//! Logins in progress: their state waits for the provider to send the browser back.
//!
//! With a store that keeps records the state is there, sealed, and the browser's cookie holds only a ticket for it; the state
//! may then be long, and a browser may have many logins in progress. Without one, or when the store has no room, the cookie
//! holds the state itself. A state opens only with the cookie of the browser that began the login.

use std::{fmt, sync::Arc, time::SystemTime};

use http::HeaderMap;
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    cookies::{Begun, CookieError, Cookies, LOGIN_LIFETIME, SetCookies},
    digest::{Digest, sha256},
    seal::Purpose,
    store::{SessionStore, StoreError},
};

/// Reasons a login cannot begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// The cookie cannot be made.
    #[error(transparent)]
    Cookie(#[from] CookieError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps logins in progress.
#[derive(Clone)]
pub struct Logins {
    cookies: Cookies,
    store: Arc<dyn SessionStore>,
}

/// A login whose browser came back.
#[derive(Debug)]
#[must_use = "a login counts once: forget it when it is finished"]
pub struct Returned<T> {
    /// The state that the login began with.
    pub transaction: T,
    kept: Option<Digest>,
    cookies: SetCookies,
}

impl Logins {
    /// Logins whose state is kept in this store, or in these cookies.
    pub fn new(cookies: Cookies, store: Arc<dyn SessionStore>) -> Self {
        Self { cookies, store }
    }

    /// Whether the store keeps records. If not, the browser's cookie holds the state of a login.
    pub fn keeps_records(&self) -> bool {
        self.store.keeps_records()
    }

    /// Keeps the state of a login until its callback comes. Returns the cookies of the login, which also remove old ones.
    ///
    /// # Errors
    ///
    /// [`CookieError::TooLarge`] when the state travels in the cookie and does not fit; [`BeginError::Store`].
    pub async fn begin<T: Serialize>(
        &self,
        headers: &HeaderMap,
        state: &str,
        transaction: &T,
        now: SystemTime,
    ) -> Result<SetCookies, BeginError> {
        if self.store.keeps_records()
            && let Some(cookies) = self.keep(headers, state, transaction, now).await?
        {
            return Ok(cookies);
        }
        Ok(self.cookies.begin_login(headers, state, transaction, now)?)
    }

    /// The login that `state` belongs to, if this browser began it within the last hour.
    ///
    /// # Errors
    ///
    /// The store did not answer.
    pub async fn find<T: DeserializeOwned>(
        &self,
        headers: &HeaderMap,
        state: &str,
        now: SystemTime,
    ) -> Result<Option<Returned<T>>, StoreError> {
        let (key, cookies) = match self.cookies.begun_login(headers, state, now) {
            Some(Begun::Here(transaction, cookies)) => {
                return Ok(Some(Returned { transaction, kept: None, cookies }));
            }
            Some(Begun::Kept(key, cookies)) => (key, cookies),
            None => return Ok(None),
        };
        let sealed = self.store.login(&key).await?;
        let opened =
            sealed.and_then(|sealed| self.cookies.keys().open_bytes(Purpose::Login, &key, &sealed));
        let transaction = opened.and_then(|plain| Cookies::read_login(&plain, state, now));
        Ok(transaction.map(|transaction| Returned { transaction, kept: Some(key), cookies }))
    }

    /// Deletes a login, because a callback counts once. Returns the cookies that remove it from the browser.
    pub async fn forget<T>(&self, returned: Returned<T>) -> SetCookies {
        if let Some(key) = returned.kept
            && let Err(error) = self.store.forget_login(&key).await
        {
            tracing::warn!(%error, "a finished login stays in the store until its hour is over");
        }
        returned.cookies
    }

    /// Remembers that the code of a login is exchanged now; `false` if another process that shares the store has done so. A process
    /// remembers by itself what it has done.
    ///
    /// # Errors
    ///
    /// The store did not answer, so that it is not known.
    pub async fn first_exchange(&self, state: &str) -> Result<bool, StoreError> {
        match self.store.shared() {
            Some(shared) => shared.first_use(&exchange_of(state), LOGIN_LIFETIME).await,
            None => Ok(true),
        }
    }

    /// Forgets the exchange of a login, because the provider did not judge the code.
    pub async fn forget_exchange(&self, state: &str) {
        if let Some(shared) = self.store.shared()
            && let Err(error) = shared.forget_use(&exchange_of(state)).await
        {
            tracing::warn!(%error, "a login that may be repeated counts as finished");
        }
    }

    /// Keeps the state in the store; `None` if the store does not take it.
    async fn keep<T: Serialize>(
        &self,
        headers: &HeaderMap,
        state: &str,
        transaction: &T,
        now: SystemTime,
    ) -> Result<Option<SetCookies>, BeginError> {
        let (key, cookies) = self.cookies.begin_kept_login(headers, state, now)?;
        let plain = Zeroizing::new(Cookies::write_login(state, transaction, now)?);
        let sealed = self.cookies.keys().seal_bytes(Purpose::Login, &key, &plain);
        let sealed = sealed.map_err(CookieError::from)?;
        Ok(self.store.keep_login(&key, &sealed, now + LOGIN_LIFETIME).await?.then_some(cookies))
    }
}

/// The name under which the store remembers the exchange of a login's code.
fn exchange_of(state: &str) -> Digest {
    sha256(format!("login {state}").as_bytes())
}

// === impl Logins ===

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").field("store", &self.store).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
