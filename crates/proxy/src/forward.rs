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
mod on_behalf;
mod cutoff;
mod pings;
mod sent_identity;
mod streams;
mod templates;
mod token_failure;
mod tunnel;
mod upgrade;
mod upload;
mod way_back;
mod upstream_fields;

pub use assertion::{AssertionError, Assertions, Signer, X_DOORWARD_ASSERTION, with_groups_of};
pub(crate) use exchange::Outgoing;
pub use identity::{
    IdentityHeaders, X_FORWARDED_EMAIL, X_FORWARDED_GROUPS, X_FORWARDED_ISSUER,
    X_FORWARDED_PREFERRED_USERNAME, X_FORWARDED_ROLES, X_FORWARDED_USER,
};
pub use on_behalf::{Exchanges, OnBehalf, farewell};
pub(crate) use path::path_and_query as upstream_path;
pub use templates::filled;
pub(crate) use token_failure::{TokenFailure, patiently};
pub use upstream_fields::{UpstreamField, upstream_fields};

use std::{fmt, sync::Arc, time::Duration};

use http::{Response, StatusCode};
use hyper::body::Incoming;
use oidc_core::Clock;
use tokio::time::Instant;

use self::{
    cutoff::Progress,
    exchange::Exchange,
    path::{path_and_query, with_slash},
    response_body::{Origin, ResponseBody},
    streams::{Bounds, Protocol},
    upload::upload,
};
use crate::{
    audit::Tally,
    authorize::Permitted,
    identify::{Credential, Sender},
    listen::{Body, Drain, OpenEnded, Payload},
    refusal::Refusal,
    review::{Kind, Permit, Review},
    route::Route,
    throttle::Throttle,
    upstream::{InFlight, Lease, Upload},
};
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
    on_behalf: Option<OnBehalf>,
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
        Self { assertions, clock, drain, review, sessions: None, on_behalf: None, throttle }
    }

    /// Counts the messages of a user on an open WebSocket, and the bytes of other exchanges, as activity of the session.
    #[must_use]
    pub fn with_sessions(mut self, sessions: Arc<Sessions>) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Exchanges callers' tokens where a route asks for it.
    #[must_use]
    pub fn with_exchanges(mut self, on_behalf: OnBehalf) -> Self {
        self.on_behalf = Some(on_behalf);
        self
    }

    /// Sends a request to its upstream. The body of the response streams.
    ///
    /// # Errors
    ///
    /// [`Refusal::UpstreamUnavailable`], [`Refusal::UpstreamTimeout`], [`Refusal::BodyTooLarge`] and
    /// [`Refusal::UserLimitReached`] as their names say; those of a token exchange;
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
        let exchanged = match route.exchange {
            Some(_) => self.exchanged(&route, &caller, &credential).await?,
            None => None,
        };
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
        self.set_identity(&mut headers, &route, &caller, &credential, exchanged)?;
        if let Some(limit) = route.body_limit
            && content_length.is_some_and(|length| length > limit)
        {
            return Err(Refusal::BodyTooLarge { limit });
        }
        let upgrade = websocket.then(|| upgrade::ask(&mut headers)).flatten();
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
        match (tunnel, upgrade) {
            (Some(client), Some(key))
                if begun.response.status() == StatusCode::SWITCHING_PROTOCOLS =>
            {
                let origin = Origin::of(&begun, &bounds, request_id);
                let tally = Arc::clone(&origin.tally);
                let (bounds, drain) = (&bounds, self.drain.clone());
                let opening = upgrade::Opening { client, key, bounds, drain, origin };
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

    /// Time at which a bearer token ends.
    fn token_ends(&self, credential: &Credential) -> Option<Instant> {
        let Credential::Bearer { good_until, .. } = credential else { return None };
        let left = match good_until {
            Some(good_until) => good_until.duration_since(self.clock.now()).unwrap_or_default(),
            None => UNDATED,
        };
        // Beyond the range of `Instant`: no end.
        Instant::now().checked_add(left)
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
