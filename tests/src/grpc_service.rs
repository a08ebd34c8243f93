//! A gRPC service over HTTP/2 in clear text that records the heads of its calls.
//!
//! It answers with the message of the call. A method `Watch` repeats it until the client is gone.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, Request, Response};
use prost::bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

const BETWEEN: Duration = Duration::from_millis(100);

type Heads = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// The recording service; stops when dropped.
#[derive(Debug)]
pub struct GrpcService {
    address: SocketAddr,
    heads: Heads,
    task: JoinHandle<()>,
}

impl GrpcService {
    /// Listens on a free port of loopback.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let heads = Heads::default();
        let record = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&record)));
            }
        });
        Ok(Self { address, heads, task })
    }

    /// Its URL as an upstream.
    pub fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    /// The calls that reached it: path and header.
    pub fn calls(&self) -> Vec<(String, HeaderMap)> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for GrpcService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, heads: Heads) -> Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        let head = (request.uri().path().to_owned(), request.headers().clone());
        heads.lock().unwrap_or_else(PoisonError::into_inner).push(head);
        tokio::spawn(answer(request, respond));
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Result<()> {
    let watched = request.uri().path().ends_with("/Watch");
    let mut body = request.into_body();
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        message.extend_from_slice(&data);
    }
    let head = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut answer = respond.send_response(head, false)?;
    let message = Bytes::from(message);
    answer.send_data(message.clone(), false)?;
    if watched {
        loop {
            sleep(BETWEEN).await;
            answer.send_data(message.clone(), false)?;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    answer.send_trailers(trailers)?;
    Ok(())
}
