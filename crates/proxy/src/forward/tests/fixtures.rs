//! A gateway of one route, callers of every kind, and an upstream that is a bare socket.

use std::{
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use http::Request;
use http_body_util::BodyExt;
use oidc_core::Secret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::super::*;
pub(super) use crate::upstream::Upstream;
use crate::{
    authorize::authorize,
    config::{
        BearerTokens, HostPattern, IdentityForwarding, Ping, PortalCard, SignIn, SignedOut,
        Streams, Timeouts, Underscores,
    },
    identify::{Identified, Sender},
    listen::{ConnInfo, ListenAddr, canonical},
    route::{ResponseFields, Routed},
};
use crate::{throttle::Throttle, upstream::UpstreamTls};
pub(super) use access_policy::Caller;
use access_policy::{Allow, Known, Policy, Rule};
pub(super) use http::{HeaderMap, HeaderValue, header};
use http_canonical::{Keep, Peer, RequestId, Trust};
use web_sessions::{CookieStore, Keys, Limits, LiveSession, Record};

/// No event of a test takes longer.
pub(super) const SOON: Duration = Duration::from_secs(10);

pub(super) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, event).await.unwrap()
}

/// A clock that the tests move.
#[derive(Debug)]
pub(super) struct MovableClock(Mutex<SystemTime>);

impl MovableClock {
    pub(super) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for MovableClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

/// The stage and the parts it needs.
pub(super) struct Stage {
    pub(super) upstreams: Upstreams,
    pub(super) assertions: Arc<Assertions>,
    pub(super) clock: Arc<MovableClock>,
    pub(super) sessions: Arc<Sessions>,
}

/// The gateway as a signer with these keys.
pub(super) fn signer(keys: &Keys) -> Signer {
    let public_url = "https://platform.example/".parse().unwrap();
    Signer::new(&public_url, &keys.derive_p256("assertion").unwrap()).unwrap()
}

impl Stage {
    pub(super) fn new() -> Self {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let clock = Arc::new(MovableClock(Mutex::new(now)));
        let keys = Arc::new(Keys::new(&[[7u8; 32]]).unwrap());
        let assertions = Arc::new(Assertions::new(signer(&keys), clock.clone()));
        let lifetime = Duration::from_secs(43_200);
        let store = Arc::new(CookieStore::new(keys, lifetime, clock.clone()));
        let limits = Limits::new(Duration::from_secs(3600), lifetime);
        let sessions = Arc::new(Sessions::new(store, limits, clock.clone()));
        let drain = Drain::new(Duration::from_secs(1));
        let throttle = Arc::new(Throttle::new(clock.clone()));
        let review = Arc::default();
        let upstreams = Upstreams::new(assertions.clone(), clock.clone(), drain, review, throttle)
            .with_sessions(sessions.clone());
        Self { upstreams, assertions, clock, sessions }
    }

    pub(super) async fn session(&self, known: Known) -> Arc<LiveSession> {
        let now = self.clock.now();
        let record = Record::new(
            known,
            Secret::from("sessions-access-token"),
            now + Duration::from_secs(300),
            now,
        );
        self.sessions.create(record).await.unwrap().1
    }

    /// A request of an unknown caller.
    pub(super) async fn ask(
        &self,
        route: &Arc<Route>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Refusal> {
        self.ask_as(route, request, Caller::Anonymous, Credential::None).await
    }

    pub(super) async fn ask_as(
        &self,
        route: &Arc<Route>,
        mut request: Request<Body>,
        caller: Caller,
        credential: Credential,
    ) -> Result<Response<Body>, Refusal> {
        let peer = Peer::Tcp("198.51.100.9:4000".parse().unwrap());
        let local = ListenAddr::Tcp("127.0.0.1:443".parse().unwrap());
        let connection = ConnInfo::new(peer, local, Scheme::Https);
        request.extensions_mut().insert(Arc::new(connection));
        request.extensions_mut().insert(RequestId::random());
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, "platform.example".parse().unwrap());
        }
        let request = canonical(request, &Trust::none()).unwrap().unwrap();
        let routed = Routed { request: request.into(), route: Arc::clone(route) };
        let sender = Sender { caller, credential, unread: None };
        let identified = Identified { routed, sender, times: None, message: None };
        soon(self.upstreams.forward(authorize(identified)?)).await
    }
}

