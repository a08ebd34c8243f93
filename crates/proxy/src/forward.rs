//! Stage 5, forward: sends a permitted request to its upstream, and brings the response back.
//!
//! The upstream's request is built from the canonical form, never by editing the client's bytes: the gateway itself writes
//! framing, `Host` and every identity and forwarding field. Bodies stream in both directions and are never stored. The time
//! limit ends at the response head; afterwards a stream is bounded by idle time and by the end of its session. Nothing is sent
//! twice, except once for a safe method without a body whose kept-alive connection turned out to be closed.

mod assertion;
mod call;
mod response_body;
mod exchange;
mod path;
mod frames;
pub mod headers;
mod identity;
mod cutoff;
mod pings;
mod streams;
mod templates;
mod tunnel;
mod upgrade;
mod upload;
mod way_back;
mod upstream_fields;

pub use assertion::{AssertionError, Assertions, Signer, X_DOORWARD_ASSERTION, with_groups_of};
pub use identity::{
    IdentityHeaders, X_FORWARDED_EMAIL, X_FORWARDED_GROUPS, X_FORWARDED_ISSUER,
    X_FORWARDED_PREFERRED_USERNAME, X_FORWARDED_ROLES, X_FORWARDED_USER,
};
pub use templates::filled;
pub use upstream_fields::{UpstreamField, upstream_fields};

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use oidc_core::Clock;
use tokio::time::Instant;

use self::{
    cutoff::Progress,
    exchange::{Exchange, Outgoing},
    path::{path_and_query, with_slash},
    response_body::{Origin, ResponseBody},
    streams::{Bounds, Protocol},
    upload::upload,
};
use crate::{
    audit::Tally,
    authorize::Permitted,
    identify::{Credential, Sender, authorization::Carrier},
    listen::{Body, Drain, OpenEnded, OpenTunnel, Payload},
    refusal::Refusal,
    review::{Kind, Permit, Review},
    route::Route,
    throttle::Throttle,
    upstream::{InFlight, Lease, Upload, Upstream},
};
use access_policy::Caller;
use http_canonical::{RequestParts, Scheme};
use web_sessions::{Sessions, caching};

/// Time for which a token without an expiry permits an exchange; the client then has to present it again.
const UNDATED: Duration = Duration::from_secs(60 * 60);

/// Bytes of identity in the headers of a request that many servers do not take: Node.js allows 16 KiB for all headers.
const LARGE_IDENTITY: usize = 16_000;

/// Fields that the gateway adds to a request, and a few.
const ADDED: usize = 18;

/// Sends permitted requests to the upstreams of their routes.
pub struct Upstreams {
    assertions: Arc<Assertions>,
    clock: Arc<dyn Clock>,
    drain: Drain,
    review: Arc<Review>,
    sessions: Option<Arc<Sessions>>,
    throttle: Arc<Throttle>,
}

/// An exchange whose response has begun.
struct Begun {
    response: Response<Incoming>,
    lease: Lease,
    in_flight: InFlight,
    progress: Option<Arc<Progress>>,
}

impl Upstreams {
    /// Vouches for callers by these assertions. Ends streams at their time of `drain`, and those that `review` permits no more.
    /// Counts users by `throttle`, which outlives a reload.
    pub fn new(
        assertions: Arc<Assertions>,
        clock: Arc<dyn Clock>,
        drain: Drain,
        review: Arc<Review>,
        throttle: Arc<Throttle>,
    ) -> Self {
        Self { assertions, clock, drain, review, sessions: None, throttle }
    }

    /// Counts the messages of a user on an open WebSocket, and the bytes of other exchanges, as activity of the session.
    #[must_use]
    pub fn with_sessions(mut self, sessions: Arc<Sessions>) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Sends a request to its upstream. The body of the response streams.
    ///
    /// # Errors
    ///
    /// [`Refusal::UpstreamUnavailable`], [`Refusal::UpstreamTimeout`], [`Refusal::BodyTooLarge`] and
    /// [`Refusal::UserLimitReached`] as their names say;
    /// [`Refusal::NoRoute`] for a route without an upstream; [`Refusal::LoginNeeded`] when the session ends during an upload;
    /// [`Refusal::Malformed`] when the client breaks off its upload, or asks an upstream that speaks only HTTP/2 for a
    /// WebSocket.
    pub async fn forward(&self, permitted: Permitted) -> Result<Response<Body>, Refusal> {
        self.exchange(permitted).await.map(|(response, _)| response)
    }

