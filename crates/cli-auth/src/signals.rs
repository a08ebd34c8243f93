//! Work that is better ended than broken off: an issuer may take a refresh token once only, so one that was sent and whose answer
//! was not written is lost, and the login with it.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

/// How long work may go on after a signal.
const LONGEST: Duration = Duration::from_secs(10);

/// SIGINT and SIGTERM, as they come.
#[derive(Debug)]
pub(super) struct Signals {
    interrupted: Signal,
    terminated: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let interrupted = signal(SignalKind::interrupt())?;
        Ok(Self { interrupted, terminated: signal(SignalKind::terminate())? })
    }

    /// The next one, by its number.
    pub(super) async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupted.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminated.recv() => SignalKind::terminate().as_raw_value(),
        }
    }

    /// Does the work. A signal that comes meanwhile is heard when it has ended, or at the second signal, or after 10 s: then the
    /// answer is that signal.
    pub(super) async fn finish<T>(&mut self, work: impl Future<Output = T>) -> Result<T, i32> {
        let mut work = pin!(work);
        let heard = tokio::select! {
            done = &mut work => return Ok(done),
            heard = self.next() => heard,
        };
        tokio::select! {
            _ = timeout(LONGEST, work) => {}
            _ = self.next() => {}
        }
        Err(heard)
    }
}

/// Does the work, and ends the process as a shell would say it when a signal came meanwhile.
pub(super) async fn undisturbed<T>(work: impl Future<Output = T>) -> io::Result<T> {
    match Signals::listen()?.finish(work).await {
        Ok(done) => Ok(done),
        Err(heard) => std::process::exit(128 + heard),
    }
}
