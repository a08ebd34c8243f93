//! The task that maintains the sessions, and its end.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use web_sessions::Sessions;

/// The task that maintains the sessions. A clone is the same task.
#[derive(Debug, Clone)]
pub(super) struct Housekeeping {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Housekeeping {
    /// Begins the task.
    pub(super) fn begin(sessions: Arc<Sessions>) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(sessions.maintain(stop.clone()));
        tasks.close();
        Self { stop, tasks }
    }

    /// Ends the task, and waits until the times of last use are stored.
    pub(super) async fn finish(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}
