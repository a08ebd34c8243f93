//! Misbehaviour on demand: the fault of each endpoint, and the number of requests to it.

use std::collections::HashMap;
use std::time::Duration;

use crate::shared::Shared;

/// A way in which a provider can fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// No fault: ends the present one.
    #[default]
    None,
    /// Answers with this status, without handling the request.
    Down(u16),
    /// Handles the request, then delays the answer by this time.
    Slow(Duration),
    /// 200 and `application/json`, but invalid JSON.
    Garbage,
    /// 200 and an HTML page, as from a captive portal.
    Html,
    /// Handles the request, then breaks the connection in the middle of the answer.
    CutOff,
    /// 200 and a JSON document of 64 MiB.
    Huge,
    /// Handles the request, then sends the answer byte by byte, one per second.
    Drip,
    /// 302 to [`Endpoint::RedirectTarget`], which counts the requests that follow it.
    Redirect,
    /// States another issuer: in discovery, in `iss` of the authorization answer and of a signed
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
    /// All endpoints.
    All,
    /// `/.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`
    Discovery,
    /// `certs`
    Jwks,
    /// `auth`
    Authorization,
    /// Target of the login page's form.
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
    /// Target of [`Fault::Redirect`]. A correct client never requests it.
    RedirectTarget,
}

/// The active faults and the counters. Changes apply from the next request on.
#[derive(Debug, Default)]
pub struct Faults {
    active: Shared<HashMap<Endpoint, Fault>>,
    requests: Shared<HashMap<Endpoint, u64>>,
}

impl Faults {
    /// Sets the fault of `endpoint` from now on. An endpoint's own fault takes precedence over one of
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
