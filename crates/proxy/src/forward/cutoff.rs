//! Closes a stream when its session, token or idle time ends.
//!
//! The total time is unlimited. A stream ends when its session ends, when its token has expired, or when no byte moved for
//! the route's idle time. One timer serves all three, and is created only for a stream that waits.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use web_sessions::{LiveSession, StreamGuard};

use crate::{
    listen::Drain,
    review::{Kind, Permit, Review, UNDISTURBED},
};

/// Reason for which the gateway ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    /// The session ended by logout, by its limits, or at the provider.
    #[error("the session has ended")]
    SessionEnded,
    /// Past `exp` and the leeway.
    #[error("the bearer token has expired")]
    TokenExpired,
    /// The caller no longer meets a rule, or the rules have changed.
    #[error("the caller is no longer permitted")]
    NoLongerPermitted,
    /// The time of streams is over.
    #[error("the gateway is shutting down")]
    Draining,
    /// No byte moved.
    #[error("no byte moved for {}", humantime::format_duration(*.after))]
    Idle {
        /// the route's limit
        after: Duration,
    },
}

/// Ends a stream with its session, its token, its idle time or its permission.
pub(crate) struct Cutoff {
    session: Option<Arc<LiveSession>>,
    expires: Option<Instant>,
    idle: Duration,
    begun: Instant,
    moved: Instant,
    upload: Option<Arc<Progress>>,
    review: Reviewing,
    drain: Option<Drain>,
    armed: Option<Box<Armed>>,
}

/// State of a stream that has waited.
struct Armed {
    timer: Pin<Box<Sleep>>,
    ended: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    drained: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// Keeps the session's tokens fresh while the stream is open.
    _hold: Option<StreamGuard>,
}

impl Cutoff {
    /// For a stream opened by a session, by a token that ends at `expires`, or by neither.
    pub(crate) fn new(
        session: Option<Arc<LiveSession>>,
        expires: Option<Instant>,
        idle: Duration,
    ) -> Self {
        let begun = Instant::now();
        Self {
            session,
            expires,
            idle,
            begun,
            moved: begun,
            upload: None,
            review: Reviewing::Never,
            drain: None,
            armed: None,
        }
    }

    /// Ends the stream when it is no longer permitted.
    pub(super) fn with_review(
        mut self,
        review: Arc<Review>,
        permit: Arc<Permit>,
        kind: Kind,
    ) -> Self {
        self.review = Reviewing::Later(review, permit, kind);
        self
    }

    /// Ends the stream with the time that a drain leaves to streams.
    pub(super) fn with_drain(mut self, drain: Option<Drain>) -> Self {
        self.drain = drain;
        self
    }

    /// Counts bytes in the other direction too.
    pub(super) fn with_upload(mut self, upload: Option<Arc<Progress>>) -> Self {
        self.upload = upload;
        self
    }

    /// Bytes of the upload so far.
    pub(super) fn uploaded(&self) -> u64 {
        self.upload.as_deref().map_or(0, Progress::bytes)
    }

    /// Notes that bytes moved. Returns the reason if the stream must end nevertheless: a busy stream never waits.
    pub(super) fn moved(&mut self, cx: &mut Context<'_>) -> Option<Cut> {
        let now = Instant::now();
        self.moved = now;
        self.ended(now, cx)
    }

    /// Time when a byte last moved.
    pub(super) fn last_moved(&self) -> Instant {
        self.moved
    }

    /// Notes that the stream was alive at `when`, although no byte moved.
    pub(super) fn alive(&mut self, when: Instant) {
        self.moved = self.moved.max(when);
    }

    /// Waits for the stream's end.
    pub(super) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        loop {
            let now = Instant::now();
            if let Some(cut) = self.ended(now, cx) {
                return Poll::Ready(cut);
            }
            let moved = self.upload.as_ref().map_or(self.moved, |up| up.moved().max(self.moved));
            let idle_at = moved + self.idle;
            if idle_at <= now {
                return Poll::Ready(Cut::Idle { after: self.idle });
            }
            let ends_at = self.expires.map_or(idle_at, |expires| expires.min(idle_at));
            let wake_at = match self.review {
                Reviewing::Later(..) => ends_at.min(self.begun + UNDISTURBED),
                Reviewing::Never | Reviewing::Under(_) => ends_at,
            };
            let (session, drain) = (&self.session, &self.drain);
            let armed = self.armed.get_or_insert_with(|| {
                Box::new(Armed {
                    timer: Box::pin(tokio::time::sleep_until(wake_at)),
                    ended: session
                        .as_ref()
                        .map(|live| Box::pin(live.ended().clone().cancelled_owned())),
                    drained: drain
                        .as_ref()
                        .map(|drain| Box::pin(drain.end_of_streams().cancelled_owned())),
                    _hold: session.as_ref().map(LiveSession::hold),
                })
            });
            if let Some(ended) = &mut armed.ended
                && ended.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Cut::SessionEnded);
            }
            if let Some(drained) = &mut armed.drained
                && drained.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Cut::Draining);
            }
            // The timer fired: check again, because bytes may have moved since it was set.
            ready!(armed.timer.as_mut().poll(cx));
            armed.timer.as_mut().reset(wake_at);
        }
    }

    fn ended(&mut self, now: Instant, cx: &mut Context<'_>) -> Option<Cut> {
        if self.session.as_ref().is_some_and(|live| live.ended().is_cancelled()) {
            return Some(Cut::SessionEnded);
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return Some(Cut::TokenExpired);
        }
        if self.drain.as_ref().is_some_and(Drain::are_streams_over) {
            return Some(Cut::Draining);
        }
        if now.duration_since(self.begun) >= UNDISTURBED {
            self.review.begin();
        }
        self.review.is_over(cx).then_some(Cut::NoLongerPermitted)
    }
}

