//! Last use of each route by each person, for programs that stop what is unused.
//!
//! A person is an issuer and a subject that came with a session. Programs with bearer tokens are not listed.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};

use super::{
    Admin,
    query::{Invalid, parameters},
};

/// `GET /activity?route=NAME&idle_for=DURATION`
pub(super) async fn list(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Response {
    let Asked { route, idle_for } = match admin.asked(query.as_deref()) {
        Ok(asked) => asked,
        Err(invalid) => return invalid.into_response(),
    };
    let mut uses = admin.sessions.uses();
    uses.activity.retain(|used| {
        route.as_ref().is_none_or(|route| *route == used.route)
            && used.idle_seconds >= idle_for.as_secs()
    });
    Json(uses).into_response()
}

/// The uses that a request asks for.
struct Asked {
    route: Option<String>,
    idle_for: Duration,
}

impl Admin {
    /// Reads a query. A route that is not configured is invalid: an empty answer would say that its users are idle.
    fn asked(&self, query: Option<&str>) -> Result<Asked, Invalid> {
        let mut given = parameters(query, ["route", "idle_for"])?;
        let idle_for = match given.remove("idle_for") {
            Some(text) => humantime::parse_duration(&text).map_err(|_| {
                Invalid("invalid parameter `idle_for`: write a duration such as `1h`".to_owned())
            })?,
            None => Duration::ZERO,
        };
        let route = given.remove("route");
        let app = self.serving.app();
        let mut names = app.endpoints.routes.iter().map(|route| route.name.as_str());
        match &route {
            Some(route) if !names.any(|name| name == route) => {
                let names: Vec<&str> =
                    app.endpoints.routes.iter().map(|route| route.name.as_str()).collect();
                Err(Invalid(format!("unknown route: write one of {}", names.join(", "))))
            }
            _ => Ok(Asked { route, idle_for }),
        }
    }
}
