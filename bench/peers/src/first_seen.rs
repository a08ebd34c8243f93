//! Requests with a token each, which no request before had.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::Instant;

use crate::measured::Measured;

/// A measurement of tokens that are seen for the first time.
#[derive(Clone, Debug, Args)]
pub(crate) struct FirstSeen {
    /// Address of the proxy
    address: SocketAddr,
    /// Path of the requests
    path: String,
    /// File with a token on each line; each is sent once
    tokens: PathBuf,
    /// Connections at once
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

impl FirstSeen {
    /// Sends every token once.
    pub(crate) async fn measure(self) -> anyhow::Result<Measured> {
        let lines = std::fs::read_to_string(&self.tokens)?;
        let tokens: Vec<String> = lines.lines().map(str::to_owned).collect();
        let tokens = Rc::new(RefCell::new(tokens));
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..self.connections {
            tasks.spawn_local(self.clone().connection(Rc::clone(&tokens)));
        }
        let mut latencies = Vec::new();
        while let Some(done) = tasks.join_next().await {
            latencies.extend(done??);
        }
        Ok(Measured { took: began.elapsed(), latencies })
    }

    async fn connection(
        self,
        tokens: Rc<RefCell<Vec<String>>>,
    ) -> anyhow::Result<Vec<std::time::Duration>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        spawn_local(connection);
        let mut latencies = Vec::new();
        loop {
            let Some(token) = tokens.borrow_mut().pop() else { return Ok(latencies) };
            let mut credential = HeaderValue::from_str(&format!("Bearer {token}"))?;
            credential.set_sensitive(true);
            let request = Request::get(&self.path)
                .header(HOST, self.address.to_string())
                .header(AUTHORIZATION, credential)
                .body(Empty::<Bytes>::new())?;
            sender.ready().await.context("the proxy closed a connection")?;
            let sent = Instant::now();
            let response = sender.send_request(request).await?;
            anyhow::ensure!(
                response.status() == StatusCode::OK,
                "the proxy answered {} to a good token",
                response.status()
            );
            response.into_body().collect().await?;
            latencies.push(sent.elapsed());
        }
    }
}
