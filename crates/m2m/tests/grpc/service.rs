//! A gRPC service of text on loopback, and its client.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use m2m::Origin;
use m2m::grpc::{GrpcBearer, GrpcBearerLayer};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::client;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::server;
use tonic::transport::{Channel, Endpoint};
use tonic::{IntoStreamingRequest, Status};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

/// Messages that are text.
#[derive(Clone, Copy, Default)]
pub(crate) struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        String::from_utf8(bytes.to_vec()).map(Some).map_err(|_| Status::internal("no text"))
    }
}

/// Calls that arrived: path and `authorization`.
pub(crate) type Seen = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// The methods of the service. Each one refuses a call whose token is not `only`, if that is given.
#[derive(Clone, Default)]
pub(crate) struct Scores {
    pub(crate) only: Option<&'static str>,
    pub(crate) seen: Seen,
}

type Answers = BoxStream<'static, Result<String, Status>>;

impl Scores {
    pub(crate) fn only(authorization: &'static str) -> Self {
        Self { only: Some(authorization), ..Self::default() }
    }

    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        self.seen.lock().unwrap().iter().map(|(_, authorization)| authorization.clone()).collect()
    }

    pub(crate) async fn answer(self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let authorization = request.headers().get("authorization");
        let authorization = authorization.map(|it| it.to_str().unwrap().to_owned());
        let is_refused = self.only.is_some_and(|only| authorization.as_deref() != Some(only));
        self.seen.lock().unwrap().push((path.clone(), authorization));
        let may = move || match is_refused {
            true => Err(Status::unauthenticated("the token was revoked")),
            false => Ok(()),
        };
        let mut grpc = server::Grpc::new(Text);
        match path.as_str() {
            "/scores.Scores/Score" => {
                let score = service_fn(move |asked: tonic::Request<String>| async move {
                    may()?;
                    Ok::<_, Status>(tonic::Response::new(format!("score of {}", asked.get_ref())))
                });
                grpc.unary(score, request).await
            }
            "/scores.Scores/Watch" => {
                let watch = service_fn(move |asked: tonic::Request<String>| async move {
                    may()?;
                    let asked = asked.into_inner();
                    let answers = stream::iter((1..=3).map(move |n| Ok(format!("{asked} {n}"))));
                    Ok::<_, Status>(tonic::Response::new(answers.boxed() as Answers))
                });
                grpc.server_streaming(watch, request).await
            }
            // Answers before it refuses: the status is in the trailers.
            "/scores.Scores/Late" => {
                let late = service_fn(move |_: tonic::Request<String>| async move {
                    let last = may().map(|()| "all".to_owned());
                    let answers = stream::iter([Ok("first".to_owned()), last]);
                    Ok::<_, Status>(tonic::Response::new(answers.boxed() as Answers))
                });
                grpc.server_streaming(late, request).await
            }
            "/scores.Scores/Sum" => {
                let sum = service_fn(move |asked: tonic::Request<Streaming<String>>| async move {
                    may()?;
                    let all: Vec<_> = asked.into_inner().map(Result::unwrap).collect().await;
                    Ok::<_, Status>(tonic::Response::new(all.join("+")))
                });
                grpc.client_streaming(sum, request).await
            }
            _ => {
                let chat = service_fn(move |asked: tonic::Request<Streaming<String>>| async move {
                    may()?;
                    Ok::<_, Status>(tonic::Response::new(asked.into_inner().boxed() as Answers))
                });
                grpc.streaming(chat, request).await
            }
        }
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Serves HTTP/2 on loopback.
pub(crate) async fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Cause>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Cause>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    serve_on(listener, service);
    addr
}

pub(crate) fn serve_on<S, B>(listener: TcpListener, service: S)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Cause>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Cause>,
{
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service.clone().map_request(|it: Request<Incoming>| it.map(Body::new));
            let service = TowerToHyperService::new(service);
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
}

/// Serves these methods and checks no token first.
pub(crate) async fn start(scores: &Scores) -> SocketAddr {
    let scores = scores.clone();
    serve(service_fn(move |request| {
        let scores = scores.clone();
        async move { Ok::<_, std::convert::Infallible>(scores.answer(request).await) }
    }))
    .await
}

pub(crate) fn origin(addr: SocketAddr) -> Origin {
    format!("http://{addr}").parse().unwrap()
}

pub(crate) fn channel(addr: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{addr}")).unwrap().connect_lazy()
}

/// A client as tonic would generate it.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) client::Grpc<GrpcBearer<Channel>>);

type Received<T> = Result<T, Status>;

impl Client {
    pub(crate) fn new(layer: GrpcBearerLayer, addr: SocketAddr) -> Self {
        Self(client::Grpc::new(layer.layer(channel(addr))))
    }

    async fn ready(&mut self) -> Received<()> {
        self.0.ready().await.map_err(Status::from_error)
    }

    pub(crate) async fn score(&mut self, asked: impl Into<String>) -> Received<String> {
        self.ask(tonic::Request::new(asked.into())).await
    }

    pub(crate) async fn ask(&mut self, asked: tonic::Request<String>) -> Received<String> {
        self.ready().await?;
        let path = "/scores.Scores/Score".parse().unwrap();
        self.0.unary(asked, path, Text).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn stream(&mut self, method: &str) -> Received<Vec<String>> {
        self.ready().await?;
        let path = format!("/scores.Scores/{method}").parse().unwrap();
        let request = tonic::Request::new("c-17".to_owned());
        drain(self.0.server_streaming(request, path, Text).await?.into_inner()).await
    }

    pub(crate) async fn sum(&mut self, asked: &[&str]) -> Received<String> {
        self.ready().await?;
        let asked: Vec<_> = asked.iter().map(|it| (*it).to_owned()).collect();
        let request = stream::iter(asked).into_streaming_request();
        let path = "/scores.Scores/Sum".parse().unwrap();
        self.0.client_streaming(request, path, Text).await.map(tonic::Response::into_inner)
    }

    /// A conversation whose client has sent `first` and has not ended.
    pub(crate) async fn chat(&mut self, first: &str) -> Received<String> {
        self.ready().await?;
        let open = stream::iter([first.to_owned()]).chain(stream::pending());
        let path = "/scores.Scores/Chat".parse().unwrap();
        let request = open.into_streaming_request();
        let mut answers = self.0.streaming(request, path, Text).await?.into_inner();
        Ok(answers.message().await?.unwrap())
    }
}

async fn drain(mut answers: Streaming<String>) -> Received<Vec<String>> {
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await? {
        all.push(answer);
    }
    Ok(all)
}
