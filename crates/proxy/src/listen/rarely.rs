//! Keeps a log line that a client can cause from being written more than once in ten seconds.

use std::time::Duration;

use tokio::time::Instant;

const EVERY: Duration = Duration::from_secs(10);

/// The last line of one kind, and the number of those that were not written.
#[derive(Debug, Default)]
pub(super) struct Rarely {
    last: Option<Instant>,
    unreported: u64,
}

impl Rarely {
    /// Whether a line may be written now; then with the number of those that were not written since the last.
    pub(super) fn due(&mut self) -> Option<u64> {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            self.unreported += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.unreported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_is_due_in_ten_seconds() {
        let mut lines = Rarely::default();
        assert_eq!(lines.due(), Some(0));
        assert_eq!(lines.due(), None);
        assert_eq!(lines.due(), None);
        tokio::time::advance(EVERY).await;
        assert_eq!(lines.due(), Some(2));
    }
}
