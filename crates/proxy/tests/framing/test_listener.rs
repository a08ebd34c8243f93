//! A listener on a free port, the service behind it, and a client that sends bytes.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use doorward::{
    config::ListenAddr,
    listen::{Body, Certificates, Drain, Drained, Limits, Listener, UpgradeAsked, canonical},
};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use http_canonical::Trust;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

/// One request that reached the service complete.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: bool,
}

/// A running listener.
pub(crate) struct TestListener {
    pub(crate) address: SocketAddr,
    pub(crate) drain: Drain,
    pub(crate) serving: JoinHandle<Drained>,
    seen: Arc<Mutex<Vec<Seen>>>,
    copies: Arc<()>,
}

impl TestListener {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default(), None).await
    }

    pub(crate) async fn with(limits: Limits, certificates: Option<Arc<Certificates>>) -> Self {
        let any = ListenAddr::Tcp("127.0.0.1:0".parse().unwrap());
        let listener = Listener::bind(&[any], certificates).await.unwrap().with_limits(limits);
        let ListenAddr::Tcp(address) = listener.local_addrs().remove(0) else { panic!("not TCP") };
        let drain = Drain::new(Duration::from_secs(5));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let copies = Arc::new(());
        let copy = Arc::clone(&copies);
        let service = tower::service_fn(move |request| {
            let _counted = &copy;
            serve(request, Arc::clone(&record))
        });
        let serving = tokio::spawn(listener.serve(service, drain.clone()));
        Self { address, drain, serving, seen, copies }
    }

    /// Number of copies of the service that exist.
    pub(crate) fn services(&self) -> usize {
        Arc::strong_count(&self.copies) - 1
    }

    /// The requests that reached the service so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.target).collect()
    }

    pub(crate) async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream }
    }

    /// Sends bytes on a fresh connection and reads until the gateway closes it.
    pub(crate) async fn exchange(&self, bytes: impl AsRef<[u8]>) -> Vec<Answer> {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.until_closed().await
    }
}

/// A client's end of a connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

/// One answer, as far as a client frames it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) closes: bool,
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// All answers up to the close, which must follow.
    pub(crate) async fn until_closed(&mut self) -> Vec<Answer> {
        let mut bytes = Vec::new();
        timeout(Duration::from_secs(10), self.stream.read_to_end(&mut bytes))
            .await
            .unwrap_or_else(|_| panic!("left open after {:?}", String::from_utf8_lossy(&bytes)))
            .unwrap();
        let mut rest = String::from_utf8(bytes).unwrap();
        let mut answers = Vec::new();
        while let Some((answer, length)) = parse(&rest) {
            answers.push(answer);
            rest.drain(..length);
        }
        assert_eq!(rest, "", "an answer was truncated");
        answers
    }

    /// The next answer on a connection that stays open.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut text = String::new();
        loop {
            if let Some((answer, length)) = parse(&text) {
                assert_eq!(text.len(), length, "more than one answer: {text:?}");
                return answer;
            }
            let byte = timeout(Duration::from_secs(10), self.stream.read_u8()).await;
            text.push(char::from(byte.unwrap_or_else(|_| panic!("no answer: {text:?}")).unwrap()));
        }
    }
}

fn parse(text: &str) -> Option<(Answer, usize)> {
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let status = head.get(9..12)?.parse().unwrap();
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (own, value) = line.split_once(": ")?;
            own.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let length = match status {
        100 | 101 => 0,
        _ => field("content-length").unwrap_or_else(|| "0".to_owned()).parse().unwrap(),
    };
    let body = rest.get(..length)?.to_owned();
    let closes = field("connection").is_some_and(|value| value == "close");
    Some((Answer { status, body, closes }, head.len() + 4 + length))
}

/// Answers with the target; the path selects further behaviour.
async fn serve(
    mut request: Request<Body>,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Body>, Infallible> {
    let target = request.uri().path_and_query().unwrap().to_string();
    match request.uri().path() {
        "/early" => return Ok(Response::new(Body::from("early"))),
        "/talk" => return Ok(Response::new(request.into_body())),
        "/aside" => {
            tokio::spawn(request.into_body().collect());
            return Ok(Response::new(Body::from("enough")));
        }
        "/panic" => panic!("asked to"),
        "/switch" => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            return Ok(response);
        }
        "/ws" => return Ok(tunnel(&mut request)),
        "/late" => tokio::time::sleep(Duration::from_millis(700)).await,
        _ => {}
    }
    let (parts, body) = request.into_parts();
    let Ok(collected) = body.collect().await else {
        let mut response = Response::new(Body::from("the service saw a broken body"));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        return Ok(response);
    };
    let trailers = collected.trailers().is_some();
    let body = collected.to_bytes();
    let mut again = Request::from_parts(parts, Body::empty());
    let method = again.method().clone();
    let headers = std::mem::take(again.headers_mut());
    *again.headers_mut() = headers.clone();
    if let Err(refusal) = canonical(again, &Trust::none()).unwrap() {
        let mut response = Response::new(Body::from(refusal.to_string()));
        *response.status_mut() = refusal.status();
        return Ok(response);
    }
    let record = Seen { method, target: target.clone(), headers, body: body.to_vec(), trailers };
    seen.lock().unwrap().push(record);
    Ok(Response::new(Body::from(target)))
}

/// Accepts a WebSocket and echoes everything.
fn tunnel(request: &mut Request<Body>) -> Response<Body> {
    if request.extensions().get::<UpgradeAsked>().is_none() || request.uri().query().is_some() {
        return Response::new(Body::from("declined"));
    }
    let client = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(client.await.unwrap()));
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .body(Body::empty())
        .unwrap()
}
