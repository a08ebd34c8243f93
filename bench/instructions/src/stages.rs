//! Single stages, called as the gateway calls them.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use doorward::{
    assemble,
    audit::Trail,
    authorize::{Permitted, authorize},
    forward::Upstreams,
    identify::{Identified, Identify, cookie::SessionCookie},
    listen::{CanonicalRequest, ConnInfo, ListenAddr, canonical},
    route::{Routed, Routes},
    throttle::Throttle,
};
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use http_canonical::{Peer, RequestId, Scheme, Trust};
use web_sessions::{Cookies, SetCookies};

use crate::{Cases, parts::Parts};

/// Calls in a counted run.
const COUNT: usize = 100;

struct Line {
    routes: Routes,
    identify: Identify,
    upstreams: Upstreams,
    cookies: Cookies,
    ticket: String,
    connection: Arc<ConnInfo>,
}

pub(crate) fn count(cases: &Cases, parts: &Parts) {
    let line = Line::new(parts);
    let field =
        (header::COOKIE, format!("theme=dark; __Host-doorward={}; _xsrf=2|7586b241", line.ticket));
    let request = || line.request(&field);
    cases.count(
        "canonical",
        COUNT,
        || many(|| line.arrived(&field)),
        |requests| {
            requests.into_iter().for_each(|request| drop(line.canonical(request)));
        },
    );
    cases.count(
        "route",
        COUNT,
        || many(request),
        |requests| {
            requests.into_iter().for_each(|request| drop(line.routes.route(request).unwrap()));
        },
    );
    cases.count(
        "cookie",
        COUNT,
        || line.arrived(&field).headers().clone(),
        |headers: HeaderMap| {
            for _ in 0..COUNT {
                assert!(line.cookies.session_ticket(&headers).is_some());
            }
        },
    );
    cases.count(
        "identify-session",
        COUNT,
        || many(|| line.routed(&field)),
        |routed| {
            routed.into_iter().for_each(|routed| drop(line.identified(routed)));
        },
    );
    let bearer = bearer(&parts.token(0));
    cases.count(
        "identify-bearer",
        COUNT,
        || many(|| line.routed(&bearer)),
        |routed| {
            routed.into_iter().for_each(|routed| drop(line.identified(routed)));
        },
    );
    let mut n = 1;
    let mut unseen = || {
        n += 1;
        line.routed(&self::bearer(&parts.token(n)))
    };
    cases.count(
        "identify-bearer-first",
        10,
        || (0..10).map(|_| unseen()).collect::<Vec<_>>(),
        |routed| {
            routed.into_iter().for_each(|routed| drop(line.identified(routed)));
        },
    );
    cases.count(
        "authorize",
        COUNT,
        || many(|| line.identified(line.routed(&field))),
        |identified| {
            identified.into_iter().for_each(|identified| drop(authorize(identified).unwrap()));
        },
    );
    let recorded = || {
        let request = line.request(&field);
        let mut trail = Trail::new(&request);
        let routed = line.routes.route(request).unwrap();
        trail.routed(&routed);
        let identified = line.identified(routed);
        trail.identified(&identified);
        trail.permitted(&authorize(identified).unwrap());
        trail
    };
    cases.count(
        "audit",
        COUNT,
        || many(recorded),
        |trails: Vec<Trail>| {
            trails.into_iter().for_each(|trail| trail.answered(StatusCode::OK));
        },
    );
    let permitted = || authorize(line.identified(line.routed(&field))).unwrap();
    cases.count(
        "forward",
        COUNT,
        || many(permitted),
        |permitted: Vec<Permitted>| {
            parts.runtime.block_on(async {
                for permitted in permitted {
                    let response = line.upstreams.forward(permitted).await.unwrap();
                    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 256);
                }
            });
        },
    );
}

fn many<T>(one: impl FnMut() -> T) -> Vec<T> {
    std::iter::repeat_with(one).take(COUNT).collect()
}

fn bearer(token: &str) -> (header::HeaderName, String) {
    (header::AUTHORIZATION, format!("Bearer {token}"))
}

impl Line {
    fn new(parts: &Parts) -> Self {
        let Parts { config, lasting, issuers, .. } = parts;
        let cookies = Cookies::new(&config.public_url, Arc::clone(&lasting.keys));
        let sessions = Arc::clone(&lasting.sessions);
        let lifetime = Duration::from_secs(43_200);
        let cookie = SessionCookie::new(cookies.clone(), sessions, Arc::clone(issuers), lifetime);
        let clock = || Arc::clone(&lasting.clock);
        let throttle = Arc::new(Throttle::new(clock()));
        let assertions = Arc::clone(&lasting.assertions);
        let review = Arc::clone(&lasting.review);
        Self {
            routes: assemble::routes(config).unwrap(),
            identify: Identify::new(Arc::clone(issuers), cookie, throttle, clock()),
            upstreams: Upstreams::new(assertions, clock(), lasting.drain.clone(), review)
                .with_sessions(Arc::clone(&lasting.sessions)),
            cookies,
            ticket: parts.ticket(),
            connection: Arc::new(ConnInfo::new(
                Peer::Tcp("198.51.100.9:40000".parse().unwrap()),
                ListenAddr::Tcp("127.0.0.1:443".parse().unwrap()),
                Scheme::Https,
            )),
        }
    }

    /// A request as the listener hands it on.
    fn arrived(&self, (name, value): &(header::HeaderName, String)) -> Request<Body> {
        let mut request = Request::get("/closed/api/data?page=2")
            .header(header::HOST, "platform.example")
            .header(header::USER_AGENT, "python-httpx/0.28.1")
            .header(header::ACCEPT, "*/*")
            .header(header::ACCEPT_ENCODING, "gzip, deflate")
            .header(name, value)
            .body(Body::empty())
            .unwrap();
        request.extensions_mut().insert(Arc::clone(&self.connection));
        request.extensions_mut().insert(RequestId::random());
        request
    }

    fn canonical(&self, request: Request<Body>) -> CanonicalRequest {
        canonical(request, &Trust::none()).unwrap().unwrap()
    }

    fn request(&self, field: &(header::HeaderName, String)) -> Box<CanonicalRequest> {
        Box::new(self.canonical(self.arrived(field)))
    }

    fn routed(&self, field: &(header::HeaderName, String)) -> Routed {
        self.routes.route(self.request(field)).unwrap()
    }

    fn identified(&self, routed: Routed) -> Identified {
        let mut cookies = SetCookies::default();
        match self.identify.identify(routed, &mut cookies).now_or_never() {
            Some(identified) => identified.unwrap(),
            None => unreachable!("nothing waits for a known session or for keys in a file"),
        }
    }
}
