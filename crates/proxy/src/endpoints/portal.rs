//! `portal`: the services this user may open.

use access_policy::{Caller, Decision};
use axum::body::Body;
use http::{Response, StatusCode};
use http_canonical::CanonicalMethod;

use crate::{
    config::HostPattern,
    endpoints::{Call, Endpoints},
    identify::Credential,
    refusal::Refusal,
    respond::{pages, see_other},
    route::Route,
};

/// Whether a user may open the page that a route's card leads to.
fn opens(route: &Route, identity: &Caller) -> bool {
    let decision = route.policy.decide(&CanonicalMethod::GET, &route.prefix, identity);
    matches!(decision, Decision::Allow { .. })
}

impl Endpoints {
    pub(super) async fn portal(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let sender = self.sender_here(&call).await?;
        let Caller::Known(known) = &sender.caller else {
            let location = call.context.site.start(&format!("{}/portal", self.prefix));
            return Ok(see_other(&location, StatusCode::FOUND, &call.context));
        };
        let mut services: Vec<pages::Service> = self
            .routes
            .iter()
            .filter(|route| route.upstream.is_some() && opens(route, &sender.caller))
            .filter_map(|route| self.service(route))
            .collect();
        services.sort_by(|a, b| a.title.cmp(&b.title));
        let csrf = match &sender.credential {
            Credential::Session(session) => Some(self.form_token(session)?),
            Credential::None | Credential::Bearer { .. } => None,
        };
        let page = pages::Portal { who: call.context.site.name_of(known), services, csrf };
        Ok(page.into_response(&call.context, StatusCode::OK))
    }

    /// Card of a route; `None` for a wildcard host, which has no address of its own.
    fn service(&self, route: &Route) -> Option<pages::Service> {
        let HostPattern::Exact(host) = &route.host else { return None };
        let scheme = self.public_url.scheme();
        let port = self.public_url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let path = route.prefix.as_str().trim_end_matches('/');
        Some(pages::Service {
            title: route.title.clone(),
            address: format!("{host}{port}{path}"),
            url: format!("{scheme}://{host}{port}{path}/"),
        })
    }
}
