//! Pushed authorization requests ([RFC 9126]): kept for a minute, and usable once by the client that
//! pushed them.
//!
//! [RFC 9126]: https://www.rfc-editor.org/rfc/rfc9126

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::identifiers::random_handle;
use crate::params::Params;
use crate::shared::Shared;

pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
const URN: &str = "urn:ietf:params:oauth:request_uri:";

#[derive(Debug, Default)]
pub(crate) struct PushedRequests(Shared<HashMap<String, Pushed>>);

#[derive(Debug)]
struct Pushed {
    client: String,
    params: Params,
    at: SystemTime,
}

impl PushedRequests {
    /// Keeps a request. Returns its `request_uri`.
    pub(crate) fn push(&self, client: &str, params: Params, now: SystemTime) -> String {
        let uri = format!("{URN}{}", random_handle());
        let mut pushed = self.0.lock();
        pushed.retain(|_, pushed| is_young(pushed.at, now));
        pushed.insert(uri.clone(), Pushed { client: client.to_owned(), params, at: now });
        uri
    }

    /// Takes the parameters that this client pushed under `uri`, which works once.
    pub(crate) fn take(&self, uri: &str, client: &str, now: SystemTime) -> Option<Params> {
        let mut pushed = self.0.lock();
        if pushed.get(uri)?.client != client {
            return None;
        }
        pushed.remove(uri).filter(|pushed| is_young(pushed.at, now)).map(|pushed| pushed.params)
    }
}

/// True within the lifetime. Concurrent requests read the clock before they take the lock, so `at` may be a little later
/// than `now`.
fn is_young(at: SystemTime, now: SystemTime) -> bool {
    now.duration_since(at).unwrap_or_default() < LIFETIME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_pushed_at_once_with_another_stays() {
        let pushed = PushedRequests::default();
        let (earlier, later) =
            (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_micros(1));
        let first = pushed.push("gateway", Params::parse(b""), later);
        let second = pushed.push("gateway", Params::parse(b""), earlier);
        assert!(pushed.take(&first, "gateway", earlier).is_some());
        assert!(pushed.take(&second, "gateway", later + LIFETIME).is_none());
    }
}
