//! One exchange with an upstream, up to the head of its response.
//!
//! A second attempt is made at most once, and only when no effect can happen twice: on another target when no connection was
//! made and the method is idempotent without a body; on a new connection when no byte was written; or for a safe method without a
//! body when a connection closed without a response: on a new connection after a kept-alive one, on another target after a new
//! one. Except where no byte was written, the upstream's budget of second attempts must permit it.

use std::{borrow::Cow, future::Future, pin::pin, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
    uri::{PathAndQuery, Scheme},
};
use http_body::Body as _;
use http_canonical::trailers::Announced;
use hyper::{body::Incoming, client::conn::TrySendError};
use tokio::time::Instant;

use super::{
    Begun,
    cutoff::{Outcome, Progress},
    internal, unavailable,
};
use crate::{
    refusal::Refusal,
    review::{Kind, Permit, Review, UNDISTURBED},
    route::Route,
    upstream::{InFlight, Lease, Target, Upload, Upstream, explain, is_hang_up},
};
use web_sessions::LiveSession;

/// A request to send, without its body.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) path_and_query: PathAndQuery,
    pub(crate) host: HeaderValue,
    pub(crate) headers: HeaderMap,
    pub(crate) accepts_trailers: bool,
    /// The trailer fields that follow the body.
    pub(crate) trailers: Announced,
    pub(crate) upgrade: bool,
}

/// The parties of an exchange: route, upstream, and the caller's session and permit.
pub(super) struct Exchange<'a> {
    pub(super) route: &'a Route,
    pub(super) upstream: &'a Upstream,
    pub(super) session: Option<&'a Arc<LiveSession>>,
    /// Checks a long upload again while it runs.
    pub(super) review: (&'a Review, &'a Permit, Kind),
    /// The query, as the client sent it.
    pub(super) query: Option<&'a str>,
}

/// Notes that a target closed a new connection without a response. Requests with a body are left out: their client may be the
/// cause.
fn note(failed: &Failed, target: &Target) {
    if let Failed::Send(error) = failed
        && is_hang_up(error.error())
    {
        target.hung_up(&explain(error.error()));
    }
}

/// A first attempt that failed.
struct First<'a> {
    place: usize,
    target: &'a Arc<Target>,
    lease: Lease,
    in_flight: InFlight,
    bodyless: bool,
}

/// Result of sending a request on a connection.
type Sent = Result<Response<Incoming>, TrySendError<Request<Upload>>>;

/// Reason there is no response.
enum Failed {
    Send(Box<TrySendError<Request<Upload>>>),
    TimedOut,
    SessionEnded,
    NoLongerPermitted(Refusal),
}

