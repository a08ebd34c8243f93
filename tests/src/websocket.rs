//! A WebSocket client that sends exactly the given handshake.

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::StatusCode;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message, client::IntoClientRequest as _, http::HeaderName, http::HeaderValue,
    },
};

/// Result of a handshake.
#[derive(Debug)]
pub enum Handshake {
    /// 101.
    Open(Box<WebSocket>),
    /// Any other answer.
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its body.
        body: String,
    },
}

/// An open web socket.
#[derive(Debug)]
pub struct WebSocket(WebSocketStream<TcpStream>);

/// Connects to `127.0.0.1:port` and asks for a web socket at `path` of `http://localhost:port`.
pub async fn connect(port: u16, path: &str, headers: &[(&str, &str)]) -> Result<Handshake> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut request = format!("ws://localhost:{port}{path}").into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().append(name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?);
    }
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(Handshake::Open(Box::new(WebSocket(socket)))),
        Err(Error::Http(answer)) => Ok(Handshake::Refused {
            status: StatusCode::from_u16(answer.status().as_u16())?,
            body: answer
                .body()
                .as_ref()
                .map(|body| String::from_utf8_lossy(body).into_owned())
                .unwrap_or_default(),
        }),
        Err(error) => Err(error).context("the handshake broke off"),
    }
}

impl Handshake {
    /// The open socket; an error when refused.
    pub fn open(self) -> Result<WebSocket> {
        match self {
            Self::Open(socket) => Ok(*socket),
            Self::Refused { status, body } => bail!("the handshake was refused: {status} {body}"),
        }
    }
}

impl WebSocket {
    /// Sends text and waits for the next text.
    pub async fn ask(&mut self, text: &str) -> Result<String> {
        self.0.send(Message::text(text)).await?;
        self.next_text().await?.context("the socket closed instead of answering")
    }

    /// The next text; `None` when the other side closed or broke off.
    pub async fn next_text(&mut self) -> Result<Option<String>> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(Some(text.to_string())),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(None),
                Some(Ok(_)) => {}
            }
        }
    }

    /// The code of the other side's close frame; `None` when it broke off without one.
    pub async fn closing_code(&mut self) -> Option<u16> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}
