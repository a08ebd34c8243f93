//! Pushed authorization requests ([RFC 9126]): kept for a minute, used once, by the client that pushed.
//!
//! [RFC 9126]: https://www.rfc-editor.org/rfc/rfc9126

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use crate::params::Params;
use crate::shared::Shared;
use crate::tokens::random_handle;

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
    /// The `request_uri` to come back with.
    pub(crate) fn push(&self, client: &str, params: Params, now: SystemTime) -> String {
        let uri = format!("{URN}{}", random_handle());
        let mut pushed = self.0.lock();
        pushed.retain(|_, pushed| is_young(pushed.at, now));
        pushed.insert(uri.clone(), Pushed { client: client.to_owned(), params, at: now });
        uri
    }

    /// What this client pushed under `uri`; it cannot be taken twice.
    pub(crate) fn take(&self, uri: &str, client: &str, now: SystemTime) -> Option<Params> {
        let mut pushed = self.0.lock();
        if pushed.get(uri)?.client != client {
            return None;
        }
        pushed.remove(uri).filter(|pushed| is_young(pushed.at, now)).map(|pushed| pushed.params)
    }
}

fn is_young(at: SystemTime, now: SystemTime) -> bool {
    now.duration_since(at).is_ok_and(|age| age < LIFETIME)
}
