//! Shutdown of the process: no new connections; running ones may finish, and those that remain at the end of the grace are
//! closed.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

/// Signals that the gateway is shutting down. A clone is the same drain.
#[derive(Debug, Clone)]
pub struct Drain {
    stages: Arc<Stages>,
}

#[derive(Debug)]
struct Stages {
    grace: Duration,
    begun: CancellationToken,
    ended: CancellationToken,
}

/// Result of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every connection finished.
    Clean,
    /// The grace was over before all connections finished.
    Cut {
        /// connections and tunnels that were cut
        connections: usize,
    },
}

impl Drain {
    /// A drain that leaves connections `grace` to finish once it has begun.
    pub fn new(grace: Duration) -> Self {
        let begun = CancellationToken::new();
        Self { stages: Arc::new(Stages { grace, begun, ended: CancellationToken::new() }) }
    }

    /// Begins the drain, once; must be called within the runtime.
    pub fn begin(&self) {
        if self.is_begun() {
            return;
        }
        self.stages.begun.cancel();
        let stages = Arc::clone(&self.stages);
        tokio::spawn(async move {
            tokio::time::sleep(stages.grace).await;
            stages.ended.cancel();
        });
    }

    /// Whether it has begun: a gateway that drains is not ready.
    pub fn is_begun(&self) -> bool {
        self.stages.begun.is_cancelled()
    }

    /// Waits for the beginning. A tunnel then sends a close frame.
    pub async fn begun(&self) {
        self.stages.begun.cancelled().await;
    }

    /// Waits for the end of the grace.
    pub async fn ended(&self) {
        self.stages.ended.cancelled().await;
    }
}
