//! `portal`: the services this user may open.

use access_policy::{AccessRequest, Caller, Decision, Times};
use axum::body::Body;
use http::{Response, StatusCode};
use http_canonical::{CanonicalMethod, CanonicalPath, Keep};

use crate::{
    config::{HostPattern, SignIn},
    endpoints::{Call, Endpoints, parameter},
    identify::Credential,
    refusal::Refusal,
    respond::{pages, see_other},
    route::Route,
};

/// Whether a user may open the page that a route's card leads to.
fn opens(route: &Route, page: &CanonicalPath, times: Option<Times>, caller: &Caller) -> bool {
    let host = match &route.host {
        HostPattern::Exact(host) => host.as_str(),
        _ => "",
    };
    let request = AccessRequest::new(&CanonicalMethod::GET, page).with_host(host).with_times(times);
    match route.policy.decide(&request, caller) {
        Decision::Allow { .. } => true,
        // The card leads to that sign-in.
        Decision::Deny { unmet, .. } => unmet.step_up.is_some(),
        Decision::SignIn { .. } | Decision::Ambiguous { .. } => false,
    }
}

/// Whether the portal has no card for a route: only programs use one that challenges every caller.
fn is_hidden(route: &Route) -> bool {
    route.portal.hide.unwrap_or(route.sign_in == SignIn::Challenge)
}

/// The page of a route that its card leads to.
fn start(route: &Route) -> CanonicalPath {
    let prefix = route.prefix.as_str().trim_end_matches('/');
    let start = route.portal.start.as_deref().unwrap_or("/");
    CanonicalPath::parse(&format!("{prefix}{start}"), Keep::ALL)
        .unwrap_or_else(|_| route.prefix.clone())
}

impl Endpoints {
    pub(super) async fn portal(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let filter = parameter(call.query(), "q")?;
        let sender = self.sender_here(&call).await?;
        let Caller::Known(known) = &sender.caller else {
            let location = call.context.site.start(&format!("{}/portal", self.prefix));
            return Ok(see_other(&location, StatusCode::FOUND, &call.context));
        };
        let services = self
            .routes
            .iter()
            .filter(|route| route.upstream.is_some() && !is_hidden(route))
            .filter_map(|route| {
                let page = start(route);
                let times = self.identify.times(route);
                opens(route, &page, times, &sender.caller).then(|| self.service(route, &page))?
            })
            .collect();
        let csrf = match &sender.credential {
            Credential::Session(session) => Some(self.form_token(session)?),
            Credential::None
            | Credential::Bearer { .. }
            | Credential::Key { .. }
            | Credential::Certificate { .. } => None,
        };
        let page = pages::Portal { who: call.context.site.name_of(known), services, filter, csrf };
        Ok(page.into_response(&call.context, StatusCode::OK))
    }

    /// Card of a route; `None` for a wildcard host, which has no address of its own.
    fn service(&self, route: &Route, page: &CanonicalPath) -> Option<pages::Service> {
        let HostPattern::Exact(host) = &route.host else { return None };
        let scheme = self.public_url.scheme();
        let port = self.public_url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let path = route.prefix.as_str().trim_end_matches('/');
        Some(pages::Service {
            title: route.title.clone(),
            address: format!("{host}{port}{path}"),
            url: format!("{scheme}://{host}{port}{page}"),
            group: route.portal.group.clone(),
            order: route.portal.order,
            icon: route.portal.icon,
        })
    }
}