pub(super) fn known() -> Known {
    let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Known {
        issuer: "main".into(),
        iss: "https://id.example/realms/platform".into(),
        subject: "s-1".into(),
        preferred_username: Some("alice".into()),
        email: Some("alice@example".into()),
        email_verified: true,
        roles: strings(&["data-scientist"]),
        groups: strings(&["/finance", "/lab"]),
        client: Some("gateway".into()),
        ..Known::default()
    }
}

pub(super) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

pub(super) fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).body(body.into()).unwrap()
}

/// A route to these targets that lets every caller through.
pub(super) fn route(targets: &[String]) -> Route {
    let urls: Vec<_> = targets.iter().map(|target| target.parse().unwrap()).collect();
    Route {
        meters: crate::metric::RouteMeters::none(),
        underscores: Underscores::default(),
        underscored: metrics::Counter::noop(),
        name: "app".into(),
        title: "App".into(),
        host: HostPattern::Exact("platform.example".into()),
        prefix: "/".parse().unwrap(),
        browser_scheme: Scheme::Https,
        keep: Keep::default(),
        sign_in: SignIn::default(),
        bearer: BearerTokens::default(),
        basic: false,
        registry: None,
        audience: Vec::new(),
        origins: Vec::new(),
        cors: None,
        portal: PortalCard::default(),
        policy: Policy::new(vec![Rule {
            path: None,
            methods: Vec::new(),
            messages: None,
            allow: Allow::Anyone,
            shadow: false,
        }]),
        identity: IdentityForwarding::default(),
        exchange: None,
        groups: None,
        set: None,
        reserved: Vec::new(),
        credentials: None,
        response: ResponseFields::default(),
        timeouts: Timeouts::default(),
        streams: Streams::default(),
        ping: Ping::default(),
        signed_out: SignedOut::default(),
        body_limit: None,
        per_user: None,
        usage: None,
        mcp: None,
        upstream: Some(Upstream::new(&urls, &UpstreamTls::platform()).unwrap()),
    }
}

/// An upstream that is a bare socket.
pub(super) struct Raw {
    listener: TcpListener,
}

impl Raw {
    pub(super) async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    pub(super) fn route(&self) -> Arc<Route> {
        Arc::new(route(&[self.url()]))
    }

    pub(super) async fn accept(&self) -> Peeled {
        let (stream, _) = soon(self.listener.accept()).await.unwrap();
        Peeled::new(stream)
    }

    /// Whether no connection is waiting to be accepted.
    pub(super) async fn is_untouched(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(50), self.listener.accept()).await.is_err()
    }

    /// Answers one exchange on a new connection, and gives back the head it saw.
    pub(super) async fn serve_one(&self, answer: &str) -> String {
        let mut connection = self.accept().await;
        let head = connection.head().await;
        connection.write(answer).await;
        head
    }
}

/// A connection, at whichever end.
pub(super) struct Peeled {
    pub(super) stream: TcpStream,
    read: Vec<u8>,
}

impl Peeled {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// The head of the next request, with its empty line.
    pub(super) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.read.split_off(end + 4);
                return String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
            }
            assert!(self.more().await, "closed in the middle of {:?}", self.read);
        }
    }

    /// The first `count` bytes after the head.
    pub(super) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.more().await, "closed after {:?}", self.read);
        }
        let rest = self.read.split_off(count);
        std::mem::replace(&mut self.read, rest)
    }

    /// Everything until the connection ends, however it ends.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    pub(super) async fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Closes with RST instead of FIN.
    pub(super) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }

    async fn more(&mut self) -> bool {
        soon(self.stream.read_buf(&mut self.read)).await.is_ok_and(|read| read > 0)
    }
}

/// The values of a field in a head.
pub(super) fn fields<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

/// The whole body, or the error that ended it.
pub(super) async fn body(response: Response<Body>) -> Result<String, axum::Error> {
    let collected = soon(response.into_body().collect()).await?;
    Ok(String::from_utf8(collected.to_bytes().to_vec()).unwrap())
}

pub(super) fn reason(refusal: Refusal) -> String {
    match refusal {
        Refusal::UpstreamUnavailable { reason, .. } | Refusal::UpstreamInvalid { reason, .. } => {
            reason
        }
        other => panic!("{other}"),
    }
}