/// Repeated review of a stream. Most streams end before it begins, and cost nothing.
enum Reviewing {
    Never,
    /// Not begun yet.
    Later(Arc<Review>, Arc<Permit>, Kind),
    /// Resolves when the stream is no longer permitted.
    Under(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Reviewing {
    fn begin(&mut self) {
        *self = match std::mem::replace(self, Self::Never) {
            Self::Later(review, permit, kind) => Self::Under(Box::pin(async move {
                review.revoked(&permit, kind).await;
            })),
            begun => begun,
        };
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Never | Self::Later(..) => false,
            Self::Under(revoked) => revoked.as_mut().poll(cx).is_ready(),
        }
    }
}

/// Progress of an upload; shared by the upload and the task that waits for the response.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    moved_ms: AtomicU64,
    bytes: AtomicU64,
    outcome: AtomicU8,
    response_begun: AtomicBool,
    complete: AtomicBool,
}

/// Outcome of an upload so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Outcome {
    /// In progress, or complete.
    Good = 0,
    /// Larger than the route allows.
    TooLarge = 1,
    /// The client broke it off.
    BrokenOff = 2,
}

impl Progress {
    pub(super) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            moved_ms: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            outcome: AtomicU8::new(Outcome::Good as u8),
            response_begun: AtomicBool::new(false),
            complete: AtomicBool::new(false),
        }
    }

    /// Notes that the response has begun.
    pub(super) fn begin_response(&self) {
        self.response_begun.store(true, Ordering::Release);
    }

    /// Whether the response has begun.
    pub(super) fn has_response_begun(&self) -> bool {
        self.response_begun.load(Ordering::Acquire)
    }

    /// Notes that bytes moved just now, and returns the time.
    pub(super) fn touch(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        let elapsed = now.duration_since(self.begun).as_millis();
        self.moved_ms.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        now
    }

    /// Notes that the last byte was passed on.
    pub(super) fn complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// Whether the last byte was passed on.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Number of bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Time when a byte last moved.
    pub(super) fn moved(&self) -> Instant {
        self.begun + Duration::from_millis(self.moved_ms.load(Ordering::Relaxed))
    }

    pub(super) fn end(&self, outcome: Outcome) {
        self.outcome.store(outcome as u8, Ordering::Release);
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self.outcome.load(Ordering::Acquire) {
            1 => Outcome::TooLarge,
            2 => Outcome::BrokenOff,
            _ => Outcome::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    async fn moved(cutoff: &mut Cutoff) -> Option<Cut> {
        poll_fn(|cx| Poll::Ready(cutoff.moved(cx))).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_ends_after_the_idle_time() {
        let begun = Instant::now();
        let mut cutoff = Cutoff::new(None, None, IDLE);
        assert_eq!(poll_fn(|cx| cutoff.poll_cut(cx)).await, Cut::Idle { after: IDLE });
        assert_eq!(begun.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_stream_outlives_the_idle_time() {
        let mut cutoff = Cutoff::new(None, None, IDLE);
        for _ in 0..10 {
            let waited = tokio::time::timeout(IDLE / 2, poll_fn(|cx| cutoff.poll_cut(cx))).await;
            assert!(waited.is_err(), "ended too early");
            assert_eq!(moved(&mut cutoff).await, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_in_progress_keeps_the_response_open() {
        let progress = Arc::new(Progress::begin());
        let mut cutoff = Cutoff::new(None, None, IDLE).with_upload(Some(Arc::clone(&progress)));
        for _ in 0..10 {
            let waited = tokio::time::timeout(IDLE / 2, poll_fn(|cx| cutoff.poll_cut(cx))).await;
            assert!(waited.is_err(), "ended too early");
            progress.touch(1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_stream_ends_with_its_token_too() {
        let expires = Instant::now() + Duration::from_secs(5);
        let mut cutoff = Cutoff::new(None, Some(expires), IDLE);
        assert_eq!(moved(&mut cutoff).await, None);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(moved(&mut cutoff).await, Some(Cut::TokenExpired));
        let mut waiting = Cutoff::new(None, Some(Instant::now() + IDLE / 4), IDLE);
        assert_eq!(poll_fn(|cx| waiting.poll_cut(cx)).await, Cut::TokenExpired);
    }
}
