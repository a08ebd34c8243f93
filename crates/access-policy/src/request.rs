//! A request as rules see it.

use std::time::SystemTime;

use http_canonical::{CanonicalMethod, CanonicalPath};

use crate::message::Message;

/// A request that begins now, or one whose stream is open and is judged again.
#[derive(Debug, Clone, Copy)]
pub struct AccessRequest<'a> {
    /// Its method.
    pub method: &'a CanonicalMethod,
    /// Its path.
    pub path: &'a CanonicalPath,
    /// The host it is for, without a port.
    pub host: &'a str,
    /// The times, for rules about hours and about the age of a sign-in. Without them no such rule is met; needed only where
    /// [`Policy::depends_on_time`](crate::Policy::depends_on_time).
    pub times: Option<Times>,
    /// The message that it carries, for rules about messages.
    pub message: Message<'a>,
}

/// The times of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Time at which the request is judged.
    pub now: SystemTime,
    /// Time at which the request began: the same, unless its stream is open.
    pub began: SystemTime,
}

impl Times {
    /// The times of a request that begins now.
    pub fn beginning(now: SystemTime) -> Self {
        Self { now, began: now }
    }
}

impl<'a> AccessRequest<'a> {
    /// A request whose time and host matter to no rule.
    pub fn new(method: &'a CanonicalMethod, path: &'a CanonicalPath) -> Self {
        Self { method, path, host: "", times: None, message: Message::None }
    }

    /// With the host it is for.
    #[must_use]
    pub fn with_host(self, host: &'a str) -> Self {
        Self { host, ..self }
    }

    /// With the message that it carries.
    #[must_use]
    pub fn with_message(self, message: Message<'a>) -> Self {
        Self { message, ..self }
    }

    /// With its times.
    #[must_use]
    pub fn with_times(self, times: Option<Times>) -> Self {
        Self { times, ..self }
    }
}
