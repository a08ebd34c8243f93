//! `userinfo`: the caller's identity, as JSON. Tokens are never shown.

use axum::body::Body;
use http::Response;
use serde_json::json;

use crate::{
    endpoints::{Call, Endpoints, json},
    refusal::Refusal,
};

impl Endpoints {
    pub(super) async fn userinfo(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let known = self.known_caller(&call).await?;
        let who = json!({
            "sub": known.subject,
            "iss": known.iss,
            "preferred_username": known.preferred_username,
            "name": known.name,
            "email": known.email,
            "email_verified": known.email_verified,
            "roles": known.roles,
            "client_roles": known.client_roles,
            "groups": known.groups,
            "scope": known.scopes.join(" "),
            "client": known.client,
        });
        Ok(json(&who))
    }
}