    /// [`forward`](Self::forward), with the account of the exchange; none for an answer of the gateway's own.
    pub(crate) async fn exchange(
        &self,
        permitted: Permitted,
    ) -> Result<(Response<Body>, Option<Arc<Tally>>), Refusal> {
        let (public, began) = (permitted.is_public(), permitted.began());
        let (request, route, sender) = permitted.into_parts();
        let Sender { caller, credential, .. } = sender;
        let Some(upstream) = &route.upstream else { return Err(Refusal::NoRoute) };
        if let Some(redirect) = with_slash(upstream, &request)? {
            return Ok((redirect, None));
        }
        let is_stream =
            || Protocol::of_request(request.opens_websocket(), request.headers()).is_some();
        let users = self.throttle.users();
        let counted = users.admit(&route.name, route.per_user, &caller, is_stream)?;
        let path_and_query = path_and_query(upstream, &request)?;
        let RequestParts {
            method,
            host: host_asked_for,
            path,
            query,
            scheme,
            forwarded_for,
            mut headers,
            websocket,
            accepts_trailers,
            mut trailers,
            content_length,
            request_id,
            traceparent,
            body,
            ..
        } = request.into_parts();
        let Payload { body, pace, tunnel, connection } = body.into_inner();
        // Where TLS ends before the gateway, only the configuration knows the scheme that browsers use.
        let scheme = if scheme == Scheme::Https { scheme } else { route.browser_scheme };
        let fields = internal(connection.origin(&host_asked_for, scheme, &forwarded_for), "host")?;
        let host = fields.host.clone();
        let (call, traceparent) = call::begin(traceparent.as_ref(), &route, &method);
        headers::take_credentials(&mut headers, &credential, upstream.own_cookies());
        headers::take_reserved(&mut headers, &mut trailers, &route);
        // Grown once, for all that the gateway adds.
        headers.reserve(ADDED);
        headers::set_origin(
            &mut headers,
            headers::From {
                fields,
                scheme,
                prefix: upstream.stripped_prefix(),
                request_id: &request_id,
                traceparent,
            },
        );
        self.set_identity(&mut headers, &route, &caller, &credential)?;
        if let Some(limit) = route.body_limit
            && content_length.is_some_and(|length| length > limit)
        {
            return Err(Refusal::BodyTooLarge { limit });
        }
        let upgrade = websocket.then(|| upgrade::ask(&mut headers)).flatten();
        let stream = upgrade.is_some().then(|| OpenTunnel::begin(&connection));
        let token_ends = self.token_ends(&credential);
        let session = match &credential {
            Credential::Session(live) => Some(Arc::clone(live)),
            _ => None,
        };
        let permit = Arc::new(Permit {
            route: Arc::clone(&route),
            method: method.clone(),
            host: host_asked_for,
            path,
            caller,
            credential,
            began,
            counted,
        });
        let mut bounds = Bounds {
            protocol: Protocol::of_request(upgrade.is_some(), &headers),
            permit,
            review: Arc::clone(&self.review),
            session,
            sessions: self.sessions.clone(),
            token_ends,
            drain: self.drain.clone(),
        };
        bounds.used();
        if let Some(pace) = pace.filter(|_| bounds.protocol == Some(Protocol::Grpc)) {
            pace.allow_pauses();
        }
        let (sent, progress) = match &upgrade {
            Some(_) => (Upload::Empty, None),
            None => upload(body, &route, &bounds, &trailers),
        };
        let outgoing = Outgoing {
            method: method.into_http(),
            path_and_query,
            host,
            headers,
            accepts_trailers,
            trailers,
            upgrade: upgrade.is_some(),
        };
        let exchange = Exchange {
            route: &route,
            upstream,
            session: bounds.session.as_ref(),
            review: (&self.review, &bounds.permit, bounds.kind()),
            query: query.as_deref(),
        };
        let asked_for = call.as_ref().map(|_| outgoing.path_and_query.clone());
        let begun = exchange.begin(outgoing, sent, progress).await;
        if let (Some(call), Some(asked_for)) = (call, asked_for) {
            call::end(call, &asked_for, &begun);
        }
        let begun = begun?;
        if bounds.session.as_ref().is_some_and(|session| session.ended().is_cancelled()) {
            // Ended while the upstream worked, by a refresh that was refused for example. The head has not been sent yet.
            return Err(exchange.session_ended());
        }
        match (tunnel, upgrade.zip(stream)) {
            (Some(client), Some((key, stream)))
                if begun.response.status() == StatusCode::SWITCHING_PROTOCOLS =>
            {
                let origin = Origin::of(&begun, &bounds, request_id);
                let tally = Arc::clone(&origin.tally);
                let (bounds, drain) = (&bounds, self.drain.clone());
                let opening = upgrade::Opening { client, key, stream, bounds, drain, origin };
                opening.open(begun).map(|response| (response, Some(tally)))
            }
            _ => {
                bounds.answered(begun.response.headers())?;
                let origin = Origin::of(&begun, &bounds, request_id);
                let tally = Arc::clone(&origin.tally);
                let response = pass_on(begun, &bounds, origin, public)?;
                Ok((response, Some(tally)))
            }
        }
    }

