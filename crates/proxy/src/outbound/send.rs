//! Sends a program's request to its target, with a token.
//!
//! The request is built from its canonical form. A program's own `Authorization` is never sent. After 401 the issuer is asked for
//! another token once, and the request is sent again if its body can be.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, uri::PathAndQuery};
use http_canonical::{RequestParts, TraceParent, trailers::Announced};
use hyper::body::Incoming;
use m2m::AccessToken;
use oidc_core::Secret;
use tokio::time::{Instant, sleep_until};
use web_sessions::OwnNames;

use super::{
    body::{Moved, Passing, Sent},
    refused::Refused,
    target::Target,
};
use crate::{
    forward::{
        Outgoing,
        headers::{TRACEPARENT, X_REQUEST_ID, check_response, clean_response},
        upstream_path,
    },
    listen::{Body, CanonicalRequest, Payload},
    refusal::Refusal,
    upstream::{InFlight, Lease, Upload, explain, is_hang_up},
};

/// A request without its body and its token, for each attempt.
pub(super) struct Head {
    method: Method,
    path_and_query: PathAndQuery,
    pub(super) headers: HeaderMap,
    accepts_trailers: bool,
    trailers: Announced,
    /// The declared length of the body.
    length: Option<u64>,
    /// Set for the handshake of a WebSocket.
    pub(super) upgrade: bool,
}

/// An answer that has begun.
pub(super) struct Begun {
    pub(super) response: Response<Incoming>,
    lease: Lease,
    pub(super) in_flight: InFlight,
}

/// Reason an attempt has no answer.
enum Failed {
    Connect(String),
    Late,
    Send(Box<hyper::client::conn::TrySendError<http::Request<Upload>>>),
    Bug(String),
}

impl Target {
    /// Sends a request with this token. The body of the answer streams.
    pub(super) async fn send(
        &self,
        request: CanonicalRequest,
        token: AccessToken,
        subject: Option<&Secret>,
    ) -> Result<Response<Body>, Refused> {
        let (head, Payload { body, .. }) = self.head(request)?;
        let mut sent = Sent::of(body, head.length).await?;
        let (begun, _) = self.exchange(&head, token, subject, &mut sent).await?;
        self.pass_on(begun)
    }

    /// The head that is sent, without a token, and the rest of the request.
    pub(super) fn head(&self, request: CanonicalRequest) -> Result<(Head, Payload), Refused> {
        let path_and_query = upstream_path(&self.upstream, &request)
            .map_err(|refused| Refused::Internal(refused.to_string()))?;
        let RequestParts {
            method,
            mut headers,
            accepts_trailers,
            trailers,
            content_length: length,
            request_id,
            traceparent,
            body,
            ..
        } = request.into_parts();
        for name in [
            header::AUTHORIZATION,
            header::HOST,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::EXPECT,
            header::TE,
        ] {
            headers.remove(name);
        }
        headers.insert(X_REQUEST_ID, request_id.header_value());
        let trace = traceparent.unwrap_or_else(TraceParent::begin).header_value();
        headers.insert(TRACEPARENT, trace);
        let method = method.into_http();
        let upgrade = false;
        let head =
            Head { method, path_and_query, headers, accepts_trailers, trailers, length, upgrade };
        Ok((head, body.into_inner()))
    }

    /// Sends a request until its answer begins, with another token after a 401. Returns the token that was sent last.
    pub(super) async fn exchange(
        &self,
        head: &Head,
        mut token: AccessToken,
        subject: Option<&Secret>,
        sent: &mut Sent,
    ) -> Result<(Begun, AccessToken), Refused> {
        let mut renewed = false;
        loop {
            let begun = self.attempt(head, &token, sent).await?;
            let rejected = begun.response.status() == StatusCode::UNAUTHORIZED;
            if rejected && !renewed && sent.is_repeatable() {
                renewed = true;
                if let Some(next) = self.tokens.after(&token, subject).await {
                    drop(begun.response);
                    begun.lease.give_back();
                    token = next;
                    continue;
                }
            }
            return Ok((begun, token));
        }
    }

