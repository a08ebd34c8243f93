//! Cookies to be set by an answer.
//!
//! A cookie of the gateway belongs to one person. A shared cache must not keep an answer that carries one (RFC 9111 §7.3 warns
//! of it), whatever the upstream's own answer allows. [`SetCookies`] can be put on an answer in one way only, which also makes
//! the answer private.

use http::{HeaderValue, Response, header};

use crate::caching;

/// `Set-Cookie` values that are not yet on an answer.
#[derive(Debug, Default, Clone)]
#[must_use = "a cookie that is on no answer is lost"]
pub struct SetCookies(Vec<HeaderValue>);

impl SetCookies {
    /// These values.
    pub(super) fn new(values: Vec<HeaderValue>) -> Self {
        Self(values)
    }

    /// Adds cookies that the same answer carries.
    pub fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts them on an answer. With at least one of them the answer becomes `Cache-Control: private, no-store` and gets
    /// `Vary: Cookie`. It loses the fields that override this for some caches (RFC 9213 and its forerunners).
    pub fn put_on<B>(self, answer: &mut Response<B>) {
        if self.0.is_empty() {
            return;
        }
        let headers = answer.headers_mut();
        caching::forbid(headers);
        for cookie in self.0 {
            headers.append(header::SET_COOKIE, cookie);
        }
    }

    /// The values, for tests.
    #[cfg(test)]
    pub(crate) fn values(&self) -> &[HeaderValue] {
        &self.0
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
