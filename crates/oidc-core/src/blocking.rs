//! Blocking access for code that is not async: scripts, batch jobs, other languages (feature
//! `blocking`).
//!
//! | to … | use |
//! |---|---|
//! | verify a token | [`Verifier`] |
//! | wait for any future of this crate | [`run`] |
//!
//! One background thread per process drives all futures that callers wait for here. It starts at
//! first use, runs a current-thread Tokio runtime, and does not keep the process alive. A child
//! made by `fork` has no threads of its parent: it starts a new thread at its first use, which
//! fetches keys again when they are due. Connections that were open at the time of the fork belong
//! to the parent: make the `ReqwestHttp` of a child after the
//! fork.

use std::future::Future;
use std::sync::{Arc, mpsc};
use std::{fmt, thread};

use arc_swap::ArcSwapOption;
use futures_util::FutureExt as _;
use thiserror::Error;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::refusal::TokenRefusal;
use crate::token::AccessToken;
use crate::verify::{PresentationRefusal, Presented, Verified};

/// Reason a future could not be waited for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockingError {
    /// The caller is inside a Tokio runtime, where waiting would hold up other tasks.
    #[error(
        "called from inside a Tokio runtime, which must not be held up; await the async form there (on a thread of `spawn_blocking`: by `Handle::block_on`)"
    )]
    InsideRuntime,
    /// The operating system cannot create a thread or an event queue.
    #[error("the background thread could not be started: {reason}")]
    NoThread {
        /// The system's error.
        reason: String,
    },
    /// The future ended without an answer because it panicked.
    #[error("the background task ended without an answer")]
    NoAnswer,
}

/// Reason [`Verifier::access_token`] returned no verified token.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum VerifyError {
    /// The token is not accepted, or there are no keys to check it with.
    #[error(transparent)]
    Refused(#[from] TokenRefusal),
    /// The token could not be checked.
    #[error(transparent)]
    NotRun(#[from] BlockingError),
}

/// Reason [`Verifier::presented`] returned no verified token.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PresentedError {
    /// The token is not accepted from this sender, or there are no keys to check it with.
    #[error(transparent)]
    Refused(#[from] PresentationRefusal),
    /// The token could not be checked.
    #[error(transparent)]
    NotRun(#[from] BlockingError),
}

/// Runs `future` on the background thread and waits for it.
///
/// Calling it from inside a Tokio runtime is an error.
///
/// ```
/// let answer = oidc_core::blocking::run(async { 6 * 7 })?;
/// assert_eq!(answer, 42);
/// # Ok::<(), oidc_core::blocking::BlockingError>(())
/// ```
///
/// # Errors
///
/// [`BlockingError::InsideRuntime`] from within a Tokio runtime: await the future there;
/// [`BlockingError::NoThread`] when the system cannot create a thread; [`BlockingError::NoAnswer`]
/// when `future` panicked.
pub fn run<F>(future: F) -> Result<F::Output, BlockingError>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    if Handle::try_current().is_ok() {
        return Err(BlockingError::InsideRuntime);
    }
    let runtime = ENGINE.of(std::process::id())?;
    let (answer, waiting) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        // An error means that the caller stopped waiting.
        let _ = answer.send(future.await);
    });
    waiting.recv().map_err(|_| BlockingError::NoAnswer)
}

/// A [`Verifier`](crate::Verifier) for code that is not async.
///
/// ```
/// # #[cfg(feature = "test-util")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use oidc_core::{Validation, Verifier, blocking, testing::TestIssuer};
///
/// let issuer = TestIssuer::new();
/// let verifier = Verifier::new(Validation::new(issuer.issuer(), "hub"), issuer.keys())
///     .with_clock(issuer.clock());
/// let verifier = blocking::Verifier::new(verifier);
///
/// let token = verifier.access_token(&issuer.access_token("hub"))?;
/// assert_eq!(token.subject(), "248289761001");
/// # Ok(()) }
/// # #[cfg(not(feature = "test-util"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct Verifier {
    verifier: crate::Verifier,
}

impl Verifier {
    /// Wraps `verifier`.
    pub fn new(verifier: crate::Verifier) -> Self {
        Self { verifier }
    }

    /// The wrapped verifier.
    pub fn verifier(&self) -> &crate::Verifier {
        &self.verifier
    }

    /// Verifies an access token. A remembered token needs no thread and no waiting, so this also
    /// works inside a Tokio runtime; any other token does not.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Refused`] as [`crate::Verifier::access_token`]; [`VerifyError::NotRun`] as [`run`].
    pub fn access_token(&self, token: &str) -> Result<Arc<Verified<AccessToken>>, VerifyError> {
        match self.verifier.recall(token) {
            Ok(verified) => Ok(verified),
            Err(unverified) => {
                let (verifier, unverified) = (self.verifier.clone(), unverified.into_owned());
                Ok(run(async move { verifier.verify(unverified).await })??)
            }
        }
    }