impl Exchange<'_> {
    /// Sends, and waits for the head of the response.
    pub(super) async fn begin(
        &self,
        outgoing: Outgoing,
        upload: Upload,
        progress: Option<Arc<Progress>>,
    ) -> Result<Begun, Refusal> {
        let bodyless = upload.is_empty();
        let repeatable = bodyless && outgoing.method.is_idempotent();
        self.upstream.count_request();
        let (place, target, mut lease) = self.connect(repeatable, outgoing.upgrade).await?;
        let in_flight = target.begin();
        let spare = (bodyless
            && outgoing.method.is_safe()
            && (lease.is_reused() || self.upstream.has_alternative()))
        .then(|| outgoing.clone());
        let request = outgoing.into_request(target, upload)?;
        let sent = self.send(&mut lease, request, progress.as_deref()).await;
        let failed = match sent {
            Ok(response) => {
                target.answered();
                return Ok(Begun { response, lease, in_flight, progress });
            }
            Err(failed) => failed,
        };
        let first = First { place, target, lease, in_flight, bodyless };
        Box::pin(self.again(first, failed, spare, progress)).await
    }

    /// A second attempt, if the first one had no effect and the method permits it.
    async fn again(
        &self,
        first: First<'_>,
        mut failed: Failed,
        spare: Option<Outgoing>,
        progress: Option<Arc<Progress>>,
    ) -> Result<Begun, Refusal> {
        let First { place, target, lease, in_flight, bodyless } = first;
        let fresh = !lease.is_reused();
        drop(lease);
        let Failed::Send(error) = &mut failed else {
            return Err(self.refusal(failed, target, progress.as_deref()));
        };
        let unsent = error.take_message();
        let hung_up = unsent.is_none() && is_hang_up(error.error());
        if fresh && bodyless {
            note(&failed, target);
        }
        // A connection that was just made and closed again is no accident of keeping it: only another target may do better.
        let elsewhere = hung_up && fresh && self.upstream.has_alternative();
        let other = elsewhere.then(|| self.upstream.choose(Some(place))).flatten();
        let (next, in_flight) = match other {
            Some((_, other)) => (other, other.begin()),
            None => (target, in_flight),
        };
        let request = match (unsent, spare) {
            (Some(unsent), _) => Some(unsent),
            (None, Some(spare)) if hung_up && (!fresh || elsewhere) && self.may_retry() => {
                Some(spare.into_request(next, Upload::Empty)?)
            }
            _ => None,
        };
        let Some(request) = request else {
            return Err(self.refusal(failed, target, progress.as_deref()));
        };
        let mut lease = self
            .leased(next, !elsewhere)
            .await
            .inspect_err(|_| self.route.meters.retried(false))?;
        let sent = self.send(&mut lease, request, progress.as_deref()).await;
        self.route.meters.retried(sent.is_ok());
        match sent {
            Ok(response) => {
                next.answered();
                Ok(Begun { response, lease, in_flight, progress })
            }
            Err(failed) => {
                if bodyless && !lease.is_reused() {
                    note(&failed, next);
                }
                Err(self.refusal(failed, next, progress.as_deref()))
            }
        }
    }

    /// Whether the upstream's budget permits a second attempt.
    fn may_retry(&self) -> bool {
        let permitted = self.upstream.may_retry();
        if !permitted {
            self.route.meters.retry_refused();
        }
        permitted
    }

    /// Connects to a target, or to another one if that fails and the request allows it.
    async fn connect(
        &self,
        repeatable: bool,
        upgrade: bool,
    ) -> Result<(usize, &Arc<Target>, Lease), Refusal> {
        let none = || unavailable(self.route, "no target", "the upstream has no target");
        let within = self.route.timeouts.connect;
        let (place, target) = self.upstream.choose(None).ok_or_else(none)?;
        if upgrade && target.is_http2() {
            return Err(Refusal::Malformed {
                status: StatusCode::NOT_IMPLEMENTED,
                reason: Cow::Borrowed(
                    "unsupported WebSocket: this upstream speaks HTTP/2 only; configure it as `http:` or `https:`",
                ),
            });
        }
        match target.lease(within, false).await {
            Ok(lease) => Ok((place, target, lease)),
            Err(error) if repeatable && self.upstream.has_alternative() && self.may_retry() => {
                let (place, other) = self.upstream.choose(Some(place)).ok_or_else(none)?;
                let second = Box::pin(other.lease(within, false)).await;
                self.route.meters.retried(second.is_ok());
                match second {
                    Ok(lease) => Ok((place, other, lease)),
                    Err(second) => Err(unavailable(
                        self.route,
                        other.name(),
                        &format!("{second}; before that {}: {error}", target.name()),
                    )),
                }
            }
            Err(error) => Err(unavailable(self.route, target.name(), &error.to_string())),
        }
    }

    async fn leased(&self, target: &Target, fresh: bool) -> Result<Lease, Refusal> {
        let lease = target.lease(self.route.timeouts.connect, fresh).await;
        lease.map_err(|error| unavailable(self.route, target.name(), &error.to_string()))
    }

    /// Sends a request. The time limit counts from the last byte of an upload, however long the upload takes. A stream may pause
    /// for the route's idle time before its upload is complete.
    async fn send(
        &self,
        lease: &mut Lease,
        request: Request<Upload>,
        progress: Option<&Progress>,
    ) -> Result<Response<Incoming>, Failed> {
        let sending = lease.send(request);
        if let Some(progress) = progress {
            return Box::pin(self.upload(sending, progress)).await;
        }
        match tokio::time::timeout(self.route.timeouts.response_head, sending).await {
            Ok(sent) => sent.map_err(|error| Failed::Send(Box::new(error))),
            Err(_) => Err(Failed::TimedOut),
        }
    }

    /// Waits for a response during an upload, unless the session or the caller's permission ends first.
    async fn upload(
        &self,
        sending: impl Future<Output = Sent>,
        progress: &Progress,
    ) -> Result<Response<Incoming>, Failed> {
        let timeouts = &self.route.timeouts;
        let mut sending = pin!(sending);
        let mut ended = pin!(self.session_end());
        // The tokens are refreshed although no request comes.
        let _hold = self.session.map(LiveSession::hold);
        let (review, permit, kind) = self.review;
        let mut revoked = pin!(async {
            tokio::time::sleep(UNDISTURBED).await;
            review.revoked(permit, kind).await
        });
        let deadline = || match kind {
            Kind::Stream if !progress.is_complete() => progress.moved() + timeouts.idle,
            _ => progress.moved() + timeouts.response_head,
        };
        loop {
            // The upload may end in the meantime, which brings the deadline forward.
            let look = deadline().min(Instant::now() + timeouts.response_head);
            tokio::select! {
                biased;
                sent = &mut sending => return sent.map_err(|error| Failed::Send(Box::new(error))),
                () = &mut ended => return Err(Failed::SessionEnded),
                refusal = &mut revoked => return Err(Failed::NoLongerPermitted(refusal)),
                () = tokio::time::sleep_until(look) => {
                    if deadline() <= Instant::now() {
                        return Err(Failed::TimedOut);
                    }
                }
            }
        }
    }

    fn session_end(&self) -> impl Future<Output = ()> + use<'_> {
        let session = self.session;
        async move {
            match session {
                Some(live) => live.ended().cancelled().await,
                None => std::future::pending().await,
            }
        }
    }

    fn refusal(&self, failed: Failed, target: &Target, progress: Option<&Progress>) -> Refusal {
        match (progress.map(Progress::outcome), self.route.body_limit) {
            (Some(Outcome::TooLarge), Some(limit)) => return Refusal::BodyTooLarge { limit },
            (Some(Outcome::BrokenOff), _) => {
                return Refusal::Malformed {
                    status: StatusCode::BAD_REQUEST,
                    reason: Cow::Borrowed("the client broke off its upload"),
                };
            }
            _ => {}
        }
        match failed {
            Failed::Send(error) if error.error().is_parse() => Refusal::UpstreamInvalid {
                route: self.route.name.clone(),
                reason: format!("{}: {}", target.name(), explain(error.error())),
                too_large: error.error().is_parse_too_large(),
            },
            Failed::Send(error) => unavailable(self.route, target.name(), &explain(error.error())),
            Failed::TimedOut => Refusal::UpstreamTimeout {
                route: self.route.name.clone(),
                after: self.route.timeouts.response_head,
            },
            Failed::NoLongerPermitted(refusal) => refusal,
            Failed::SessionEnded => self.session_ended(),
        }
    }

    /// The refusal of an exchange whose session ended before the response was passed on.
    pub(super) fn session_ended(&self) -> Refusal {
        let path = &self.review.1.path;
        let return_to = match self.query {
            Some(query) => format!("{path}?{query}"),
            None => path.as_str().to_owned(),
        };
        Refusal::LoginNeeded {
            route: self.route.name.clone(),
            redirect: false,
            return_to,
            level: None,
        }
    }
}

