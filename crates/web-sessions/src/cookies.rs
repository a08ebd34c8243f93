//! The gateway's cookies: their names, their attributes, how they are read and written ([RFC 6265bis]).
//!
//! A `Cookie` header is read strictly and byte by byte: a cookie is ours if its name is ours byte for byte and occurs exactly
//! once. Anything else (leading Unicode spaces, `$Version`, nameless cookies, a second copy) counts as absent. Upstreams get
//! the opposite treatment: [`Cookies::strip`] removes every cookie that some parser could take for ours.
//!
//! [RFC 6265bis]: https://datatracker.ietf.org/doc/draft-ietf-httpbis-rfc6265bis/

mod login;
mod own_names;
mod read;
mod set;

use std::{sync::Arc, time::Duration};

use cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue};
use oidc_core::Secret;
use url::Url;

pub(crate) use self::login::{Begun, LIFETIME as LOGIN_LIFETIME};
pub use self::own_names::OwnNames;
use self::read::Presented;
use self::set::Refreshed;
pub use self::set::SetCookies;
use crate::{
    seal::{Keys, SealError},
    sessions::LiveSession,
    ticket::{CHUNK_LEN, CHUNKS, MAX_TICKET, Ticket},
};

/// The cookie's name without prefix.
const NAME: &str = "doorward";
/// Comes between the session cookie's name and a hash of `state`.
const LOGIN: &str = "-login-";

/// Reasons a cookie cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CookieError {
    /// Browsers would drop it.
    #[error("cookie value too large: {size} bytes, at most {limit} fit")]
    TooLarge {
        /// its size, in bytes
        size: usize,
        /// the most that fits, in bytes
        limit: usize,
    },
    /// The value could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The value cannot be written in a cookie.
    #[error("value cannot be written in a cookie: {reason}")]
    Encode {
        /// the cause
        reason: String,
    },
}

/// Reads and writes the gateway's cookies.
#[derive(Debug, Clone)]
pub struct Cookies {
    keys: Arc<Keys>,
    names: Arc<Names>,
    secure: bool,
}

#[derive(Debug)]
struct Names {
    session: String,
    chunks: [String; CHUNKS],
    login: String,
}

impl Names {
    fn of(name: &str, secure: bool) -> Self {
        let session = format!("{}{name}", if secure { "__Host-" } else { "" });
        Self {
            chunks: std::array::from_fn(|index| format!("{session}.{index}")),
            login: format!("{session}{LOGIN}"),
            session,
        }
    }

    /// The name of a session in one cookie, and those of its chunks.
    fn of_session(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.session).chain(&self.chunks)
    }
}

/// Which of [`Names::of_session`] a request presents.
#[derive(Debug, Clone, Copy)]
struct NamesPresented([bool; 1 + CHUNKS]);

impl Cookies {
    /// Cookies of the gateway at `public_url`: `__Host-doorward`, `Secure`, with https; plain `doorward` without.
    pub fn new(public_url: &Url, keys: Arc<Keys>) -> Self {
        let secure = public_url.scheme() == "https";
        Self { keys, names: Arc::new(Names::of(NAME, secure)), secure }
    }

    /// With another name than `doorward`, for one of several gateways on a host: each then has its own session.
    #[must_use]
    pub fn with_name(self, name: &str) -> Self {
        Self { names: Arc::new(Names::of(name, self.secure)), ..self }
    }

    /// The ticket that a request presents, if it is unambiguous. Only [`Sessions`](crate::sessions::Sessions) knows whether it opens.
    pub fn session_ticket(&self, headers: &HeaderMap) -> Option<Ticket> {
        let mut whole = Presented::default();
        let mut chunks = [Presented::default(); CHUNKS];
        for (name, value) in read::pairs(headers) {
            match name.strip_prefix(self.names.session.as_bytes()) {
                Some(b"") => whole.add(value),
                Some(b".0") => chunks[0].add(value),
                Some(b".1") => chunks[1].add(value),
                Some(b".2") => chunks[2].add(value),
                Some(b".3") => chunks[3].add(value),
                _ => {}
            }
        }
        let text = match (whole, chunks) {
            (whole, [Presented::Not, ..]) => whole.once()?.to_owned(),
            (Presented::Not, chunks) => join(&chunks)?,
            _ => return None,
        };
        Some(Ticket::new(Secret::from(text)))
    }

    /// The cookies that set a ticket for `max_age`, and remove those of an earlier one.
    pub fn set_session(
        &self,
        headers: &HeaderMap,
        ticket: &Ticket,
        max_age: Duration,
    ) -> Result<SetCookies, CookieError> {
        self.of_ticket(self.presented(headers), ticket, max_age).map(SetCookies::new)
    }

