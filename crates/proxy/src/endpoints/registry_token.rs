//! `registry_token`: the token endpoint of container registries ([distribution token specification]).
//!
//! A client of a registry sends its password here and uses the token of the answer. The password is a token or an API key
//! already: the answer repeats it once it is verified. `service` and `scope` are not read, because the rules of the route decide at each request.
//! A session cookie gets no token, so that no page can read one.
//!
//! [distribution token specification]: https://distribution.github.io/distribution/spec/auth/token/

use axum::body::Body;
use http::Response;
use serde_json::json;

use crate::{
    endpoints::{Call, Endpoints, json, sign_in_needed},
    identify::{
        Credential,
        authorization::{Carrier, Presented, Takes, presented},
    },
    refusal::Refusal,
    route::Offer,
};

impl Endpoints {
    pub(super) async fn registry_token(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let host = call.request.host().name();
        let mut routes = self.routes.iter().filter(|route| route.registry.is_some());
        let Some(route) = routes.find(|route| route.host.matches(host)) else {
            return Err(Refusal::NoRoute);
        };
        call.notes.offer(Offer::Basic);
        let (audience, name) = (&route.audience, Some(route.name.as_str()));
        let takes = Takes { bearer: true, basic: true, audience, route: name };
        let (token, good_until) = match self.own_sender(&call, takes).await?.credential {
            Credential::Bearer { token, good_until, carrier: Carrier::Basic } => {
                (token, good_until)
            }
            Credential::Key { good_until, carrier: Carrier::Basic, .. } => {
                match presented(call.request.headers(), takes) {
                    Presented::Basic(key) => (key, Some(good_until)),
                    _ => return Err(sign_in_needed(&call)),
                }
            }
            _ => return Err(sign_in_needed(&call)),
        };
        let left = good_until.and_then(|end| end.duration_since(self.clock.now()).ok());
        let mut answer = json!({ "token": token.expose(), "access_token": token.expose() });
        if let (Some(left), Some(members)) = (left, answer.as_object_mut()) {
            members.insert("expires_in".to_owned(), left.as_secs().into());
        }
        Ok(json(&answer))
    }
}
