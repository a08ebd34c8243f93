//! Converts refusals of the listener and of this module to the refusal that is answered.

use std::borrow::Cow;

use super::{PathRefusal, RequestRefusal};
use crate::{listen::Violation, respond::Refusal};

impl From<RequestRefusal> for Refusal {
    fn from(refusal: RequestRefusal) -> Self {
        match refusal {
            RequestRefusal::NotListened => Self::Internal { reason: refusal.to_string() },
            refusal => Self::Malformed {
                status: refusal.status(),
                reason: Cow::Owned(refusal.to_string()),
            },
        }
    }
}

impl From<PathRefusal> for Refusal {
    fn from(refusal: PathRefusal) -> Self {
        RequestRefusal::Path(refusal).into()
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        let reason = Cow::Borrowed(violation.reason().sentence());
        Self::Malformed { status: violation.status(), reason }
    }
}
