//! Parts that tests of sessions share (feature `test-util`): a clock that the test moves, people, records.

#![expect(clippy::unwrap_used, reason = "a test support module: a failed unwrap is a failed test")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use access_policy::Known;
use oidc_core::{Secret, token::Algorithm};

use crate::{record::Record, seal::Keys};

/// A clock that the test moves.
#[derive(Debug)]
pub struct MovableClock(Mutex<SystemTime>);

impl MovableClock {
    /// A clock in 2027.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000))))
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    /// Sets it back.
    pub fn turn_back(&self, by: Duration) {
        *self.0.lock().unwrap() -= by;
    }
}

impl oidc_core::Clock for MovableClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

/// A person of the issuer with this name.
pub fn person(issuer: &str, subject: &str) -> Known {
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
        workload: false,
        claims: claims.as_object().cloned().unwrap_or_default(),
    }
}

/// A record of alice whose access token lives for five minutes.
pub fn record(now: SystemTime) -> Record {
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

/// Keys from one secret.
pub fn keys() -> Arc<Keys> {
    Arc::new(Keys::new(&[[7; 32]]).unwrap())
}

/// Compares all members of two records.
///
/// # Panics
///
/// If they differ.
pub fn assert_same(found: &Record, expected: &Record) {
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