    /// Verifies a token and that its sender may use it ([`crate::Verifier::presented`]). A
    /// remembered token needs no thread and no waiting; its proof is checked on the caller's
    /// thread, unless used proofs are remembered elsewhere ([`crate::Verifier::with_dpop_memory`]).
    ///
    /// # Errors
    ///
    /// [`PresentedError::Refused`] as [`crate::Verifier::presented`]; [`PresentedError::NotRun`] as
    /// [`run`].
    pub fn presented(
        &self,
        presented: &Presented<'_>,
    ) -> Result<Arc<Verified<AccessToken>>, PresentedError> {
        let token = match self.verifier.look_up(presented.token()) {
            Ok(token) => token,
            Err(unverified) => {
                let (verifier, unverified) = (self.verifier.clone(), unverified.into_owned());
                run(async move { verifier.learn(unverified).await })?
                    .map_err(PresentationRefusal::from)?
            }
        };
        if let Some(uncounted) = self.verifier.check_possession(presented, &token)? {
            let mut counting = Box::pin(uncounted.count());
            // The memory of this process answers at once; only an external one needs the thread.
            let counted = match (&mut counting).now_or_never() {
                Some(counted) => counted,
                None => run(counting)?,
            };
            self.verifier.check_counted(counted, &token)?;
        }
        Ok(token)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verifier.fmt(f)
    }
}

static ENGINE: Engines = Engines(ArcSwapOption::const_empty());

/// The engine of this process. Not behind a lock: a child forked while another thread held the lock
/// would wait forever.
struct Engines(ArcSwapOption<Engine>);

/// A thread that drives a runtime until this value is dropped.
struct Engine {
    process: u32,
    runtime: Handle,
    _alive: oneshot::Sender<()>,
}

impl Engines {
    fn of(&self, process: u32) -> Result<Handle, BlockingError> {
        let before = self.0.load_full();
        if let Some(engine) = before.as_ref().filter(|engine| engine.process == process) {
            return Ok(engine.runtime.clone());
        }
        let started = Arc::new(Engine::start(process)?);
        let found = self.0.compare_and_swap(&before, Some(Arc::clone(&started)));
        match &*found {
            // Another thread was first; the engine started here is dropped.
            Some(engine) if engine.process == process => Ok(engine.runtime.clone()),
            _ => {
                // The parent's engine: dropping it would wake a thread that this process does not
                // have.
                std::mem::forget(before);
                Ok(started.runtime.clone())
            }
        }
    }
}

impl Engine {
    fn start(process: u32) -> Result<Self, BlockingError> {
        let no_thread =
            |error: std::io::Error| BlockingError::NoThread { reason: error.to_string() };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let handle = runtime.handle().clone();
        let (alive, dropped) = oneshot::channel();
        thread::Builder::new()
            .name("oidc-core".to_owned())
            .spawn(move || {
                let _ = runtime.block_on(dropped);
            })
            .map_err(no_thread)?;
        Ok(Self { process, runtime: handle, _alive: alive })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};
    use std::thread::{self, ThreadId};

    use super::{ArcSwapOption, Engines, Handle};

    fn thread_of(runtime: &Handle) -> ThreadId {
        let (answer, waiting) = std::sync::mpsc::sync_channel(1);
        runtime.spawn(async move { answer.send(thread::current().id()) });
        waiting.recv().unwrap()
    }

    #[test]
    fn twenty_threads_share_one_engine() {
        let engines = Arc::new(Engines(ArcSwapOption::empty()));
        let ready = Arc::new(Barrier::new(20));
        let callers: Vec<_> = (0..20)
            .map(|_| {
                let (engines, ready) = (Arc::clone(&engines), Arc::clone(&ready));
                thread::spawn(move || {
                    ready.wait();
                    thread_of(&engines.of(7).unwrap())
                })
            })
            .collect();
        let threads: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert!(threads.iter().all(|thread| thread == &threads[0]));
    }

    #[test]
    fn a_forked_child_gets_an_engine_of_its_own() {
        let engines = Engines(ArcSwapOption::empty());
        let parent = thread_of(&engines.of(1).unwrap());
        let child = thread_of(&engines.of(2).unwrap());
        assert_ne!(parent, child);
        assert_eq!(thread_of(&engines.of(2).unwrap()), child);
    }
}
