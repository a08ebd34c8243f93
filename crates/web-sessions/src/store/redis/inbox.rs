//! Changes that wait for the task that handles them.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::store::Change;

/// Changes that wait at most; of more, only the fact is kept.
const MOST: usize = 4096;

/// A queue that never blocks its writers and never forgets that something was missed.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<VecDeque<Change>>,
    arrived: Notify,
}

impl Inbox {
    pub(super) fn push(&self, change: Change) {
        let mut waiting = self.waiting();
        if change == Change::Missed {
            // Every record is read again anyway.
            waiting.retain(|waiting| matches!(waiting, Change::Ended(_)));
        }
        if waiting.len() < MOST {
            waiting.push_back(change);
        } else {
            waiting.clear();
            waiting.push_back(Change::Missed);
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    pub(super) async fn next(&self) -> Change {
        loop {
            let next = self.waiting().pop_front();
            match next {
                Some(change) => return change,
                None => self.arrived.notified().await,
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Change>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticket::SessionId;

    #[tokio::test]
    async fn more_changes_than_fit_become_one_that_misses() {
        let inbox = Inbox::default();
        for n in 0..=MOST {
            inbox.push(Change::Record([(n % 251) as u8; 32]));
        }
        assert_eq!(inbox.next().await, Change::Missed);
        inbox.push(Change::Record([1; 32]));
        let ended = Change::Ended(SessionId::from_name("one"));
        inbox.push(ended.clone());
        inbox.push(Change::Missed);
        assert_eq!(inbox.next().await, ended);
        assert_eq!(inbox.next().await, Change::Missed);
        assert!(inbox.waiting().is_empty());
    }
}
