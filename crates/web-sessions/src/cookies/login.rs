//! Logins in progress, each in a cookie of its own, so that several tabs do not overwrite each other.
//!
//! A cookie is named after its transaction's `state`, is sealed, and expires after an hour. It holds the transaction, or only the
//! time at which the login began: the cookie is then the ticket of a transaction that is kept elsewhere. A browser holds at most
//! five of the first kind and twenty of the second; one more replaces the oldest, so that abandoned logins never fill the cookie
//! jar. A cookie that another gateway of this host sealed stays.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize, de::DeserializeOwned, de::IgnoredAny};
use zeroize::Zeroizing;

use super::read;
use crate::{
    cookies::{CookieError, Cookies, SetCookies},
    digest::{Digest, sha256},
    moment::{from_nanos, nanos},
    seal::Purpose,
};

/// The longest time that a login may take.
pub(crate) const LIFETIME: Duration = Duration::from_secs(3600);
/// Number of logins in cookies that one browser may have in progress.
const LIVE: usize = 5;
/// The same where the cookie is only a ticket.
const LIVE_KEPT: usize = 20;
/// Most bytes of one login's cookie; browsers keep 4096 of name and value together.
const MAX_LEN: usize = 4000;
/// Most bytes of all login cookies of a browser together: common proxies refuse a `Cookie` line above 8 KiB.
const MAX_TOTAL: usize = 6 * 1024;
/// Number of characters of the hash of `state` in a cookie's name.
const HASH_LEN: usize = 8;
/// Login cookies beyond this number are removed unread.
const READ: usize = 32;
/// Login cookies beyond this number are left for the next login to remove.
const SEEN: usize = 64;

/// Sealed content of a login.
#[derive(Serialize, Deserialize)]
struct Underway<T> {
    /// nanoseconds since 1970
    began_at: u64,
    /// the whole hash of `state`; the cookie's name has its first characters
    state: String,
    transaction: T,
}

/// A login that a cookie belongs to, and the cookies that remove it.
pub(crate) enum Begun<T> {
    /// The cookie holds the transaction.
    Here(T, SetCookies),
    /// The transaction is kept under this key.
    Kept(Digest, SetCookies),
}

/// A login cookie that a request presents and that may stay.
struct Other<'h> {
    name: &'h str,
    len: usize,
    began_at: u64,
    kept: bool,
}

impl Cookies {
    /// The cookies that keep a login until its callback comes, and that remove old ones.
    pub fn begin_login<T: Serialize>(
        &self,
        headers: &HeaderMap,
        state: &str,
        transaction: &T,
        now: SystemTime,
    ) -> Result<SetCookies, CookieError> {
        let name = self.login_name(&hash(state));
        let plain = Zeroizing::new(Self::write_login(state, transaction, now)?);
        let value = self.keys.seal(Purpose::Login, &name, &plain)?;
        self.login_cookie(headers, &name, value, false, now)
    }

    /// The same with a cookie that is only a ticket: the transaction is to be kept under the key that is returned. The key is the
    /// digest of the cookie, so that it opens nothing.
    pub(crate) fn begin_kept_login(
        &self,
        headers: &HeaderMap,
        state: &str,
        now: SystemTime,
    ) -> Result<(Digest, SetCookies), CookieError> {
        let name = self.login_name(&hash(state));
        let value = self.keys.seal(Purpose::Login, &name, &nanos(now).to_be_bytes())?;
        let key = sha256(value.as_bytes());
        Ok((key, self.login_cookie(headers, &name, value, true, now)?))
    }

    /// The login that `state` belongs to, if this browser began it within the last hour, and the cookies that remove it: a
    /// callback counts once.
    pub fn take_login<T: DeserializeOwned>(
        &self,
        headers: &HeaderMap,
        state: &str,
        now: SystemTime,
    ) -> Option<(T, SetCookies)> {
        match self.begun_login(headers, state, now)? {
            Begun::Here(transaction, cookies) => Some((transaction, cookies)),
            Begun::Kept(..) => None,
        }
    }

    /// The same, wherever the transaction is.
    pub(crate) fn begun_login<T: DeserializeOwned>(
        &self,
        headers: &HeaderMap,
        state: &str,
        now: SystemTime,
    ) -> Option<Begun<T>> {
        let name = self.login_name(&hash(state));
        let value = read::presented(headers, &name).once()?;
        let plain = self.keys.open(Purpose::Login, &name, value)?;
        let cookies = SetCookies::new(vec![self.expire(&name).ok()?]);
        match ticket_of(&plain) {
            Some(began_at) => {
                is_live(began_at, now).then(|| Begun::Kept(sha256(value.as_bytes()), cookies))
            }
            None => Self::read_login(&plain, state, now)
                .map(|transaction| Begun::Here(transaction, cookies)),
        }
    }

