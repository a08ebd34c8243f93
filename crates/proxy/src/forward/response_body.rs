//! A response's body in transit to the client.
//!
//! Nothing is stored: each frame is passed on when the client asks for it. A response that the upstream breaks off is broken off
//! for the client too, and never looks complete. A response that the client does not read is not polled: a task of its own ends
//! it, and so the upload that goes on beside it.

use std::{
    borrow::Cow,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_canonical::RequestId;
use hyper::body::Incoming;
use tokio::task::AbortHandle;

use super::{
    Begun,
    cutoff::{Cut, Cutoff, Progress},
    headers,
    metering::Metering,
    streams::{Activity, Bounds, StreamRecord},
};
use crate::{
    audit::Tally,
    review::Kind,
    route::Route,
    upstream::{InFlight, Lease, explain},
};

/// Route and request, for the log line about a response that breaks off.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) route: Arc<Route>,
    /// The account of the exchange, which is over when nothing holds it.
    pub(super) tally: Arc<Tally>,
}

/// Reason of a response that was passed on to its end.
const COMPLETE: &str = "complete";

/// A response up to this size fits the buffers, whether the client reads it or not.
const SOON_DONE: u64 = 64 * 1024;

/// A response's body in transit to the client.
///
/// Holds the connection, and returns it to the pool when dropped.
pub(super) struct ResponseBody {
    flow: Held,
    cutoff: Cutoff,
    activity: Option<Activity>,
    in_flight: InFlight,
    origin: Origin,
    /// Present for a stream.
    account: Option<Box<Account>>,
    /// Present for an answer of a model.
    metering: Option<Box<Metering>>,
}

/// The account of a stream, for the line at its end.
struct Account {
    record: Box<StreamRecord>,
    upload: Option<Arc<Progress>>,
    sent: u64,
    reason: Option<Cow<'static, str>>,
}

/// The upstream's half of a response.
struct Flow {
    inner: Option<Incoming>,
    lease: Option<Lease>,
    /// Set when the watch has ended it.
    cut: Option<Cut>,
}

/// Owner of the upstream's half: the response alone, or together with a watch task.
enum Held {
    Alone(Flow),
    Watched(Arc<Mutex<Flow>>, AbortHandle),
}

