//! `/readyz`: whether this process can serve anything, and the state of each part of it.
//!
//! A process is ready while one part of its work can be done: requests with tokens of an available issuer, requests of the signed-in
//! while the store answers, requests of public routes. So an issuer or a store that is away for hours does not take all replicas
//! out at once. Only at the start it waits for an issuer, at most [`START`]: a replica that has never had keys should not replace one
//! that has.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use access_policy::Allow;
use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::sync::Arc;
use tokio::time::Instant;

use super::Admin;

/// Longest time for which a process that has not reached any issuer is not ready, although it serves public routes.
const START: Duration = Duration::from_secs(60);

/// The time since the start, and whether an issuer was ever available.
#[derive(Debug)]
pub(super) struct Start {
    at: Instant,
    had_issuer: AtomicBool,
}

impl Start {
    /// The process starts now.
    pub(super) fn now() -> Self {
        Self { at: Instant::now(), had_issuer: AtomicBool::new(false) }
    }

    /// Whether the process still waits for its first issuer.
    fn waits(&self, has_issuer: bool) -> bool {
        let had = self.had_issuer.fetch_or(has_issuer, Ordering::Relaxed) || has_issuer;
        !had && self.at.elapsed() < START
    }
}

/// The parts of the work that can be done.
#[derive(Debug, Clone, Copy)]
struct Parts {
    draining: bool,
    /// Waits for the first issuer after the start.
    waits: bool,
    issuer: bool,
    store: bool,
    public: bool,
}

impl Parts {
    fn ready(self) -> bool {
        !self.draining && !self.waits && (self.issuer || self.store || self.public)
    }
}

/// The body of the answer.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    draining: bool,
    issuers: BTreeMap<String, Part>,
    store: Part,
}

/// State of an issuer or of the store.
#[derive(Debug, Serialize)]
struct Part {
    available: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Admin {
    /// The state of each issuer, by name.
    pub(super) fn issuers(&self) -> BTreeMap<String, (String, Result<(), String>)> {
        let app = self.serving.app();
        let issuers = app.endpoints.issuers.iter();
        issuers
            .map(|issuer| (issuer.name().to_owned(), (issuer.url().to_string(), issuer.ready())))
            .collect()
    }

    /// Whether some request needs no identity.
    fn serves_anyone(&self) -> bool {
        let app = self.serving.app();
        let mut rules = app.endpoints.routes.iter().flat_map(|route| route.policy.rules());
        rules.any(|rule| matches!(rule.allow, Allow::Anyone) && !rule.shadow)
    }
}

/// Answers with the state: 200 when ready, else 503.
pub(super) async fn readyz(
    State(admin): State<Arc<Admin>>,
    Extension(start): Extension<Arc<Start>>,
) -> Response {
    let issuers = admin.issuers();
    let store = admin.sessions.ready().await.map_err(|error| error.to_string());
    let issuer = issuers.is_empty() || issuers.values().any(|(_, state)| state.is_ok());
    let parts = Parts {
        draining: admin.drain.is_announced(),
        waits: start.waits(issuer),
        issuer,
        store: store.is_ok(),
        public: admin.serves_anyone(),
    };
    let body = Readiness {
        ready: parts.ready(),
        draining: parts.draining,
        issuers: issuers
            .into_iter()
            .map(|(name, (url, state))| (name, part(Some(url), state)))
            .collect(),
        store: part(None, store),
    };
    let status = if body.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

fn part(url: Option<String>, state: Result<(), String>) -> Part {
    Part { available: state.is_ok(), url, reason: state.err() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Parts =
        Parts { draining: false, waits: false, issuer: true, store: true, public: true };

    #[test]
    fn one_usable_part_is_enough() {
        let none = Parts { issuer: false, store: false, public: false, ..ALL };
        for (parts, ready) in [
            (ALL, true),
            (Parts { issuer: true, ..none }, true),
            (Parts { store: true, ..none }, true),
            (Parts { public: true, ..none }, true),
            (none, false),
            (Parts { draining: true, ..ALL }, false),
            (Parts { waits: true, ..ALL }, false),
        ] {
            assert_eq!(parts.ready(), ready, "{parts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_start_waits_for_an_issuer_and_not_for_ever() {
        let start = Start::now();
        assert!(start.waits(false));
        tokio::time::advance(START).await;
        assert!(!start.waits(false));
        let start = Start::now();
        assert!(!start.waits(true));
        assert!(!start.waits(false), "it went away later");
    }
}