    /// The bytes of a login, to be sealed.
    pub(crate) fn write_login<T: Serialize>(
        state: &str,
        transaction: &T,
        now: SystemTime,
    ) -> Result<Vec<u8>, CookieError> {
        let underway = Underway { began_at: nanos(now), state: hash(state), transaction };
        serde_json::to_vec(&underway)
            .map_err(|error| CookieError::Encode { reason: error.to_string() })
    }

    /// Reads the bytes that [`write_login`](Self::write_login) made, if they belong to `state` and are younger than an hour.
    pub(crate) fn read_login<T: DeserializeOwned>(
        plain: &[u8],
        state: &str,
        now: SystemTime,
    ) -> Option<T> {
        let underway: Underway<T> = serde_json::from_slice(plain).ok()?;
        let fits = underway.state == hash(state) && is_live(underway.began_at, now);
        fits.then_some(underway.transaction)
    }

    fn login_cookie(
        &self,
        headers: &HeaderMap,
        name: &str,
        value: String,
        kept: bool,
        now: SystemTime,
    ) -> Result<SetCookies, CookieError> {
        let size = name.len() + value.len();
        if size > MAX_LEN {
            return Err(CookieError::TooLarge { size, limit: MAX_LEN });
        }
        let mut cookies = self.make_room(headers, name, size, kept, now)?;
        cookies.push(self.cookie(name, value, LIFETIME)?);
        Ok(SetCookies::new(cookies))
    }

    /// Removes expired logins, then the oldest of the rest, until a login of `size` bytes fits.
    fn make_room(
        &self,
        headers: &HeaderMap,
        new: &str,
        size: usize,
        kept: bool,
        now: SystemTime,
    ) -> Result<Vec<HeaderValue>, CookieError> {
        let mut expired = Vec::new();
        let mut others: Vec<Other<'_>> = Vec::new();
        let login = self.names.login.as_str();
        let names = read::pairs(headers).filter_map(|(name, _)| std::str::from_utf8(name).ok());
        let mut names: Vec<&str> = names
            .filter(|name| *name != new && name.strip_prefix(login).is_some_and(is_hash))
            .collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(SEEN);
        for (read, name) in names.into_iter().enumerate() {
            let value = (read < READ).then(|| read::presented(headers, name).once()).flatten();
            match value.and_then(|value| self.other(name, value, now)) {
                Some(other) => others.push(other),
                None if value.is_some_and(|value| self.keys.is_foreign(value)) => {}
                None => expired.push(self.expire(name)?),
            }
        }
        others.sort_unstable_by_key(|other| std::cmp::Reverse(other.began_at));
        let mut total = size;
        let (mut here, mut elsewhere) = if kept { (0, 1) } else { (1, 0) };
        for other in &others {
            total += other.len;
            let (count, limit) =
                if other.kept { (&mut elsewhere, LIVE_KEPT) } else { (&mut here, LIVE) };
            *count += 1;
            if *count > limit || total > MAX_TOTAL {
                expired.push(self.expire(other.name)?);
            }
        }
        Ok(expired)
    }

    /// A login cookie of this gateway whose hour is not over.
    fn other<'h>(&self, name: &'h str, value: &str, now: SystemTime) -> Option<Other<'h>> {
        let plain = self.keys.open(Purpose::Login, name, value)?;
        let ticket = ticket_of(&plain);
        let began_at = match ticket {
            Some(began_at) => began_at,
            None => serde_json::from_slice::<Underway<IgnoredAny>>(&plain).ok()?.began_at,
        };
        let len = name.len() + value.len();
        is_live(began_at, now).then_some(Other { name, len, began_at, kept: ticket.is_some() })
    }

    fn login_name(&self, state: &str) -> String {
        let start: String = state.chars().take(HASH_LEN).collect();
        format!("{}{start}", self.names.login)
    }
}

/// Time at which a login began whose cookie is only a ticket; a transaction is longer.
fn ticket_of(plain: &[u8]) -> Option<u64> {
    plain.try_into().ok().map(u64::from_be_bytes)
}

fn is_live(began_at: u64, now: SystemTime) -> bool {
    now.duration_since(from_nanos(began_at)).unwrap_or(Duration::ZERO) < LIFETIME
}

fn hash(state: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(state.as_bytes()))
}

fn is_hash(text: &str) -> bool {
    let ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == HASH_LEN && text.bytes().all(ours)
}
