//! Pages that were shown and wait for their form: the purpose of each, and the check that the answer
//! comes from the same browser.
//!
//! A form carries an unguessable `csrf` value, and is accepted only with the cookie of the browser that
//! got the page. A page expires after half an hour.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::authorization_request::AuthorizationRequest;
use crate::identifiers::random_handle;
use crate::logout_request::LogoutRequest;
use crate::shared::Shared;

const LIFETIME: Duration = Duration::from_secs(1800);

/// Purpose of a shown page.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    Login(Box<AuthorizationRequest>),
    Device,
    Logout(Box<LogoutRequest>),
}

#[derive(Debug, Default)]
pub(crate) struct Forms(Shared<HashMap<String, Shown>>);

#[derive(Debug)]
struct Shown {
    browser: String,
    purpose: Purpose,
    at: SystemTime,
}

impl Forms {
    /// The `csrf` value for a page shown to this browser.
    pub(crate) fn show(&self, browser: &str, purpose: Purpose, now: SystemTime) -> String {
        let csrf = random_handle();
        let mut forms = self.0.lock();
        forms.retain(|_, shown| now.duration_since(shown.at).unwrap_or_default() < LIFETIME);
        forms.insert(csrf.clone(), Shown { browser: browser.to_owned(), purpose, at: now });
        csrf
    }

    /// Purpose of the page, if it was shown to this browser. May be called again, so that a person can
    /// retry after a wrong password.
    pub(crate) fn check(&self, csrf: &str, browser: &str, now: SystemTime) -> Option<Purpose> {
        let forms = self.0.lock();
        let shown = forms.get(csrf)?;
        verify_slices_are_equal(shown.browser.as_bytes(), browser.as_bytes()).ok()?;
        let age = now.duration_since(shown.at).unwrap_or_default();
        (age < LIFETIME).then(|| shown.purpose.clone())
    }

    /// Removes the form after it was answered.
    pub(crate) fn close(&self, csrf: &str) {
        self.0.lock().remove(csrf);
    }
}
