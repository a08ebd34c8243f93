//! Shared parts of the session tests: a store that fails on demand.

pub(super) mod replicas;
pub(super) mod shared;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::SystemTime,
};

use async_trait::async_trait;
use oidc_core::token::Algorithm;

pub(super) use crate::testing::{MovableClock, assert_same, keys, person, record};
use crate::{
    record::{Limits, Record, Summary, Which},
    store::{Ended, Seen, SessionStore, StoreError},
    ticket::{SessionId, Ticket},
};

/// A store around a working one that fails on demand, and counts its calls.
#[derive(Debug)]
pub(super) struct Faulty {
    inner: Arc<dyn SessionStore>,
    down: AtomicBool,
    pub(super) loads: AtomicUsize,
    pub(super) touches: Mutex<Vec<(SessionId, SystemTime)>>,
}

impl Faulty {
    pub(super) fn new(inner: impl SessionStore + 'static) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(inner),
            down: AtomicBool::new(false),
            loads: AtomicUsize::new(0),
            touches: Mutex::default(),
        })
    }

    pub(super) fn down(&self, down: bool) {
        self.down.store(down, SeqCst);
    }

    fn up(&self) -> Result<&dyn SessionStore, StoreError> {
        if self.down.load(SeqCst) {
            return Err(StoreError::Unavailable { reason: "switched off".to_owned() });
        }
        Ok(&*self.inner)
    }
}

#[async_trait]
impl SessionStore for Faulty {
    async fn create(&self, record: &Record) -> Result<Ticket, StoreError> {
        self.up()?.create(record).await
    }

    async fn load(&self, ticket: &Ticket) -> Result<Option<Record>, StoreError> {
        self.loads.fetch_add(1, SeqCst);
        tokio::task::yield_now().await;
        self.up()?.load(ticket).await
    }

    async fn replace(
        &self,
        ticket: &Ticket,
        record: &Record,
    ) -> Result<Option<Ticket>, StoreError> {
        self.up()?.replace(ticket, record).await
    }

    async fn touch(&self, seen: &[Seen]) -> Result<(), StoreError> {
        self.up()?.touch(seen).await?;
        let seen = seen.iter().map(|seen| (seen.id.clone(), seen.at));
        self.touches.lock().unwrap().extend(seen);
        Ok(())
    }

    fn keeps_records(&self) -> bool {
        self.inner.keeps_records()
    }

    async fn end(&self, id: &SessionId) -> Result<(), StoreError> {
        self.up()?.end(id).await
    }

    async fn end_matching(
        &self,
        which: &Which,
        signed_with: Option<Algorithm>,
    ) -> Result<Ended, StoreError> {
        self.up()?.end_matching(which, signed_with).await
    }

    async fn list(&self, limit: usize) -> Result<Vec<Summary>, StoreError> {
        self.up()?.list(limit).await
    }

    async fn sweep(&self, limits: &Limits, now: SystemTime) -> Result<usize, StoreError> {
        self.up()?.sweep(limits, now).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.up()?.ready().await
    }
}
