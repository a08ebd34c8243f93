//! Lists and counts sessions, for the operator.

use std::collections::HashMap;

use super::Sessions;
use crate::{record::Summary, store::StoreError, ticket::SessionId};

impl Sessions {
    /// All sessions, at most `limit`, the latest used first.
    pub async fn list(&self, limit: usize) -> Result<Vec<Summary>, StoreError> {
        let mut found: HashMap<SessionId, Summary> = HashMap::new();
        for summary in self.store.list(limit).await? {
            found.insert(summary.id.clone(), summary);
        }
        for session in self.all() {
            let stored = found.get(session.id()).map(|summary| summary.last_seen);
            // A session that a shared store does not have may have ended elsewhere.
            if self.shares && stored.is_none() {
                continue;
            }
            let last_seen = stored.map_or(session.last_seen(), |at| at.max(session.last_seen()));
            let summary = Summary { last_seen, ..Summary::from(&*session.record()) };
            found.insert(summary.id.clone(), summary);
        }
        let now = self.clock.now();
        let mut sessions: Vec<Summary> = found.into_values().collect();
        sessions.retain(|summary| {
            !self.ended.contains_key(&summary.id)
                && !self.limits.passed(summary.created_at, summary.last_seen, now)
        });
        sessions.sort_unstable_by_key(|summary| std::cmp::Reverse(summary.last_seen));
        sessions.truncate(limit);
        Ok(sessions)
    }

    /// Number of sessions in the store; of those open in this process where the store keeps none, or cannot be reached.
    pub async fn total(&self) -> usize {
        match self.store.count().await {
            Ok(Some(kept)) => kept,
            Ok(None) | Err(_) => self.count(),
        }
    }

    /// Number of sessions open in this process.
    pub fn count(&self) -> usize {
        self.live().values().filter(|session| session.strong_count() > 0).count()
    }
}