impl Outgoing {
    /// The request as it is sent to a target. Length and framing follow from the body.
    pub(crate) fn into_request(
        self,
        target: &Target,
        upload: Upload,
    ) -> Result<Request<Upload>, Refusal> {
        let Self { method, path_and_query, host, mut headers, accepts_trailers, trailers, upgrade } =
            self;
        let trailers = trailers.header_value().filter(|_| !upload.is_empty());
        let has_trailers = trailers.is_some();
        if let Some(announced) = trailers {
            headers.insert(header::TRAILER, announced);
        }
        let host = target.host().cloned().unwrap_or(host);
        let (uri, version) = if target.is_http2() {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            let scheme = if target.is_tls() { Scheme::HTTPS } else { Scheme::HTTP };
            let uri = Uri::builder()
                .scheme(scheme)
                .authority(host.as_bytes())
                .path_and_query(path_and_query)
                .build();
            (internal(uri, "target")?, Version::HTTP_2)
        } else {
            headers.insert(header::HOST, host);
            if accepts_trailers && !upgrade {
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
            }
            // hyper writes neither the length of an empty body, which some servers require (RFC 9110 §8.6), nor a GET's body of
            // unknown length.
            if upload.is_empty() {
                if [Method::POST, Method::PUT, Method::PATCH].contains(&method) {
                    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
                }
            } else if has_trailers || upload.size_hint().exact().is_none() {
                headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            (Uri::from(path_and_query), Version::HTTP_11)
        };
        let mut request = Request::new(upload);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.version_mut() = version;
        *request.headers_mut() = headers;
        Ok(request)
    }
}
