//! Single sign-on sessions: the signed-in people, their clients, and the valid refresh tokens.
//!
//! Refresh tokens rotate as with Keycloak's `revokeRefreshToken`: each is valid once, and reusing one
//! ends the client's part of the session with all its tokens
//! ([RFC 9700 §4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2)). The person stays signed
//! in at the provider, as in Keycloak.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::SystemTime;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::identifiers::{random_handle, random_session_id, random_uuid};
use crate::shared::Shared;

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// Value of the browser's session cookie.
    pub(crate) cookie: String,
    pub(crate) username: String,
    pub(crate) auth_time: SystemTime,
    /// Level of the sign-in (`acr`).
    pub(crate) level: String,
    pub(crate) ends_at: SystemTime,
    /// Per client, its chains of refresh tokens: chain → the valid `jti`.
    clients: BTreeMap<String, BTreeMap<String, String>>,
}

/// Data about a session that its tokens carry.
#[derive(Clone, Debug)]
pub(crate) struct SessionMark {
    pub(crate) id: String,
    pub(crate) auth_time: SystemTime,
    pub(crate) level: String,
}

impl Session {
    pub(crate) fn mark(&self) -> SessionMark {
        SessionMark { id: self.id.clone(), auth_time: self.auth_time, level: self.level.clone() }
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = &str> {
        self.clients.keys().map(String::as_str)
    }
}

/// Position of a refresh token: its chain, and its `jti` in the chain.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) chain: String,
    pub(crate) jti: String,
}

#[derive(Debug)]
pub(crate) enum RefreshRefusal {
    /// Logged out, expired, or the client was detached.
    SessionEnded,
    /// The token had been used before. The client is detached now.
    Reused,
}

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    state: Shared<State>,
}

#[derive(Debug, Default)]
struct State {
    live: HashMap<String, Session>,
    revoked: BTreeSet<String>,
    reuse_detected: u64,
}

impl Sessions {
    pub(crate) fn begin(
        &self,
        username: &str,
        level: &str,
        now: SystemTime,
        ends_at: SystemTime,
    ) -> Session {
        let session = Session {
            id: random_session_id(),
            cookie: random_handle(),
            username: username.to_owned(),
            auth_time: now,
            level: level.to_owned(),
            ends_at,
            clients: BTreeMap::new(),
        };
        let mut state = self.state.lock();
        state.live.retain(|_, session| now < session.ends_at);
        state.live.insert(session.id.clone(), session.clone());
        session
    }

    pub(crate) fn with_cookie(&self, cookie: &str, now: SystemTime) -> Option<Session> {
        let state = self.state.lock();
        state
            .live
            .values()
            .find(|session| {
                verify_slices_are_equal(session.cookie.as_bytes(), cookie.as_bytes()).is_ok()
            })
            .filter(|session| now < session.ends_at)
            .cloned()
    }

    pub(crate) fn live(&self, id: &str, now: SystemTime) -> Option<Session> {
        self.state.lock().live.get(id).filter(|session| now < session.ends_at).cloned()
    }

    /// Adds this client to the session, and begins a chain of refresh tokens for it.
    pub(crate) fn attach(&self, id: &str, client: &str) -> Option<Link> {
        let mut state = self.state.lock();
        let chains = state.live.get_mut(id)?.clients.entry(client.to_owned()).or_default();
        let link = Link { chain: random_handle(), jti: random_uuid() };
        chains.insert(link.chain.clone(), link.jti.clone());
        Some(link)
    }

    /// Removes this client from the session: its refresh tokens are invalid, its access tokens inactive.
    pub(crate) fn detach(&self, id: &str, client: &str) {
        if let Some(session) = self.state.lock().live.get_mut(id) {
            session.clients.remove(client);
        }
    }

    pub(crate) fn has_client(&self, id: &str, client: &str, now: SystemTime) -> bool {
        self.live(id, now).is_some_and(|session| session.clients.contains_key(client))
    }

    /// True if this link is still usable.
    pub(crate) fn is_current(&self, id: &str, client: &str, link: &Link, rotate: bool) -> bool {
        let state = self.state.lock();
        let chains = state.live.get(id).and_then(|session| session.clients.get(client));
        let current = chains.and_then(|chains| chains.get(&link.chain));
        current.is_some_and(|current| !rotate || *current == link.jti)
    }

    /// Uses a refresh token. Returns the next link of its chain.
    pub(crate) fn advance(
        &self,
        id: &str,
        client: &str,
        link: &Link,
        rotate: bool,
    ) -> Result<Link, RefreshRefusal> {
        let mut state = self.state.lock();
        let session = state.live.get_mut(id).ok_or(RefreshRefusal::SessionEnded)?;
        let current = session
            .clients
            .get_mut(client)
            .and_then(|chains| chains.get_mut(&link.chain))
            .ok_or(RefreshRefusal::SessionEnded)?;
        if rotate && *current != link.jti {
            session.clients.remove(client);
            state.reuse_detected += 1;
            return Err(RefreshRefusal::Reused);
        }
        let next = random_uuid();
        current.clone_from(&next);
        Ok(Link { chain: link.chain.clone(), jti: next })
    }

    pub(crate) fn end(&self, id: &str) -> Option<Session> {
        self.state.lock().live.remove(id)
    }

    pub(crate) fn of_user(&self, username: &str) -> Vec<Session> {
        let state = self.state.lock();
        state.live.values().filter(|session| session.username == username).cloned().collect()
    }

    pub(crate) fn count(&self, now: SystemTime) -> usize {
        self.state.lock().live.values().filter(|session| now < session.ends_at).count()
    }

    pub(crate) fn revoke_token(&self, jti: &str) {
        self.state.lock().revoked.insert(jti.to_owned());
    }

    pub(crate) fn is_revoked(&self, jti: &str) -> bool {
        self.state.lock().revoked.contains(jti)
    }

    pub(crate) fn reuse_detected(&self) -> u64 {
        self.state.lock().reuse_detected
    }
}