    /// The cookies that give the browser the session's present ticket, if it presented an older one. Where the ticket is the
    /// session itself, the answer to the same request must carry them. They are none if the session has ended in this process
    /// when they are put on the answer.
    pub fn newer_session(
        &self,
        headers: &HeaderMap,
        presented: &Ticket,
        session: &Arc<LiveSession>,
        max_age: Duration,
    ) -> SetCookies {
        if session.newer_ticket(presented).is_none() {
            return SetCookies::default();
        }
        SetCookies::refreshed(Refreshed {
            cookies: self.clone(),
            session: Arc::clone(session),
            presented: self.presented(headers),
            max_age,
        })
    }

    fn of_ticket(
        &self,
        presented: NamesPresented,
        ticket: &Ticket,
        max_age: Duration,
    ) -> Result<Vec<HeaderValue>, CookieError> {
        let text = ticket.expose();
        if text.len() > MAX_TICKET {
            return Err(CookieError::TooLarge { size: text.len(), limit: MAX_TICKET });
        }
        let parts: Vec<(&str, String)> = if text.len() <= CHUNK_LEN {
            vec![(&self.names.session, text.to_owned())]
        } else {
            let counted = format!("{}{text}", (text.len() + 1).div_ceil(CHUNK_LEN));
            let pieces = counted.as_bytes().chunks(CHUNK_LEN).map(String::from_utf8_lossy);
            let named = self.names.chunks.iter().zip(pieces);
            named.map(|(name, piece)| (name.as_str(), piece.into_owned())).collect()
        };
        let mut cookies: Vec<HeaderValue> = self
            .session_names(presented)
            .filter(|name| !parts.iter().any(|(kept, _)| kept == name))
            .map(|name| self.expire(name))
            .collect::<Result<_, _>>()?;
        for (name, value) in parts {
            cookies.push(self.cookie(name, value, max_age)?);
        }
        Ok(cookies)
    }

    /// The cookies that remove the session cookies which the request presents, but not a session that another gateway of the
    /// host sealed.
    pub fn clear_session(&self, headers: &HeaderMap) -> SetCookies {
        let ticket = self.session_ticket(headers);
        if ticket.is_some_and(|ticket| self.keys.is_foreign(ticket.expose())) {
            return SetCookies::default();
        }
        SetCookies::new(
            self.session_names(self.presented(headers))
                .filter_map(|name| self.expire(name).ok())
                .collect(),
        )
    }

    /// The keys that seal them.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The same as [`OwnNames::strip`] for a gateway without a configured name.
    pub fn strip(header: &HeaderValue) -> Option<HeaderValue> {
        OwnNames::default().strip(header)
    }

    /// The session cookies of ours that a request presents.
    fn presented(&self, headers: &HeaderMap) -> NamesPresented {
        let is_presented =
            |ours: &String| read::pairs(headers).any(|(name, _)| name == ours.as_bytes());
        let mut names = self.names.of_session();
        NamesPresented(std::array::from_fn(|_| names.next().is_some_and(is_presented)))
    }

    /// Their names.
    fn session_names(&self, presented: NamesPresented) -> impl Iterator<Item = &str> {
        let names = self.names.of_session().zip(presented.0);
        names.filter(|(_, is_presented)| *is_presented).map(|(name, _)| name.as_str())
    }

    fn cookie(
        &self,
        name: &str,
        value: String,
        max_age: Duration,
    ) -> Result<HeaderValue, CookieError> {
        let max_age = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
        let cookie = Cookie::build((name, value))
            .path("/")
            .secure(self.secure)
            .http_only(true)
            .same_site(SameSite::Lax)
            .max_age(time::Duration::seconds(max_age))
            .build();
        let mut header = HeaderValue::try_from(cookie.to_string())
            .map_err(|error| CookieError::Encode { reason: error.to_string() })?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn expire(&self, name: &str) -> Result<HeaderValue, CookieError> {
        self.cookie(name, String::new(), Duration::ZERO)
    }
}

/// Joins a ticket from its chunks: the first begins with their number, at least two, and each must occur exactly once. Chunks
/// beyond that number are left over from a longer ticket and are ignored.
fn join(chunks: &[Presented<'_>; CHUNKS]) -> Option<String> {
    let (first, rest) = chunks.split_first()?;
    let (count, start) = first.once()?.split_at_checked(1)?;
    let more = count.parse::<usize>().ok()?.checked_sub(1).filter(|more| *more > 0)?;
    let mut text = start.to_owned();
    for chunk in rest.get(..more)? {
        text.push_str(chunk.once()?);
    }
    Some(text)
}

#[cfg(test)]
mod tests;
