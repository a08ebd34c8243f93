//! Serves one connection, from the accepted socket to its end: handshake, protocol, HTTP, drain.

use std::{
    pin::{Pin, pin},
    sync::Arc,
};

use axum::body::Body;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{convert::Infallible, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep, timeout_at},
};
use tower::Service;

use super::{
    ConnInfo, Drain, ListenAddr,
    accept::{Held, Stream},
    every_request::{Shared, answer},
    strict_io::{Protocol, StrictIo},
    tls::{Handshakes, certificate_of, log_revocation},
    told::Told,
};
use crate::metric;
use http_canonical::{Peer, Scheme};

/// Buffer size of one connection, in each direction.
pub(super) const BUFFER: usize = 64 * 1024;

/// Time after the beginning of the drain in which a new connection may still complete its handshake and send its first bytes.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves the connections of one socket.
#[derive(Clone)]
pub(super) struct Server<S> {
    pub(super) service: S,
    pub(super) shared: Arc<Shared>,
    pub(super) tls: Option<Handshakes>,
    /// Present where proxies tell the client's address.
    pub(super) told: Option<Arc<Told>>,
    pub(super) local: ListenAddr,
    pub(super) drain: Drain,
}

impl<S> Server<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    /// Serves a connection to its end, or to the end of the drain.
    pub(super) async fn run(self, mut stream: Stream, mut peer: Peer, mut held: Held) {
        let accepted = Instant::now();
        if let Some(told) = &self.told {
            let by = accepted + self.shared.limits.first_head;
            let client = Box::pin(told.client(&mut stream, peer, &mut held, by));
            peer = tokio::select! {
                biased;
                client = client => match client {
                    Some(client) => client,
                    None => return,
                },
                () = silence_ends(&self.drain) => return,
            };
        }
        match (stream, self.tls.clone()) {
            (Stream::Tcp(stream), Some(tls)) => {
                let by = accepted + self.shared.limits.first_head;
                let (secured, clients) = tokio::select! {
                    biased;
                    secured = timeout_at(by, tls.accept(stream)) => match secured {
                        Ok(Ok(secured)) => secured,
                        Ok(Err(error)) => {
                            log_revocation(&error, peer);
                            return failed_handshake("failed", &error);
                        }
                        Err(late) => {
                            metric::limit_reached("first_head");
                            return failed_handshake("timeout", &late);
                        }
                    },
                    () = silence_ends(&self.drain) => return,
                };
                let agreed = match secured.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Some(Protocol::Http2),
                    Some(_) => Some(Protocol::Http1),
                    None => None,
                };
                let info = ConnInfo::new(peer, self.local.clone(), Scheme::Https)
                    .with_certificate(certificate_of(&secured))
                    .with_clients(clients);
                // Boxed, so that a plain connection does not take the memory of a secured one.
                Box::pin(self.talk(secured, info, agreed, accepted, held)).await;
            }
            (Stream::Tcp(stream), None) => {
                let info = ConnInfo::new(peer, self.local.clone(), Scheme::Http);
                self.talk(stream, info, None, accepted, held).await;
            }
            // No TLS: the peer is on the same machine.
            (Stream::Unix(stream), _) => {
                let info = ConnInfo::new(peer, self.local.clone(), Scheme::Http);
                self.talk(stream, info, None, accepted, held).await;
            }
        }
    }

    async fn talk<T>(
        self,
        io: T,
        info: ConnInfo,
        agreed: Option<Protocol>,
        accepted: Instant,
        held: Held,
    ) where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = self.shared.limits;
        let info = Arc::new(info);
        // Boxed: it moves to the parser and back.
        let mut io = Box::new(StrictIo::new(io, Arc::clone(&info), limits, accepted, held));
        let protocol = tokio::select! {
            biased;
            heard = timeout_at(accepted + limits.first_head, io.begin(agreed)) => match heard {
                Ok(Ok(Some(protocol))) => protocol,
                // No bytes, or too late: there is no request to answer.
                Ok(Ok(None) | Err(_)) => return,
                Err(_) => return metric::limit_reached("first_head"),
            },
            () = silence_ends(&self.drain) => return,
        };
        match protocol {
            Protocol::Http1 => self.http1(io, info).await,
            // In memory of its own size, which a connection of HTTP/1 does not need.
            Protocol::Http2 => Box::pin(self.http2(io, info)).await,
        }
    }

    async fn http2<T>(self, io: Box<StrictIo<T>>, info: Arc<ConnInfo>)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { service, shared, drain, .. } = self;
        let limits = shared.limits;
        let served = Arc::clone(&info);
        let service = service_fn(move |request: Request<Incoming>| {
            answer(service.clone(), Arc::clone(&shared), Arc::clone(&info), request)
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(100)
            .max_header_list_size(u32::try_from(limits.head_size.head).unwrap_or(u32::MAX))
            .max_send_buf_size(BUFFER)
            .adaptive_window(true)
            .enable_connect_protocol()
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .serve_connection(TokioIo::new(io), service);
        let connection = pin!(connection);
        let stages = (drain.goaway(), &drain);
        drive(connection, |running| running.graceful_shutdown(), stages, &served, limits.idle)
            .await;
    }
}

/// Resolves when the drain no longer waits for a connection that has sent nothing.
pub(super) async fn silence_ends(drain: &Drain) {
    drain.begun().await;
    sleep(LAST_WORDS).await;
}

/// Runs a connection to its end. It is asked to finish when the drain begins or when it was idle too long. A connection with an
/// open stream is not idle.
async fn drive<C>(
    mut connection: Pin<&mut C>,
    finish: impl Fn(Pin<&mut C>),
    (begun, drain): (impl Future<Output = ()>, &Drain),
    info: &ConnInfo,
    idle: Duration,
) where
    C: Future<Output = hyper::Result<()>>,
{
    let idle_for = async {
        let mut before = info.state.idle_mark();
        loop {
            sleep(idle).await;
            let now = info.state.idle_mark();
            if now.is_some() && now == before {
                return;
            }
            before = now;
        }
    };
    tokio::select! {
        biased;
        ended = connection.as_mut() => return log_end(ended),
        () = begun => {}
        () = idle_for => metric::limit_reached("idle"),
    }
    finish(connection.as_mut());
    end(connection, drain, info).await;
}

/// Runs a connection that was asked to finish. It is dropped when the grace of the drain is over; with a response that has no end
/// of its own, when the drain ends.
pub(super) async fn end<C>(mut connection: Pin<&mut C>, drain: &Drain, info: &ConnInfo)
where
    C: Future<Output = hyper::Result<()>>,
{
    let time_is_over = async {
        drain.requests_over().await;
        if info.state.has_unending() {
            drain.ended().await;
        }
    };
    tokio::select! {
        biased;
        ended = connection.as_mut() => log_end(ended),
        () = time_is_over => drain.count_cut(),
    }
}

pub(super) fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        // hyper gets whole heads only, so that its timer for a head ends no connection but an idle one.
        if error.is_timeout() {
            metric::limit_reached("idle");
        }
        tracing::debug!(%error, "connection ended early");
    }
}

fn failed_handshake(outcome: &'static str, error: &dyn std::fmt::Display) {
    metric::handshake_failed(outcome);
    tracing::debug!(%error, "TLS handshake {outcome}");
}
