//! Logins in progress, each in a cookie of its own, so that several tabs do not overwrite each other.
//!
//! A cookie is named after its transaction's `state`, is sealed, and expires after an hour. A browser holds at most five; a
//! sixth login replaces the oldest, so that abandoned logins never fill the cookie jar.

use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize, de::DeserializeOwned, de::IgnoredAny};
use zeroize::Zeroizing;

use super::read;
use crate::cookies::{CookieError, Cookies, SetCookies};
use crate::{
    digest::sha256,
    moment::{from_nanos, nanos},
    seal::Purpose,
};

/// The longest time that a login may take.
const LIFETIME: Duration = Duration::from_secs(3600);
/// Number of logins that one browser may have in progress.
const LIVE: usize = 5;
/// Most bytes of one login's cookie.
const MAX_LEN: usize = 2500;
/// Most bytes of all login cookies of a browser together.
const MAX_TOTAL: usize = 6 * 1024;
/// Number of characters of the hash of `state` in a cookie's name.
const HASH_LEN: usize = 8;
/// Login cookies beyond this number are removed unread.
const READ: usize = 32;
/// Login cookies beyond this number are left for the next login to remove.
const SEEN: usize = 64;

/// Sealed content of a login's cookie.
#[derive(Serialize, Deserialize)]
struct Underway<T> {
    /// nanoseconds since 1970
    began_at: u64,
    /// the whole hash of `state`; the cookie's name has its first characters
    state: String,
    transaction: T,
}

/// A login cookie that a request presents and that may stay.
struct Other<'h> {
    name: &'h str,
    len: usize,
    began_at: u64,
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
        let state = hash(state);
        let name = self.login_name(&state);
        let underway = Underway { began_at: nanos(now), state, transaction };
        let plaintext = serde_json::to_vec(&underway)
            .map_err(|error| CookieError::Encode { reason: error.to_string() })?;
        let value = self.keys.seal(Purpose::Login, &name, &Zeroizing::new(plaintext))?;
        let size = name.len() + value.len();
        if size > MAX_LEN {
            return Err(CookieError::TooLarge { size, limit: MAX_LEN });
        }
        let mut cookies = self.make_room(headers, &name, size, now)?;
        cookies.push(self.cookie(&name, value, LIFETIME)?);
        Ok(SetCookies::new(cookies))
    }

    /// The login that `state` belongs to, if this browser began it within the last hour, and the cookies that remove it: a
    /// callback counts once.
    pub fn take_login<T: DeserializeOwned>(
        &self,
        headers: &HeaderMap,
        state: &str,
        now: SystemTime,
    ) -> Option<(T, SetCookies)> {
        let state = hash(state);
        let name = self.login_name(&state);
        let value = read::presented(headers, &name).once()?;
        let underway: Underway<T> = self.underway(&name, value, now)?;
        if underway.state != state {
            return None;
        }
        Some((underway.transaction, SetCookies::new(vec![self.expire(&name).ok()?])))
    }

    /// Removes expired logins, then the oldest of the rest, until a login of `size` bytes fits.
    fn make_room(
        &self,
        headers: &HeaderMap,
        new: &str,
        size: usize,
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
            let underway = value.and_then(|value| {
                let underway: Underway<IgnoredAny> = self.underway(name, value, now)?;
                Some(Other { name, len: name.len() + value.len(), began_at: underway.began_at })
            });
            match underway {
                Some(other) => others.push(other),
                None => expired.push(self.expire(name)?),
            }
        }
        others.sort_unstable_by_key(|other| std::cmp::Reverse(other.began_at));
        let mut total = size;
        for (newer, other) in others.iter().enumerate() {
            total += other.len;
            if newer + 1 >= LIVE || total > MAX_TOTAL {
                expired.push(self.expire(other.name)?);
            }
        }
        Ok(expired)
    }

    fn underway<T: DeserializeOwned>(
        &self,
        name: &str,
        value: &str,
        now: SystemTime,
    ) -> Option<Underway<T>> {
        let plaintext = self.keys.open(Purpose::Login, name, value)?;
        let underway: Underway<T> = serde_json::from_slice(&plaintext).ok()?;
        let age = now.duration_since(from_nanos(underway.began_at)).unwrap_or(Duration::ZERO);
        (age < LIFETIME).then_some(underway)
    }

    fn login_name(&self, state: &str) -> String {
        let start: String = state.chars().take(HASH_LEN).collect();
        format!("{}{start}", self.names.login)
    }
}

fn hash(state: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(state.as_bytes()))
}

fn is_hash(text: &str) -> bool {
    let ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == HASH_LEN && text.bytes().all(ours)
}