    fn set_identity(
        &self,
        headers: &mut HeaderMap,
        route: &Route,
        caller: &Caller,
        credential: &Credential,
    ) -> Result<(), Refusal> {
        let Caller::Known(known) = caller else { return Ok(()) };
        let known = &self.assertions.seen_by(known, route);
        let mut size = 0;
        let wanted = route.identity.headers || route.identity.assertion;
        let entry = wanted.then(|| self.assertions.entry(known));
        if let Some(entry) = entry.as_deref().filter(|_| route.identity.headers) {
            size += entry.headers.size();
            entry.headers.set(headers);
        }
        if let Some(entry) = entry.as_deref().filter(|_| route.identity.assertion) {
            let assertion = internal(self.assertions.assertion(entry, &route.name), "assertion")?;
            size += assertion.len();
            headers.insert(X_DOORWARD_ASSERTION, assertion);
        }
        if let Some(fields) = &route.set {
            for (name, value) in self.assertions.filled(known, fields).iter() {
                size += name.as_str().len() + value.len();
                headers.insert(name.clone(), value.clone());
            }
        }
        if size > LARGE_IDENTITY {
            warn_of_large_identity(route, size);
        }
        if route.identity.access_token {
            let bearer = match credential {
                // Bound to the caller's key: of no use to an upstream, which has no proof.
                Credential::Bearer { carrier: Carrier::Dpop, .. } => return Ok(()),
                Credential::Bearer { token, .. } => format!("Bearer {}", token.expose()),
                Credential::Session(live) => match live.access_token(self.clock.now()) {
                    Some(token) => format!("Bearer {}", token.expose()),
                    None => return Ok(()),
                },
                Credential::None | Credential::Certificate { .. } => return Ok(()),
            };
            let mut value = internal(HeaderValue::try_from(bearer), "access token")?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(())
    }

    /// Time at which a bearer token or a client certificate ends.
    fn token_ends(&self, credential: &Credential) -> Option<Instant> {
        let left =
            |end: &std::time::SystemTime| end.duration_since(self.clock.now()).unwrap_or_default();
        let left = match credential {
            Credential::Bearer { good_until, .. } => good_until.as_ref().map_or(UNDATED, left),
            Credential::Certificate { until, .. } => left(until),
            Credential::None | Credential::Session(_) => return None,
        };
        // Beyond the range of `Instant`: no end.
        Instant::now().checked_add(left)
    }
}

/// Warns once for each route.
#[cold]
fn warn_of_large_identity(route: &Route, bytes: usize) {
    if route.upstream.as_ref().is_some_and(Upstream::first_large_identity) {
        tracing::warn!(
            route = route.name,
            bytes,
            "the identity of a caller takes more header bytes than many servers accept (431); write `identity: {{ groups: \
             matching }}` on the route, or turn off `headers` or `assertion`"
        );
    }
}

/// Passes a response on, unless two parsers could read it differently.
fn pass_on(
    begun: Begun,
    bounds: &Bounds,
    origin: Origin,
    public: bool,
) -> Result<Response<Body>, Refusal> {
    let Begun { response, lease, in_flight, progress } = begun;
    let (parts, incoming) = response.into_parts();
    let mut headers = parts.headers;
    headers::check_response(parts.status, &headers).map_err(|bad| Refusal::UpstreamInvalid {
        route: origin.route.name.clone(),
        reason: format!("{}: its response has {bad}", in_flight.target().name()),
        too_large: false,
    })?;
    if let Some(upstream) = &origin.route.upstream {
        let stolen = headers::clean_response(&mut headers, upstream.own_cookies());
        way_back::map(&mut headers, upstream, &bounds.permit.host);
        origin.route.response.apply(&mut headers);
        if stolen && upstream.first_stolen_cookie() {
            tracing::warn!(
                route = origin.route.name,
                upstream = in_flight.target().name(),
                "the upstream sets a cookie with a name of the gateway's; such cookies are dropped"
            );
        }
    }
    if !public {
        caching::forbid_sharing(&mut headers);
    }
    if let Some(progress) = &progress {
        progress.begin_response();
    }
    let body = ResponseBody::new(incoming, bounds, progress, (lease, in_flight), origin);
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers;
    if bounds.kind() == Kind::Stream {
        response.extensions_mut().insert(OpenEnded);
    }
    Ok(response)
}

/// Values made here are always valid; an error is a bug of the gateway.
fn internal<T, E: fmt::Display>(made: Result<T, E>, what: &str) -> Result<T, Refusal> {
    made.map_err(|error| Refusal::Internal {
        reason: format!("cannot forward the {what}: {error}"),
    })
}

fn unavailable(route: &Route, target: &str, cause: &str) -> Refusal {
    Refusal::UpstreamUnavailable { route: route.name.clone(), reason: format!("{target}: {cause}") }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstreams").field("assertions", &self.assertions).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
