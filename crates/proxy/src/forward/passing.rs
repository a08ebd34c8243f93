//! The head of a response on its way to the client.

use http::Response;
use web_sessions::caching;

use super::{
    Begun, headers,
    metering::Metering,
    response_body::{Origin, ResponseBody},
    streams::Bounds,
    way_back,
};
use crate::{
    listen::{Body, OpenEnded},
    refusal::Refusal,
    review::Kind,
};

/// Passes a response on, unless two parsers could read it differently.
pub(super) fn pass_on(
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
    let metering = Metering::of(parts.status, &mut headers, &bounds.permit);
    let body =
        ResponseBody::new(incoming, bounds, progress, (lease, in_flight), origin).metered(metering);
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = parts.status;
    *response.headers_mut() = headers;
    if bounds.kind() == Kind::Stream {
        response.extensions_mut().insert(OpenEnded);
    }
    Ok(response)
}
