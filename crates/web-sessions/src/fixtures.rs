//! Shared parts of the session tests: a clock that the test moves, people, records.

pub(super) mod replicas;
pub(super) mod shared;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use access_policy::Known;
use async_trait::async_trait;
use oidc_core::Secret;
use oidc_core::token::Algorithm;

use crate::{
    record::{Limits, Record, Summary, Which},
    seal::Keys,
    store::{Ended, Seen, SessionStore, StoreError},
    ticket::{SessionId, Ticket},
};

/// A clock that the test moves.
#[derive(Debug)]
pub(super) struct MovableClock(Mutex<SystemTime>);

impl MovableClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))))
    }

    pub(super) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    pub(super) fn turn_back(&self, by: Duration) {
        *self.0.lock().unwrap() -= by;
    }
}

impl oidc_core::Clock for MovableClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

pub(super) fn person(issuer: &str, subject: &str) -> Known {
    let claims = serde_json::json!({ "sub": subject, "department": "risk", "n": [1, 2.5, null] });
    Known {
        issuer: issuer.to_owned(),
        iss: format!("https://{issuer}.example"),
        subject: subject.to_owned(),
        preferred_username: Some(format!("{subject}-name")),
        email: Some(format!("{subject}@example.com")),
        email_verified: true,
        name: None,
        roles: vec!["data-scientist".to_owned()],
        client_roles: BTreeMap::from([("gateway".to_owned(), vec!["user".to_owned()])]),
        groups: vec!["/finance".to_owned()],
        scopes: vec!["openid".to_owned()],
        client: Some("gateway".to_owned()),
        claims: claims.as_object().cloned().unwrap_or_default(),
    }
}

/// A record of alice whose access token lives for five minutes.
pub(super) fn record(now: SystemTime) -> Record {
    Record::new(
        person("main", "alice"),
        Secret::from("access-token"),
        now + Duration::from_secs(300),
        now,
    )
    .with_refresh_token(Some(Secret::from("refresh-token")))
    .with_id_token(Some(Secret::from("id-token")))
    .with_id_token_algorithm(Some(Algorithm::RS256))
    .with_provider_session(Some("sid-1".to_owned()))
}

pub(super) fn keys() -> Arc<Keys> {
    Arc::new(Keys::new(&[[7; 32]]).unwrap())
}

pub(super) fn assert_same(found: &Record, expected: &Record) {
    let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    assert_eq!(found.id, expected.id);
    assert_eq!(found.known, expected.known);
    assert_eq!(found.provider_session, expected.provider_session);
    assert_eq!(found.created_at, expected.created_at);
    assert_eq!(found.last_seen, expected.last_seen);
    assert_eq!(found.renewed_at, expected.renewed_at);
    assert_eq!(found.access_token.expose(), expected.access_token.expose());
    assert_eq!(found.access_expires_at, expected.access_expires_at);
    assert_eq!(text(&found.refresh_token), text(&expected.refresh_token));
    assert_eq!(text(&found.id_token), text(&expected.id_token));
    assert_eq!(found.id_token_algorithm, expected.id_token_algorithm);
    assert_eq!(found.generation, expected.generation);
}

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
