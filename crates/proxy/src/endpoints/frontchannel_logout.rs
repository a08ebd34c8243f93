//! `frontchannel_logout`: the provider has the browser say that a session ended ([OpenID Connect Front-Channel Logout 1.0 §2]).
//!
//! A page of the provider loads this URL in a frame. `iss` and `sid` name the session; both are required, because the frame is
//! another site's and browsers may send no cookie with it. A caller without a valid `sid` ends nothing.
//!
//! [OpenID Connect Front-Channel Logout 1.0 §2]: https://openid.net/specs/openid-connect-frontchannel-1_0.html

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use url::Url;
use web_sessions::Which;

use crate::{
    endpoints::{Call, Endpoints, parameter},
    identify::issuers::IssuerClient,
    metric,
    refusal::Refusal,
    respond::problem,
};

impl Endpoints {
    pub(super) async fn frontchannel_logout(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let iss = parameter(call.query(), "iss")?.unwrap_or_default();
        let sid = parameter(call.query(), "sid")?.unwrap_or_default();
        let issuers: Vec<&Arc<IssuerClient>> = self
            .issuers
            .iter()
            .filter(|issuer| issuer.is_issuer(&iss) && !sid.is_empty())
            .collect();
        if issuers.is_empty() {
            metric::logout("unknown", "bad_request");
            return Ok(problem(
                StatusCode::BAD_REQUEST,
                "bad_frontchannel_logout",
                "`iss` does not name a configured issuer, or there is no `sid`",
                &call.context,
            ));
        }
        for issuer in issuers {
            // A guess costs the store a look: the same limit as for sign-ins.
            let admitted = self.throttle.login(issuer.name(), call.request.client_ip()).await?;
            let (name, sid) = (issuer.name().to_owned(), sid.clone());
            let which = Which::ProviderSession { issuer: name, sid };
            let ended = self.sessions.end_matching(&which).await?;
            if !ended.is_empty() {
                admitted.give_back();
            }
            let sessions = ended.len();
            tracing::info!(issuer = issuer.name(), sessions, "signed out by the provider's page");
            metric::logout(issuer.name(), "by_browser");
        }
        Ok(framed_by(&iss))
    }
}

/// An empty page that only the issuer's pages may frame.
fn framed_by(iss: &str) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    let ancestor = Url::parse(iss).map(|url| url.origin());
    let ancestor = ancestor.map_or("'none'".to_owned(), |origin| origin.ascii_serialization());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = format!("default-src 'none'; frame-ancestors {ancestor}");
    let policy = HeaderValue::try_from(policy);
    let none = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.unwrap_or(none));
    answer
}