/// Reason a response was broken off; the client never sees a complete one.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResponseError {
    #[error("the upstream broke off its response")]
    Upstream(#[source] hyper::Error),
    #[error("the response was ended: {0}")]
    Cut(#[source] Cut),
}

impl Flow {
    /// Ends the upstream's half. The body goes first, so that the connection knows whether it was read to its end.
    fn stop(&mut self) {
        self.inner = None;
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    /// The reason it ended, when its reader has met no error.
    fn end(&self) -> Cow<'static, str> {
        match (&self.inner, self.cut) {
            (_, Some(cut)) => Cow::Owned(cut.to_string()),
            (Some(inner), None) if !inner.is_end_stream() => "the client left".into(),
            _ => COMPLETE.into(),
        }
    }
}

impl Account {
    fn close(self, end: Cow<'static, str>) {
        // A short call that ended well is no stream; the line of its request says all.
        if self.reason.is_none() && end == COMPLETE && self.record.is_brief() {
            return;
        }
        let received = self.upload.as_deref().map_or(0, Progress::bytes);
        self.record.ended(&self.reason.unwrap_or(end), received, self.sent);
    }
}

impl Held {
    fn with<R>(&mut self, act: impl FnOnce(&mut Flow) -> R) -> R {
        match self {
            Self::Alone(flow) => act(flow),
            Self::Watched(flow, _) => act(&mut flow.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn look<R>(&self, read: impl FnOnce(&Flow) -> R) -> R {
        match self {
            Self::Alone(flow) => read(flow),
            Self::Watched(flow, _) => read(&flow.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl ResponseBody {
    /// A response that ends by its bounds when it is read. One that may take long gets a second cutoff, which ends it although
    /// the client does not read it.
    pub(super) fn new(
        inner: Incoming,
        bounds: &Bounds,
        upload: Option<Arc<Progress>>,
        (lease, in_flight): (Lease, InFlight),
        origin: Origin,
    ) -> Self {
        let long = inner.size_hint().upper().is_none_or(|bytes| bytes > SOON_DONE);
        let flow = Flow { inner: Some(inner), lease: Some(lease), cut: None };
        let flow = if long {
            let flow = Arc::new(Mutex::new(flow));
            let unread = stop_unread(Arc::downgrade(&flow), bounds.watch(), origin.clone());
            let task = tokio::spawn(unread);
            Held::Watched(flow, task.abort_handle())
        } else {
            Held::Alone(flow)
        };
        let account = bounds.record(&origin.tally).map(|record| {
            Box::new(Account { record, upload: upload.clone(), sent: 0, reason: None })
        });
        let cutoff = bounds.cutoff().with_upload(upload);
        // The request itself was activity, and a short response ends with it.
        let activity = if long { bounds.activity() } else { None };
        Self { flow, cutoff, activity, in_flight, origin, account, metering: None }
    }

    /// The same, read in passing.
    pub(super) fn metered(mut self, metering: Option<Box<Metering>>) -> Self {
        self.metering = metering;
        self
    }

    fn broken_off(&mut self, error: ResponseError) -> ResponseError {
        let known = self.flow.with(|flow| {
            flow.inner = None;
            flow.cut.is_some()
        });
        if let Some(account) = &mut self.account {
            account.reason = Some(Cow::Owned(match &error {
                ResponseError::Upstream(cause) => explain(cause),
                ResponseError::Cut(cut) => cut.to_string(),
            }));
        }
        match &error {
            ResponseError::Upstream(cause) => tracing::warn!(
                route = self.origin.route.name,
                request_id = self.origin.tally.request_id(),
                upstream = self.in_flight.target().name(),
                reason = explain(cause),
                "the upstream broke off its response, so the client's was broken off too"
            ),
            ResponseError::Cut(cut) if !known => self.origin.ended(*cut),
            ResponseError::Cut(_) => {}
        }
        error
    }
}

impl Origin {
    /// The origin of an exchange whose response has begun.
    pub(super) fn of(begun: &Begun, bounds: &Bounds, request_id: RequestId) -> Self {
        let target = Arc::clone(begun.in_flight.target());
        let tally = Tally::new(request_id, target, bounds.kind() == Kind::Stream);
        Self { route: Arc::clone(&bounds.permit.route), tally }
    }

    fn ended(&self, cut: Cut) {
        let (route, id) = (self.route.name.as_str(), self.tally.request_id());
        tracing::info!(route, request_id = id, reason = %cut, "ended an open response");
    }
}

/// Ends the upstream's half when its time is over. A response that the client does not read is not polled.
async fn stop_unread(flow: Weak<Mutex<Flow>>, mut cutoff: Cutoff, origin: Origin) {
    let cut = poll_fn(|cx| cutoff.poll_cut(cx)).await;
    let Some(flow) = flow.upgrade() else { return };
    let mut flow = flow.lock().unwrap_or_else(PoisonError::into_inner);
    if flow.inner.is_some() {
        flow.cut = Some(cut);
        flow.stop();
        origin.ended(cut);
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        let this = &mut *self;
        let polled = this.flow.with(|flow| match (&mut flow.inner, flow.cut) {
            (_, Some(cut)) => Err(cut),
            (None, None) => Ok(Poll::Ready(None)),
            (Some(inner), None) => Ok(Pin::new(inner).poll_frame(cx)),
        });
        let polled = match polled {
            Ok(polled) => polled,
            Err(cut) => return Poll::Ready(Some(Err(this.broken_off(ResponseError::Cut(cut))))),
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(cut) = this.cutoff.moved(cx) {
                    return Poll::Ready(Some(Err(this.broken_off(ResponseError::Cut(cut)))));
                }
                if let Some(activity) = &mut this.activity {
                    activity.note(this.cutoff.last_moved());
                }
                if let Some(data) = frame.data_ref() {
                    this.origin.route.meters.sent(data.len());
                    this.origin.tally.sent(data.len());
                    if let Some(metering) = &mut this.metering {
                        metering.read(data);
                    }
                    if let Some(account) = &mut this.account {
                        account.sent += data.len() as u64;
                    }
                }
                Poll::Ready(Some(Ok(match frame.into_trailers() {
                    Ok(trailers) => Frame::trailers(sendable(trailers)),
                    Err(data) => data,
                })))
            }
            Poll::Ready(Some(Err(error))) => {
                Poll::Ready(Some(Err(this.broken_off(ResponseError::Upstream(error)))))
            }
            Poll::Ready(None) => {
                this.flow.with(|flow| flow.inner = None);
                Poll::Ready(None)
            }
            Poll::Pending => {
                let cut = ready!(this.cutoff.poll_cut(cx));
                Poll::Ready(Some(Err(this.broken_off(ResponseError::Cut(cut)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // What was cut is not complete.
        self.flow.look(|flow| {
            flow.cut.is_none() && flow.inner.as_ref().is_none_or(|inner| inner.is_end_stream())
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.flow.look(|flow| match &flow.inner {
            Some(inner) => inner.size_hint(),
            None if flow.cut.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(0),
        })
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Held::Watched(_, watch) = &self.flow {
            watch.abort();
        }
        self.origin.tally.received(self.cutoff.uploaded());
        if let Some(metering) = self.metering.take() {
            let whole = self.flow.look(Flow::end) == COMPLETE;
            metering.end(whole, self.cutoff.uploaded(), &self.origin.tally);
        }
        if let Some(account) = self.account.take() {
            account.close(self.flow.look(Flow::end));
        }
        self.flow.with(Flow::stop);
    }
}

fn sendable(trailers: HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(trailers.keys_len());
    for (name, value) in &trailers {
        if headers::may_be_trailer(name) {
            kept.append(name, value.clone());
        }
    }
    kept
}
