//! A gRPC client on HTTP/2: sends messages, receives messages and trailers.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::stream::poll_fn;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
};
use tokio_rustls::TlsConnector;

use crate::test_gateway::TestGateway;

type Outgoing = UnsyncBoxBody<Bytes, Infallible>;

/// A message with its prefix: not compressed, and its length.
pub(super) fn framed(message: &str) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.put_slice(message.as_bytes());
    framed.freeze()
}

/// The longest time that any step of a call takes.
pub(super) async fn soon<T>(waited: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(8), waited).await.unwrap()
}

pub(super) async fn connect(gateway: &TestGateway) -> TcpStream {
    let (_, address) = gateway.base.split_once("://").unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// One connection to the gateway.
pub(super) struct Client(http2::SendRequest<Outgoing>);

impl Client {
    /// By prior knowledge.
    pub(super) async fn in_clear_text(gateway: &TestGateway) -> Self {
        Self::speak(connect(gateway).await).await
    }

    /// By ALPN.
    pub(super) async fn over_tls(gateway: &TestGateway) -> Self {
        let mut roots = RootCertStore::empty();
        let file = gateway.folder.path().join("tls.crt");
        roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = "127.0.0.1".try_into().unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let secured = connector.connect(name, connect(gateway).await).await.unwrap();
        assert_eq!(secured.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        Self::speak(secured).await
    }

    async fn speak<T>(io: T) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Begins a call whose service may answer late.
    pub(super) async fn begin(
        &mut self,
        request: Request<Outgoing>,
    ) -> impl Future<Output = Response<Incoming>> + use<> {
        soon(self.0.ready()).await.unwrap();
        let answered = self.0.send_request(request);
        async { answered.await.unwrap() }
    }

    pub(super) async fn send(&mut self, request: Request<Outgoing>) -> Response<Incoming> {
        soon(self.0.ready()).await.unwrap();
        soon(self.0.send_request(request)).await.unwrap()
    }
}

/// The client's side of a call; dropped, it has ended.
pub(super) struct Messages(mpsc::UnboundedSender<Frame<Bytes>>);

impl Messages {
    pub(super) fn new() -> (Self, Outgoing) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let frames = poll_fn(move |context| receiver.poll_recv(context).map(|next| next.map(Ok)));
        (Self(sender), StreamBody::new(frames).boxed_unsync())
    }

    pub(super) fn send(&self, message: &str) {
        self.0.send(Frame::data(framed(message))).unwrap();
    }

    /// Ends with a trailer, which no gRPC client does.
    pub(super) fn end_with(self, name: &'static str, value: &'static str) {
        let name = HeaderName::from_static(name);
        let trailers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        self.0.send(Frame::trailers(trailers)).unwrap();
    }
}

/// The service's side of a call.
pub(super) struct GrpcAnswer {
    body: Incoming,
    buffer: BytesMut,
    trailers: HeaderMap,
}

impl GrpcAnswer {
    pub(super) fn of(response: Response<Incoming>) -> Self {
        let body = response.into_body();
        Self { body, buffer: BytesMut::new(), trailers: HeaderMap::new() }
    }

    /// The next message; none after the last.
    pub(super) async fn message(&mut self) -> Option<String> {
        loop {
            if let Some(prefix) = self.buffer.get(1..5) {
                let length = u32::from_be_bytes(prefix.try_into().unwrap()) as usize;
                if self.buffer.len() >= 5 + length {
                    self.buffer.advance(5);
                    return Some(String::from_utf8(self.buffer.split_to(length).into()).unwrap());
                }
            }
            match soon(self.body.frame()).await {
                None => {
                    assert!(self.buffer.is_empty(), "ended within a message");
                    return None;
                }
                Some(frame) => match frame.unwrap().into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().unwrap(),
                },
            }
        }
    }

    /// The trailers behind the last message.
    pub(super) fn into_trailers(self) -> HeaderMap {
        self.trailers
    }
}
