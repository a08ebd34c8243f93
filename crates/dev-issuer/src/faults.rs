//! Misbehaviour on demand: which endpoint shall fail, how; and how often each was asked.

use std::collections::HashMap;
use std::time::Duration;

use crate::shared::Shared;

/// One thing that can be wrong with a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: ends a fault.
    #[default]
    None,
    /// Answers with this status, and does nothing else.
    Down(u16),
    /// Does its work, then answers this much later.
    Slow(Duration),
    /// 200 and `application/json`, but no JSON.
    Garbage,
    /// 200 and an HTML page, as from a captive portal.
    Html,
    /// Does its work, then breaks the connection in the middle of the answer.
    CutOff,
    /// 200 and a JSON document of 64 MiB.
    Huge,
    /// Does its work, then sends the answer byte by byte, one per second.
    Drip,
    /// 302 to [`Endpoint::RedirectTarget`], which counts who followed.
    Redirect,
    /// Says to be another issuer: in discovery, in `iss` of the authorization answer and of a signed
    /// introspection answer, in new tokens.
    WrongIssuer,
    /// Puts another `nonce` in new ID tokens.
    WrongNonce,
    /// 200 and a JWK Set without a key, from [`Endpoint::Jwks`].
    NoKeys,
}

/// One URL of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// Every one of them.
    All,
    /// `/.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`
    Discovery,
    /// `certs`
    Jwks,
    /// `auth`
    Authorization,
    /// Where the login page sends its form.
    Login,
    /// `ext/par/request`
    Par,
    /// `token`
    Token,
    /// `userinfo`
    UserInfo,
    /// `token/introspect`
    Introspection,
    /// `revoke`
    Revocation,
    /// `logout`
    EndSession,
    /// `auth/device`
    DeviceAuthorization,
    /// `/device`, where a person types the code.
    DeviceVerification,
    /// Where [`Fault::Redirect`] points; nobody should ever come here.
    RedirectTarget,
}

/// The faults in force and the counters. Changes count from the next request on.
#[derive(Debug, Default)]
pub struct Faults {
    active: Shared<HashMap<Endpoint, Fault>>,
    requests: Shared<HashMap<Endpoint, u64>>,
}

impl Faults {
    /// From now on `endpoint` fails like this. A fault of an endpoint's own goes before one of
    /// [`Endpoint::All`].
    pub fn set(&self, fault: Fault, endpoint: Endpoint) {
        let mut active = self.active.lock();
        match fault {
            Fault::None if endpoint == Endpoint::All => active.clear(),
            Fault::None => drop(active.remove(&endpoint)),
            fault => drop(active.insert(endpoint, fault)),
        }
    }

    /// Ends all faults.
    pub fn clear(&self) {
        self.active.lock().clear();
    }

    pub(crate) fn active(&self, endpoint: Endpoint) -> Fault {
        let active = self.active.lock();
        active.get(&endpoint).or_else(|| active.get(&Endpoint::All)).copied().unwrap_or_default()
    }

    pub(crate) fn count(&self, endpoint: Endpoint) {
        *self.requests.lock().entry(endpoint).or_default() += 1;
    }

    pub(crate) fn requests(&self, endpoint: Endpoint) -> u64 {
        let requests = self.requests.lock();
        match endpoint {
            Endpoint::All => requests.values().sum(),
            endpoint => requests.get(&endpoint).copied().unwrap_or(0),
        }
    }
}
