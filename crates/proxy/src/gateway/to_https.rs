//! Plain http: a redirect to the same address by https, and nothing else.

use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use http_canonical::Scheme;

use super::{App, head::Head};
use crate::{
    audit::Trail,
    listen::{CanonicalRequest, canonical},
    refusal::Refusal,
    respond::{AnswerContext, respond, see_other},
};

impl App {
    /// Answers a request of the listener `redirect`. The answer has no cookie and no `Strict-Transport-Security`, which browsers
    /// ignore here ([RFC 6797 §7.2](https://www.rfc-editor.org/rfc/rfc6797#section-7.2)).
    pub(crate) fn to_https(&self, request: Request<Body>) -> Response<Body> {
        let head = Head::of(&request);
        let mut answer = match canonical(request, &self.trust) {
            Some(Ok(request)) => self.redirected(head, &request),
            Some(Err(refusal)) => self.refuse_unread(head, &refusal.into(), None),
            None => {
                let reason = "the request has no connection".to_owned();
                self.refuse_unread(head, &Refusal::Internal { reason }, None)
            }
        };
        answer.headers_mut().remove(header::STRICT_TRANSPORT_SECURITY);
        answer
    }

    fn redirected(&self, mut head: Head, request: &CanonicalRequest) -> Response<Body> {
        let id = head.request_id.take().unwrap_or_else(|| request.request_id().clone());
        let context: AnswerContext = head.context(&self.site, &id);
        let mut trail = Trail::new(request);
        if self.endpoints.name_of(request.path().compared()) == Some(PING) {
            trail.own_url();
            trail.answered(StatusCode::OK);
            return Response::new(Body::empty());
        }
        if let Err(refusal) = self.may_redirect(request) {
            trail.refused(&refusal);
            return respond(&refusal, &context);
        }
        trail.own_url();
        trail.answered(StatusCode::PERMANENT_REDIRECT);
        let origin = self.endpoints.origin(request.host());
        let location = format!("{origin}{}", request.path_and_query());
        see_other(&location, StatusCode::PERMANENT_REDIRECT, &context)
    }

    fn may_redirect(&self, request: &CanonicalRequest) -> Result<(), Refusal> {
        // The port is that of this listener, as the client sees it.
        if !self.endpoints.routes.knows_name(request.host()) {
            return Err(self.endpoints.routes.misdirected());
        }
        match request.scheme() {
            Scheme::Http => Ok(()),
            // A redirect would come here again, for ever.
            Scheme::Https => Err(Refusal::Malformed {
                status: StatusCode::BAD_REQUEST,
                reason: "the proxy in front received this request by https, and sends it to the listener `redirect`; send it to \
                         one of `listen`"
                    .into(),
            }),
        }
    }
}

/// The URL for load balancers, answered by any host.
const PING: &str = "ping";
