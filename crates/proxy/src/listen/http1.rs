//! HTTP/1 on one connection: hyper has it while requests come, and is dropped with its buffers while none do.
//!
//! hyper keeps 8 KiB for reading, 8 KiB for writing and the place of a request's future for each connection. A client that waits,
//! or that sends a head slowly, needs none of them: [`StrictIo`] collects the head, and hyper gets the connection with a whole one.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::body::Body;
use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout},
};
use tower::Service;

use super::{
    ConnInfo, Drain,
    every_request::{Shared, answer},
    serve::{BUFFER, LAST_WORDS, Server, end, log_end, silence_ends},
    strict_io::StrictIo,
};

/// A connection is quiet after one to two of these intervals without a request.
const QUIET: Duration = Duration::from_secs(1);

impl<S> Server<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    /// Serves a connection that has begun to send its first head.
    pub(super) async fn http1<T>(self, mut io: Box<StrictIo<T>>, info: Arc<ConnInfo>)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { service, shared, drain, .. } = self;
        let mut idle_by = None;
        while head(&mut io, idle_by, &drain).await {
            // In memory of its own, which a quiet connection does not keep.
            let exchanges = exchanges(io, service.clone(), &shared, &drain, &info);
            let Some((quiet, since)) = Box::pin(exchanges).await else { return };
            io = quiet;
            idle_by = Some(since + shared.limits.idle);
        }
        // An error or a timeout is ignored: the client's connection may be broken.
        let _ = timeout(LAST_WORDS, io.shutdown()).await;
    }
}

/// Waits for a whole head; `false` when the connection ends without one. A drain leaves a new connection the time for its first.
async fn head<T>(io: &mut StrictIo<T>, idle_by: Option<Instant>, drain: &Drain) -> bool
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let drained = async {
        match idle_by {
            None => silence_ends(drain).await,
            Some(_) => drain.begun().await,
        }
    };
    tokio::select! {
        biased;
        arrived = io.head(idle_by) => arrived.unwrap_or(false),
        () = drained => false,
    }
}

/// Has hyper serve the requests of a connection until its end, or until it is quiet: then returns it, with the time since which it is.
async fn exchanges<T, S>(
    io: Box<StrictIo<T>>,
    service: S,
    shared: &Arc<Shared>,
    drain: &Drain,
    info: &Arc<ConnInfo>,
) -> Option<(Box<StrictIo<T>>, Instant)>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let limits = shared.limits;
    // Boxed: hyper returns a connection only when its service may move.
    let (service, shared, served) = (Box::new(service), Arc::clone(shared), Arc::clone(info));
    let service = service_fn(move |request: Request<Incoming>| {
        answer(S::clone(&service), Arc::clone(&shared), Arc::clone(&served), request)
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(BUFFER.max(limits.head_size.head + 1024))
        .max_headers(limits.head_size.fields)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let quiet = tokio::select! {
        biased;
        ended = &mut connection => {
            log_end(ended);
            return None;
        }
        () = drain.begun() => None,
        since = info.state.quiet(QUIET) => Some(since),
    };
    let requests = info.state.requests();
    info.state.hand_back(quiet.is_some());
    Pin::new(&mut connection).graceful_shutdown();
    if let Some(since) = quiet {
        // hyper has neither a byte to write nor an exchange to finish, and so is at its end now.
        let ended = poll_once(&mut connection);
        info.state.hand_back(false);
        if let Poll::Ready(ended) = ended {
            let parts = connection.into_parts()?;
            let whole = ended.is_ok() && parts.read_buf.is_empty();
            log_end(ended);
            let same = info.state.requests() == requests;
            return (whole && same).then(|| (parts.io.into_inner(), since));
        }
        tracing::debug!("a connection that seemed quiet was not; it ends with its exchange");
    }
    end(pin!(connection), drain, info).await;
    None
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    future.now_or_never().map_or(Poll::Pending, Poll::Ready)
}
