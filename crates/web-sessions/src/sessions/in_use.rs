//! Notes which application a session is used for.

use std::sync::Arc;

use super::{LiveSession, Sessions};
use crate::{
    moment::nanos,
    uses::{LastUses, Use},
};

impl Sessions {
    /// Notes the use of an application, at the time when the session was last seen. Takes no lock but at the session's first use
    /// of that application.
    pub fn used(&self, session: &LiveSession, application: &str) {
        let last_seen = nanos(session.last_seen());
        session.uses.of(application, &self.uses, || session.known(), |used| used.note(last_seen));
    }

    /// The use of an application, for a stream that notes it again and again.
    pub fn use_of(&self, session: &LiveSession, application: &str) -> Arc<Use> {
        session.uses.of(application, &self.uses, || session.known(), Arc::clone)
    }

    /// Notes activity on an open stream, of the session and of the application.
    pub fn active_on(&self, session: &LiveSession, used: &Use) {
        self.active(session);
        used.note(nanos(session.last_seen()));
    }

    /// Last use of each application by each user through a session in this process. Kept in memory, for 50,000 pairs of user
    /// and application.
    pub fn uses(&self) -> LastUses {
        self.uses.list(self.clock.now())
    }
}
