//! Connections of the admin listener: few, and none that waits for ever.
//!
//! A client without a token must not use up the descriptors of the public one.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Most connections at one time.
const CONNECTIONS: usize = 64;
/// Time for the first bytes of a connection, and for each request's head.
const HEAD: Duration = Duration::from_secs(15);
/// Pause after a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until the process ends.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept a connection");
                sleep(PAUSE).await;
                continue;
            }
        };
        let router = router.clone();
        tokio::spawn(async move {
            connection(stream, peer, router).await;
            drop(permit);
        });
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router) {
    // The builder reads the first bytes without a timer, to distinguish HTTP/2 from HTTP/1.
    let begun = timeout(HEAD, stream.peek(&mut [0])).await;
    if !matches!(begun, Ok(Ok(bytes)) if bytes > 0) {
        return;
    }
    let service = TowerToHyperService::new(router.layer(Extension(ConnectInfo(peer))));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD).keep_alive_timeout(HEAD);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, address = %peer.ip(), "a connection to the admin listener broke off");
    }
}
