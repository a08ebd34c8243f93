//! The tasks that maintain the sessions and share the budgets of users, and their end.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::assemble::Lasting;

/// The tasks. A clone is the same tasks.
#[derive(Debug, Clone)]
pub(super) struct Housekeeping {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Housekeeping {
    /// Begins the tasks.
    pub(super) fn begin(lasting: &Lasting) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(Arc::clone(&lasting.sessions).maintain(stop.clone()));
        tasks.spawn(lasting.share_tokens(stop.clone()));
        tasks.close();
        Self { stop, tasks }
    }

    /// Ends the tasks, and waits until the times of last use and the tokens are stored.
    pub(super) async fn finish(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}
