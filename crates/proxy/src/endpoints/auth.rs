//! `auth`: forward-auth for nginx `auth_request`, Traefik ForwardAuth, Caddy `forward_auth` and Envoy.
//!
//! The proxy in front asks about a request it holds: 202 lets it through, 401 and 403 do not. Which request is told in
//! `X-Forwarded-Uri`, `-Method` and `-Host`, believed only from `trusted_proxies`: from anybody else the question is refused, because
//! a client could choose the path that the rules see.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::{
    authorize::{Denied, judge},
    endpoints::{Call, Endpoints, with_cookies},
    identify::{Credential, Identity},
    respond::{Refusal, own},
    route::Route,
};

impl Endpoints {
    pub(super) async fn auth(&self, call: Call<'_>) -> Result<Response<Body>, Refusal> {
        let Some(original) = call.request.original() else {
            tracing::warn!(
                peer = ?call.request.peer(),
                "forward-auth question refused: the peer is not in trusted_proxies, sends no X-Forwarded-Uri, or fields that name different requests"
            );
            return Err(Refusal::Malformed {
                status: StatusCode::FORBIDDEN,
                reason: "forward-auth questions are answered only to trusted_proxies that send X-Forwarded-Uri, and no field beside it that names another request".into(),
            });
        };
        call.trail.asked_about(original);
        let host = original.host.as_ref().unwrap_or(call.request.host());
        let route = self.routes.choose(host, &original.path).map_err(not_let_through)?;
        call.trail.would_take(&route);
        let caller = self.identify.caller(call.request.headers()).await?;
        call.trail.asked_by(&caller, original);
        let bearer = matches!(caller.credential, Credential::Bearer { .. });
        let rule = judge(&route, &original.method, &original.path, &caller.identity, bearer)
            .map_err(|denied| match denied {
                Denied::SignIn => Refusal::LoginNeeded {
                    route: route.name.clone(),
                    redirect: false,
                    return_to: call.asked.return_to.clone(),
                },
                Denied::Refused(refusal) => refusal,
            })?;
        call.trail.let_through(rule);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::ACCEPTED;
        if let Identity::Known(_) = &caller.identity {
            self.tell(&caller.identity, &caller.credential, &route, response.headers_mut())?;
        }
        Ok(with_cookies(own(response, call.asked), caller.cookies))
    }

    /// The identity, by the names that snippets for nginx, Traefik and Caddy copy onto the request.
    fn tell(
        &self,
        identity: &Identity,
        credential: &Credential,
        route: &Route,
        headers: &mut HeaderMap,
    ) -> Result<(), Refusal> {
        let Identity::Known(known) = identity else { return Ok(()) };
        if route.identity.headers {
            let values = self.assertions.identity(known);
            let named = [
                ("user", Some(values.user())),
                ("preferred-username", values.preferred_username()),
                ("email", values.email()),
                ("groups", values.groups()),
                ("roles", values.roles()),
            ];
            for (name, value) in named {
                let Some(value) = value else { continue };
                for prefix in ["x-auth-request", "x-forwarded"] {
                    if let Ok(name) = HeaderName::try_from(format!("{prefix}-{name}")) {
                        headers.insert(name, value.clone());
                    }
                }
            }
        }
        if route.identity.assertion {
            let assertion = self
                .assertions
                .header(known, &route.name)
                .map_err(|error| Refusal::Internal { reason: error.to_string() })?;
            headers.insert("x-doorward-assertion", assertion);
        }
        if route.identity.access_token {
            let token = match credential {
                Credential::Session(session) => session.record().access_token.clone(),
                Credential::Bearer { token, .. } => token.clone(),
                Credential::None => return Ok(()),
            };
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .map_err(|error| Refusal::Internal { reason: error.to_string() })?;
            value.set_sensitive(true);
            headers.insert("x-auth-request-access-token", value);
        }
        Ok(())
    }
}

/// To the proxy in front, 403 is a refusal and 404 or 421 a fault (nginx answers 500): what no route owns is not let through.
fn not_let_through(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::NoRoute | Refusal::Misdirected => {
            Refusal::Malformed { status: StatusCode::FORBIDDEN, reason: refusal.to_string().into() }
        }
        other => other,
    }
}
