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
mod fields;
mod held;
mod path;
mod frames;
mod metering;
mod passing;
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
pub(crate) use cutoff::Cutoff;
pub(crate) use exchange::Outgoing;
pub use held::Described;
pub use identity::{
    IdentityHeaders, X_FORWARDED_EMAIL, X_FORWARDED_GROUPS, X_FORWARDED_ISSUER,
    X_FORWARDED_PREFERRED_USERNAME, X_FORWARDED_ROLES, X_FORWARDED_USER,
};
pub use on_behalf::{Exchanges, OnBehalf, farewell};
pub(crate) use path::path_and_query as upstream_path;
pub use templates::filled;
pub(crate) use token_failure::{TokenFailure, patiently};
pub(crate) use upgrade::{Accepted, ask as ask_for_websocket};
pub use upstream_fields::{UpstreamField, upstream_fields};

use std::{fmt, sync::Arc, time::Duration};

use http::{Response, StatusCode};
use hyper::body::Incoming;
use oidc_core::Clock;
use tokio::time::Instant;

use self::{
    cutoff::Progress,
    exchange::Exchange,
    fields::Recipient,
    passing::pass_on,
    path::{path_and_query, with_slash},
    response_body::Origin,
    streams::{Bounds, Protocol},
    upload::upload,
};
use crate::{
    audit::Tally,
    authorize::Permitted,
    identify::{Credential, Sender},
    listen::{Body, Drain, OpenTunnel, Payload},
    refusal::Refusal,
    review::{Permit, Review},
    route::Route,
    throttle::Throttle,
    upstream::{InFlight, Lease, Upload},
};
use http_canonical::{RequestParts, Scheme};
use web_sessions::{OwnNames, Sessions};

/// Time for which a token without an expiry permits an exchange; the client then has to present it again.
pub(crate) const UNDATED: Duration = Duration::from_secs(60 * 60);

/// Sends permitted requests to the upstreams of their routes.
pub struct Upstreams {
    assertions: Arc<Assertions>,
    clock: Arc<dyn Clock>,
    drain: Drain,
    review: Arc<Review>,
    sessions: Option<Arc<Sessions>>,
    on_behalf: Option<OnBehalf>,
    throttle: Arc<Throttle>,
    own_cookies: OwnNames,
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
        let own_cookies = OwnNames::default();
        Self {
            assertions,
            clock,
            drain,
            review,
            sessions: None,
            on_behalf: None,
            throttle,
            own_cookies,
        }
    }

    /// Counts the messages of a user on an open WebSocket, and the bytes of other exchanges, as activity of the session.
    #[must_use]
    pub fn with_sessions(mut self, sessions: Arc<Sessions>) -> Self {
        self.sessions = Some(sessions);
        self
    }

    /// Knows the gateway's own cookies by these names also where a route has no upstream.
    #[must_use]
    pub fn with_own_cookies(mut self, own_cookies: OwnNames) -> Self {
        self.own_cookies = own_cookies;
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
        let message = permitted.message().cloned();
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
        let body = metering::asked(&route, &method, &path, &mut headers, body).await?;
        // Where TLS ends before the gateway, only the configuration knows the scheme that browsers use.
        let scheme = if scheme == Scheme::Https { scheme } else { route.browser_scheme };
        let fields = internal(connection.origin(&host_asked_for, scheme, &forwarded_for), "host")?;
        let host = fields.host.clone();
        let (call, traceparent) = call::begin(traceparent.as_ref(), &route, &method);
        let recipient = Recipient {
            route: &route,
            own_cookies: upstream.own_cookies(),
            caller: &caller,
            credential: &credential,
            exchanged,
        };
        let from = headers::From {
            fields,
            scheme,
            prefix: upstream.stripped_prefix(),
            request_id: &request_id,
            traceparent,
        };
        self.fill(&mut headers, &mut trailers, recipient, from)?;
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
            message,
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

    /// Time at which a token, an API key or a client certificate ends.
    fn token_ends(&self, credential: &Credential) -> Option<Instant> {
        let left =
            |end: &std::time::SystemTime| end.duration_since(self.clock.now()).unwrap_or_default();
        let left = match credential {
            Credential::Bearer { good_until, .. } => good_until.as_ref().map_or(UNDATED, left),
            Credential::Key { good_until: until, .. } | Credential::Certificate { until, .. } => {
                left(until)
            }
            Credential::None | Credential::Session(_) => return None,
        };
        // Beyond the range of `Instant`: no end.
        Instant::now().checked_add(left)
    }
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
