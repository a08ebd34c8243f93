//! A permitted request that a proxy holds: the header with which that proxy is to send it on.
//!
//! The upstream receives what it would receive in line, by the same code.

use axum::body::Body;
use http::{HeaderMap, Response};
use http_canonical::{OriginFields, RequestParts, Scheme};

use super::{Upstreams, fields::Recipient, headers, internal};
use crate::{
    authorize::Permitted,
    identify::{Credential, Sender},
    refusal::Refusal,
};

/// The header of a permitted request as its upstream is to receive it; an extension of the answer to the proxy.
#[derive(Debug, Clone)]
pub struct Described {
    /// Every end-to-end field.
    pub headers: HeaderMap,
    /// Fields that only the gateway writes on this route.
    pub reserved: Vec<http::HeaderName>,
}

impl Upstreams {
    /// The answer to a proxy that asks whether it may send on the request that it holds. Its exchange is not seen here: only its
    /// beginning counts for the bounds of the user.
    pub(crate) async fn describe(&self, permitted: Permitted) -> Result<Response<Body>, Refusal> {
        let (request, route, sender) = permitted.into_parts();
        let Sender { caller, credential, .. } = sender;
        self.throttle.users().asked(&route.name, route.per_user, &caller)?;
        let exchanged = self.exchanged(&route, &caller, &credential).await?;
        let RequestParts {
            host,
            scheme,
            forwarded_for,
            mut headers,
            mut trailers,
            content_length,
            request_id,
            traceparent,
            ..
        } = request.into_parts();
        if let Some(limit) = route.body_limit
            && content_length.is_some_and(|length| length > limit)
        {
            return Err(Refusal::BodyTooLarge { limit });
        }
        let scheme = if scheme == Scheme::Https { scheme } else { route.browser_scheme };
        let recipient = Recipient {
            route: &route,
            own_cookies: &self.own_cookies,
            caller: &caller,
            credential: &credential,
            exchanged,
        };
        let from = headers::From {
            fields: internal(OriginFields::new(&host, scheme, &forwarded_for), "host")?,
            scheme,
            prefix: None,
            request_id: &request_id,
            traceparent: traceparent.as_ref().map(http_canonical::TraceParent::header_value),
        };
        self.fill(&mut headers, &mut trailers, recipient, from)?;
        if let (Credential::Session(session), Some(sessions)) = (&credential, &self.sessions) {
            sessions.used(session, &route.name);
        }
        let mut answer = Response::new(Body::empty());
        answer.extensions_mut().insert(Described { headers, reserved: route.reserved.clone() });
        Ok(answer)
    }
}
