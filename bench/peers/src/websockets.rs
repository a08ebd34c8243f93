//! Round trips through WebSockets: each connection has one message under way.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::measured::{Header, Measured};

/// A measurement of WebSockets.
#[derive(Clone, Debug, Args)]
pub(crate) struct Websockets {
    /// Address of the proxy
    address: SocketAddr,
    /// Path of the WebSocket
    path: String,
    /// A further header, such as a credential
    #[arg(long)]
    header: Vec<Header>,
    /// Connections at once
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Duration
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Bytes of a message
    #[arg(long, default_value_t = 128)]
    size: usize,
}

impl Websockets {
    /// Opens all connections first, then counts round trips.
    pub(crate) async fn measure(self) -> anyhow::Result<Measured> {
        let mut sockets = Vec::new();
        for _ in 0..self.connections {
            sockets.push(self.connect().await?);
        }
        let message = Message::binary(vec![b'x'; self.size]);
        let began = Instant::now();
        let end = began + Duration::from_secs_f64(self.seconds);
        let mut tasks = JoinSet::new();
        for mut socket in sockets {
            let message = message.clone();
            tasks.spawn_local(async move {
                let mut latencies = Vec::new();
                let mut sent = Instant::now();
                while sent < end {
                    socket.send(message.clone()).await?;
                    let echoed = socket.next().await.context("the proxy closed a WebSocket")??;
                    anyhow::ensure!(echoed == message, "a message came back changed");
                    let now = Instant::now();
                    latencies.push(now - sent);
                    sent = now;
                }
                anyhow::Ok(latencies)
            });
        }
        let mut latencies = Vec::new();
        while let Some(done) = tasks.join_next().await {
            latencies.extend(done??);
        }
        Ok(Measured { took: began.elapsed(), latencies })
    }

    async fn connect(&self) -> anyhow::Result<tokio_tungstenite::WebSocketStream<TcpStream>> {
        let mut request = format!("ws://{}{}", self.address, self.path).into_client_request()?;
        for Header { name, value } in &self.header {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (socket, _) = tokio_tungstenite::client_async(request, stream)
            .await
            .context("the proxy refused a WebSocket")?;
        Ok(socket)
    }
}
