//! SIGINT and SIGTERM for work that must not stop halfway: an issuer may accept a refresh token once only, so if the answer to
//! it is not written, the login is lost.

use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::error::CommandError;

/// Longest time that work goes on after a signal.
const GRACE: Duration = Duration::from_secs(10);

/// SIGINT and SIGTERM as they come. Once this exists they no longer end the process by themselves, not even after it is dropped.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(CommandError::Signals);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The number of the next signal.
    pub(crate) async fn next(&mut self) -> u8 {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        u8::try_from(kind.as_raw_value()).unwrap_or_default()
    }

    /// Finishes the work. After a signal it returns [`CommandError::Interrupted`] as soon as the work has ended, a second signal
    /// comes, or [`GRACE`] is over.
    pub(crate) async fn finish<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, CommandError> {
        let mut work = pin!(work);
        let signal = tokio::select! {
            done = &mut work => return Ok(done),
            signal = self.next() => signal,
        };
        tokio::select! {
            _ = timeout(GRACE, work) => {}
            _ = self.next() => {}
        }
        Err(CommandError::Interrupted { signal })
    }
}
