//! Passes bytes to one address until a test cuts the connection.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// A TCP relay on a free port of loopback.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    whole: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Passes connections on to `target`, `host:port`.
    pub async fn to(target: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (whole, watched) = watch::channel(true);
        let task = tokio::spawn(relay(listener, target.to_owned(), watched));
        Ok(Self { address, whole, task })
    }

    /// Its address, `host:port`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection and answers no new one.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Passes connections again.
    pub fn restore(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(listener: TcpListener, target: String, whole: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let (target, mut whole) = (target.clone(), whole.clone());
        connections.spawn(async move {
            if !*whole.borrow() {
                return;
            }
            let Ok(mut far) = TcpStream::connect(&target).await else { return };
            tokio::select! {
                // Either side may break off; that ends the connection.
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = whole.wait_for(|whole| !whole) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