    /// One attempt; another one on a new connection where a kept one turns out to be closed and nothing can happen twice.
    async fn attempt(
        &self,
        head: &Head,
        token: &AccessToken,
        sent: &mut Sent,
    ) -> Result<Begun, Refused> {
        let (upload, moved) = sent.upload();
        let (failed, reused) = match self.once(head, token, upload, &moved, false).await {
            Ok(begun) => return Ok(begun),
            Err(failed) => failed,
        };
        let Failed::Send(mut error) = failed else { return Err(self.refused(&failed)) };
        let unsent = error.take_message().is_some();
        let harmless = sent.is_empty() && head.method.is_safe() && is_hang_up(error.error());
        if !reused || !sent.is_repeatable() || !(unsent || harmless) {
            return Err(self.refused(&Failed::Send(error)));
        }
        let (upload, moved) = sent.upload();
        let again = Box::pin(self.once(head, token, upload, &moved, true)).await;
        again.map_err(|(failed, _)| self.refused(&failed))
    }

    /// Sends on a connection that waits, or on a new one. An error comes with whether the connection had waited.
    async fn once(
        &self,
        head: &Head,
        token: &AccessToken,
        upload: Upload,
        moved: &Moved,
        fresh: bool,
    ) -> Result<Begun, (Failed, bool)> {
        let none = || (Failed::Connect("it has no address".to_owned()), false);
        let (_, target) = self.upstream.choose(None).ok_or_else(none)?;
        let lease = target.lease(self.timeouts.connect, fresh).await;
        let mut lease = lease.map_err(|error| (Failed::Connect(error.to_string()), false))?;
        let in_flight = target.begin();
        let reused = lease.is_reused();
        let mut headers = head.headers.clone();
        headers.insert(header::AUTHORIZATION, token.authorization());
        let outgoing = Outgoing {
            method: head.method.clone(),
            path_and_query: head.path_and_query.clone(),
            // The target has its own.
            host: HeaderValue::from_static("localhost"),
            headers,
            accepts_trailers: head.accepts_trailers,
            trailers: head.trailers.clone(),
            upgrade: head.upgrade,
        };
        let request = outgoing
            .into_request(target, upload)
            .map_err(|refusal: Refusal| (Failed::Bug(refusal.to_string()), reused))?;
        let response = {
            let mut sending = std::pin::pin!(lease.send(request));
            loop {
                let due = moved.at() + self.timeouts.response_head;
                tokio::select! {
                    biased;
                    answer = &mut sending => break answer,
                    () = sleep_until(due) => {
                        if moved.at() + self.timeouts.response_head <= Instant::now() {
                            return Err((Failed::Late, reused));
                        }
                    }
                }
            }
        };
        match response {
            Ok(response) => {
                target.answered();
                Ok(Begun { response, lease, in_flight })
            }
            Err(error) => Err((Failed::Send(Box::new(error)), reused)),
        }
    }

    fn refused(&self, failed: &Failed) -> Refused {
        match failed {
            Failed::Connect(reason) => Refused::Unavailable(reason.clone()),
            Failed::Late => Refused::Late(self.timeouts.response_head),
            Failed::Send(error) if error.error().is_parse() => {
                Refused::Invalid(explain(error.error()))
            }
            Failed::Send(error) => Refused::Unavailable(explain(error.error())),
            Failed::Bug(reason) => Refused::Internal(reason.clone()),
        }
    }

    /// Passes an answer on as it is, redirects too, without the fields of the connection.
    pub(super) fn pass_on(&self, begun: Begun) -> Result<Response<Body>, Refused> {
        let Begun { response, lease, in_flight } = begun;
        let (parts, incoming) = response.into_parts();
        let mut headers = parts.headers;
        check_response(parts.status, &headers)
            .map_err(|bad| Refused::Invalid(format!("it has {bad}")))?;
        clean_response(&mut headers, &OwnNames::default());
        let body = Passing::new(incoming, lease, in_flight, self.timeouts.idle);
        let mut response = Response::new(Body::new(body));
        *response.status_mut() = parts.status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
