//! A service on loopback that records the requests it receives.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use m2m::Origin;
use serde_json::Value;
use tokio::net::TcpListener;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.header("authorization")
    }

    /// Claims of its proof of possession.
    pub(crate) fn proof(&self) -> Value {
        let payload = self.header("dpop").unwrap().split('.').nth(1).unwrap();
        let octets = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
        serde_json::from_slice(&octets).unwrap()
    }
}

pub(crate) type Answer = Response<Full<Bytes>>;

pub(crate) fn status(status: StatusCode) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = status;
    answer
}

pub(crate) fn redirect(to: &str) -> Answer {
    let mut answer = status(StatusCode::TEMPORARY_REDIRECT);
    answer.headers_mut().insert("location", to.parse().unwrap());
    answer
}

/// Answers 401 to every token but this one.
pub(crate) fn only(token: &'static str) -> impl Fn(&Seen) -> Answer {
    move |seen| match seen.authorization() == Some(token) {
        true => status(StatusCode::OK),
        false => status(StatusCode::UNAUTHORIZED),
    }
}

pub(crate) struct Service {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Service {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (answer, memory) = (Arc::new(answer), Arc::clone(&seen));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, memory) = (Arc::clone(&answer), Arc::clone(&memory));
                let handle = service_fn(move |request: Request<Incoming>| {
                    let (answer, memory) = (Arc::clone(&answer), Arc::clone(&memory));
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let path = parts.uri.path().to_owned();
                        let seen =
                            Seen { method: parts.method, path, headers: parts.headers, body };
                        memory.lock().unwrap().push(seen.clone());
                        Ok::<_, Infallible>(answer(&seen))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), handle));
            }
        });
        Self { addr, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn origin(&self) -> Origin {
        self.url("").parse().unwrap()
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        self.seen().iter().map(|seen| seen.authorization().map(str::to_owned)).collect()
    }
}
