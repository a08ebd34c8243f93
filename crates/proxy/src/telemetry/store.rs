//! Calls of the session store as spans of the request that waits for them.

use std::{borrow::Cow, future::Future, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use oidc_core::token::Algorithm;
use web_sessions::{
    Digest, Ended, EntryStore, Limits, Record, Seen, SessionId, SessionStore, SharedStore,
    StoreError, Summary, Ticket, Which,
};

use super::active;

/// Records each call of a store that a request waits for. Names of sessions and their contents are not in the span. The part of
/// the store that knows of other processes is used by tasks of their own, and is not recorded.
#[derive(Debug)]
pub(crate) struct TracedStore {
    inner: Arc<dyn SessionStore>,
    system: &'static str,
}

impl TracedStore {
    /// Records the calls of a store of this kind (`redis`, …).
    pub(crate) fn new(inner: Arc<dyn SessionStore>, system: &'static str) -> Self {
        Self { inner, system }
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut open = active().and_then(|active| active.call());
        if let Some(open) = &mut open {
            let span = open.span();
            span.name(Cow::Borrowed(operation));
            span.set("db.system.name", self.system);
            span.set("db.operation.name", operation);
        }
        let result = call.await;
        if let (Some(open), Err(error)) = (&mut open, &result) {
            open.span().failed(match error {
                StoreError::Unavailable { .. } => "unavailable",
                StoreError::TooLarge { .. } => "too_large",
            });
        }
        result
    }
}

// === impl SessionStore ===

#[async_trait]
impl SessionStore for TracedStore {
    async fn create(&self, record: &Record) -> Result<Ticket, StoreError> {
        self.call("create", self.inner.create(record)).await
    }

    async fn load(&self, ticket: &Ticket) -> Result<Option<Record>, StoreError> {
        self.call("load", self.inner.load(ticket)).await
    }

    async fn replace(
        &self,
        ticket: &Ticket,
        record: &Record,
    ) -> Result<Option<Ticket>, StoreError> {
        self.call("replace", self.inner.replace(ticket, record)).await
    }

    async fn touch(&self, seen: &[Seen]) -> Result<(), StoreError> {
        self.call("touch", self.inner.touch(seen)).await
    }

    fn keeps_records(&self) -> bool {
        self.inner.keeps_records()
    }

    fn shared(&self) -> Option<&dyn SharedStore> {
        self.inner.shared()
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        self.inner.entries()
    }

    async fn end(&self, id: &SessionId) -> Result<(), StoreError> {
        self.call("end", self.inner.end(id)).await
    }

    async fn end_matching(
        &self,
        which: &Which,
        signed_with: Option<Algorithm>,
    ) -> Result<Ended, StoreError> {
        self.call("end_matching", self.inner.end_matching(which, signed_with)).await
    }

    async fn list(&self, limit: usize) -> Result<Vec<Summary>, StoreError> {
        self.call("list", self.inner.list(limit)).await
    }

    async fn add(
        &self,
        counter: &Digest,
        amount: u64,
        until: SystemTime,
    ) -> Result<Option<u64>, StoreError> {
        self.call("add", self.inner.add(counter, amount, until)).await
    }

    async fn count(&self) -> Result<Option<usize>, StoreError> {
        self.call("count", self.inner.count()).await
    }

    async fn sweep(&self, limits: &Limits, now: SystemTime) -> Result<usize, StoreError> {
        self.call("sweep", self.inner.sweep(limits, now)).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.call("ready", self.inner.ready()).await
    }

    async fn release(&self) -> Result<(), StoreError> {
        self.call("release", self.inner.release()).await
    }

    async fn keep_login(
        &self,
        key: &Digest,
        sealed: &[u8],
        until: SystemTime,
    ) -> Result<bool, StoreError> {
        self.call("keep_login", self.inner.keep_login(key, sealed, until)).await
    }

    async fn login(&self, key: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.call("login", self.inner.login(key)).await
    }

    async fn forget_login(&self, key: &Digest) -> Result<(), StoreError> {
        self.call("forget_login", self.inner.forget_login(key)).await
    }
}

#[cfg(test)]
mod tests {
    /// A method that is not passed on would take the port's default, which knows nothing of the store.
    #[test]
    fn every_method_of_the_port_is_passed_on() {
        let port = include_str!("../../../web-sessions/src/store.rs");
        let port = port.split("pub trait SessionStore").nth(1).unwrap();
        let port = port.split("\n}\n").next().unwrap();
        let names: Vec<&str> = port
            .lines()
            .filter_map(|line| {
                let line = line.trim_start().trim_start_matches("async ");
                line.strip_prefix("fn ")?.split('(').next()
            })
            .collect();
        assert!(names.len() >= 15, "{names:?}");
        for name in names {
            let passed_on = format!("self.inner.{name}(");
            assert!(include_str!("store.rs").contains(&passed_on), "{name} is not passed on");
        }
    }
}
