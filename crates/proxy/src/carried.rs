//! Facts that stages find and that the answer needs, whichever stage ends the request.
//!
//! They travel beside the line: a refused answer, too, carries a refreshed session cookie and names the signed-in person. The
//! audit record has no part in it.

use std::sync::Arc;

use access_policy::{Caller, Known};
use web_sessions::{LiveSession, SetCookies};

use crate::identify::{Credential, Sender};

/// Facts for the answer to one request.
#[derive(Debug, Default)]
pub struct Carried {
    /// Cookies that the answer sets.
    pub cookies: SetCookies,
    known: Option<Arc<Known>>,
    session: Option<Arc<LiveSession>>,
}

impl Carried {
    /// Notes the sender of the request.
    pub fn sender(&mut self, sender: &Sender) {
        if let Caller::Known(known) = &sender.caller {
            self.known = Some(Arc::clone(known));
        }
        if let Credential::Session(session) = &sender.credential {
            self.session = Some(Arc::clone(session));
        }
    }

    /// The caller, where an issuer has confirmed the identity.
    pub fn known(&self) -> Option<&Known> {
        self.known.as_deref()
    }

    /// The session that the request came with.
    pub fn session(&self) -> Option<&LiveSession> {
        self.session.as_deref()
    }
}
