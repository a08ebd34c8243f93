//! Accepts connections on loopback. Dropping it closes the socket and every connection, including those
//! in use, as when a provider crashes.

use std::io;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

/// A running server; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Running {
    abort: AbortHandle,
    task: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn serve(socket: TcpListener, router: Router) -> Self {
        let task = tokio::spawn(accept(socket, router));
        Self { abort: task.abort_handle(), task: Some(task) }
    }

    /// Stops, and returns once the port is free.
    pub(crate) async fn stop(mut self) {
        self.abort.abort();
        if let Some(task) = self.task.take() {
            // The result is the expected "cancelled" error.
            drop(task.await);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// Every address that `addr` resolves to, if all are on loopback; otherwise the first that is not.
pub(crate) async fn resolve_loopback(addr: &str) -> Result<Vec<SocketAddr>, NotBindable> {
    let addrs: Vec<SocketAddr> =
        tokio::net::lookup_host(addr).await.map_err(NotBindable::Unresolved)?.collect();
    match addrs.iter().find(|addr| !is_loopback(addr.ip())) {
        Some(outside) => Err(NotBindable::NotLoopback(*outside)),
        None => Ok(addrs),
    }
}

pub(crate) enum NotBindable {
    Unresolved(io::Error),
    NotLoopback(SocketAddr),
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

async fn accept(socket: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve_connection(stream, router.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, router: Router) {
    let service = TowerToHyperService::new(router);
    let connection = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = connection.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "connection ended early");
    }
}
