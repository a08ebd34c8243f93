//! Cookies to be set by an answer.
//!
//! A cookie of the gateway belongs to one person. A shared cache must not keep an answer that carries one (RFC 9111 §7.3 warns
//! of it), whatever the upstream's own answer allows. [`SetCookies`] can be put on an answer in one way only, which also makes
//! the answer private.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Response, header};

use super::{Cookies, NamesPresented};
use crate::{caching, sessions::LiveSession};

/// Cookies that are not yet on an answer.
///
/// Those of a refreshed session are made when they are put on the answer, which a slow upstream may delay: by then another request
/// may have refreshed the session again, or its user may have signed out.
#[derive(Debug, Default, Clone)]
#[must_use = "a cookie that is on no answer is lost"]
pub struct SetCookies {
    values: Vec<HeaderValue>,
    refreshed: Option<Box<Refreshed>>,
}

/// A session whose browser gets its present ticket.
#[derive(Debug, Clone)]
pub(super) struct Refreshed {
    pub(super) cookies: Cookies,
    pub(super) session: Arc<LiveSession>,
    pub(super) presented: NamesPresented,
    pub(super) max_age: Duration,
}

impl Refreshed {
    /// The cookies with the ticket that the session has now; none if it has ended in this process.
    fn values(&self) -> Vec<HeaderValue> {
        let session = &self.session;
        if session.ended().is_cancelled() {
            return Vec::new();
        }
        let made = self.cookies.of_ticket(self.presented, &session.ticket(), self.max_age);
        made.unwrap_or_else(|error| {
            tracing::warn!(%error, session = %session.id(), "refreshed session does not fit its cookies");
            Vec::new()
        })
    }
}

impl SetCookies {
    /// These values.
    pub(crate) fn new(values: Vec<HeaderValue>) -> Self {
        Self { values, refreshed: None }
    }

    /// The cookies of a session, as it is when they are put on an answer.
    pub(super) fn refreshed(refreshed: Refreshed) -> Self {
        Self { values: Vec::new(), refreshed: Some(Box::new(refreshed)) }
    }

    /// Adds cookies that the same answer carries. An answer carries one session, the one added last.
    pub fn extend(&mut self, more: Self) {
        self.values.extend(more.values);
        self.refreshed = more.refreshed.or(self.refreshed.take());
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.refreshed.is_none()
    }

    /// Puts them on an answer. With at least one of them the answer becomes `Cache-Control: private, no-store` and gets
    /// `Vary: Cookie`. It loses the fields that override this for some caches (RFC 9213 and its forerunners).
    pub fn put_on<B>(self, answer: &mut Response<B>) {
        if self.is_empty() {
            return;
        }
        let headers = answer.headers_mut();
        caching::forbid(headers);
        for cookie in self.into_values() {
            headers.append(header::SET_COOKIE, cookie);
        }
    }

    /// The values that an answer would get now.
    fn into_values(self) -> Vec<HeaderValue> {
        let mut values = self.refreshed.map_or_else(Vec::new, |refreshed| refreshed.values());
        values.extend(self.values);
        values
    }

    /// The values, for tests.
    #[cfg(test)]
    pub(crate) fn values(&self) -> Vec<HeaderValue> {
        self.clone().into_values()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::*;

    fn answer(fields: &[(&'static str, &'static str)]) -> Response<()> {
        let mut answer = Response::new(());
        for (name, value) in fields {
            answer.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        answer
    }

    fn with_cookie(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut answer = answer(fields);
        SetCookies::new(vec![HeaderValue::from_static("a=b")]).put_on(&mut answer);
        std::mem::take(answer.headers_mut())
    }

    #[test]
    fn an_answer_with_a_cookie_is_private() {
        let upstreams = [
            ("cache-control", "public, max-age=86400"),
            ("cache-control", "s-maxage=86400"),
            ("expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
            ("cdn-cache-control", "max-age=86400"),
            ("cloudflare-cdn-cache-control", "max-age=86400"),
            ("surrogate-control", "max-age=86400"),
            ("x-accel-expires", "86400"),
            ("vary", "Accept-Encoding"),
            ("etag", "\"1\""),
        ];
        let headers = with_cookie(&upstreams);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["cache-control", "etag", "set-cookie", "vary"]);
        assert_eq!(headers[header::CACHE_CONTROL], "private, no-store");
        assert_eq!(headers.get_all(header::CACHE_CONTROL).iter().count(), 1);
        let vary: Vec<_> = headers.get_all(header::VARY).iter().collect();
        assert_eq!(vary, ["Accept-Encoding", "Cookie"]);
    }

    #[test]
    fn vary_names_the_cookie_once() {
        for said in ["Cookie", "accept, COOKIE", "*"] {
            let headers = with_cookie(&[("vary", said)]);
            assert_eq!(headers.get_all(header::VARY).iter().collect::<Vec<_>>(), [said]);
        }
    }

    #[test]
    fn an_answer_without_a_cookie_stays_as_it_is() {
        let mut unchanged = answer(&[("cache-control", "public, max-age=60")]);
        SetCookies::default().put_on(&mut unchanged);
        assert_eq!(unchanged.headers().len(), 1);
        assert_eq!(unchanged.headers()[header::CACHE_CONTROL], "public, max-age=60");
    }
}
