//! The provider's two cookies: one identifies the browser (for forms), one its session.
//!
//! Their names carry the port, because browsers keep one cookie jar for all ports of a host, and
//! several providers may run beside each other.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

#[derive(Clone, Debug)]
pub(crate) struct Cookies {
    browser: String,
    session: String,
    path: String,
}

impl Cookies {
    pub(crate) fn new(port: u16, path: &str) -> Self {
        Self {
            browser: format!("dev_issuer_browser_{port}"),
            session: format!("dev_issuer_session_{port}"),
            path: path.to_owned(),
        }
    }

    pub(crate) fn browser(&self, headers: &HeaderMap) -> Option<String> {
        read(headers, &self.browser)
    }

    pub(crate) fn session(&self, headers: &HeaderMap) -> Option<String> {
        read(headers, &self.session)
    }

    pub(crate) fn set_browser(&self, value: &str) -> Option<HeaderValue> {
        self.set(&self.browser, value)
    }

    pub(crate) fn set_session(&self, value: &str) -> Option<HeaderValue> {
        self.set(&self.session, value)
    }

    pub(crate) fn forget_session(&self) -> Option<HeaderValue> {
        let text =
            format!("{}=; Path={}; Max-Age=0; HttpOnly; SameSite=Lax", self.session, self.path);
        HeaderValue::from_str(&text).ok()
    }

    /// A cookie without `Secure`: this provider serves plain http on loopback.
    fn set(&self, name: &str, value: &str) -> Option<HeaderValue> {
        let text = format!("{name}={value}; Path={}; HttpOnly; SameSite=Lax", self.path);
        HeaderValue::from_str(&text).ok()
    }
}

fn read(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(own, _)| *own == name)
        .map(|(_, value)| value.to_owned())
}
