//! Requests that a proxy holds: judged here, sent on by the proxy.

use axum::body::Body;
use http::{Request, Response};
use http_canonical::{RequestId, RequestRefusal};

use super::{App, Then, head::Head};
use crate::{
    audit::Trail,
    endpoints::auth::own_url,
    listen::CanonicalRequest,
    refusal::Refusal,
    respond::{AnswerContext, respond},
};

impl App {
    /// Judges a request that a proxy holds, as it would be judged in line. The answer is for the proxy's client, unless it has
    /// the extension [`Described`](crate::forward::Described): then the proxy is to send the request on.
    pub(crate) async fn judge(&self, request: Request<Body>) -> Response<Body> {
        match &self.telemetry {
            Some(telemetry) => self.traced(telemetry, request, Then::Describe).await,
            None => self.serve(request, Then::Describe, None).await,
        }
    }

    /// Refuses a request of which the proxy's description cannot be read.
    pub(crate) fn refuse_undescribed(&self, refused: RequestRefusal) -> Response<Body> {
        self.refuse_unjudged(&Refusal::from(refused))
    }

    /// The answer for a request whose judging broke off.
    pub(crate) fn refuse_broken(&self, reason: &str) -> Response<Body> {
        self.refuse_unjudged(&Refusal::Internal { reason: reason.to_owned() })
    }

    /// The answer for a request that is still not judged when the gateway stops.
    pub(crate) fn refuse_stopping(&self) -> Response<Body> {
        self.refuse_unjudged(&Refusal::Draining)
    }

    fn refuse_unjudged(&self, refusal: &Refusal) -> Response<Body> {
        Trail::unread().refused(refusal);
        let id = RequestId::random();
        respond(refusal, &AnswerContext::unread(&self.site, id.as_str()))
    }

    /// Refuses to judge a request for one of the gateway's own URLs: the proxy is to send it to the gateway itself.
    #[cold]
    pub(super) fn refuse_own(
        &self,
        head: &Head,
        id: &RequestId,
        request: &CanonicalRequest,
    ) -> Response<Body> {
        let refusal = own_url();
        Trail::new(request).refused(&refusal);
        respond(&refusal, &head.context(&self.site, id))
    }
}
