//! `userinfo`: the caller's identity, as JSON. Tokens are never shown.

use access_policy::Caller;
use axum::body::Body;
use http::Response;
use serde_json::json;

use crate::{
    endpoints::{Call, Endpoints, json},
    refusal::Refusal,
};

impl Endpoints {
    pub(super) async fn userinfo(&self, mut call: Call<'_>) -> Result<Response<Body>, Refusal> {
        let sender = self.known_caller(&mut call).await?;
        let Caller::Known(known) = &sender.caller else { return Err(Refusal::NoRoute) };
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
        Ok(json(&who, call.asked))
    }
}
