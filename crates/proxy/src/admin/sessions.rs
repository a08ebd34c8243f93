//! Lists sessions on the admin listener, and ends them one by one or by person.
//!
//! A person is an issuer and a subject. Ending sessions always leaves an audit line.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    extract::{ConnectInfo, Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    Admin,
    query::{Invalid, parameters},
};
use web_sessions::{SessionId, StoreError, Which};

/// The most sessions one answer lists.
const LISTED: usize = 1000;

/// `GET /sessions`
pub(super) async fn list(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Response {
    if let Err(invalid) = parameters(query.as_deref(), []) {
        return invalid.into_response();
    }
    match admin.sessions.list(LISTED).await {
        Ok(sessions) => Json(json!({ "sessions": sessions })).into_response(),
        Err(error) => unavailable(&error),
    }
}

/// `DELETE /sessions/{id}`
pub(super) async fn end(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    if let Err(invalid) = parameters(query.as_deref(), []) {
        return invalid.into_response();
    }
    let id = SessionId::from_name(id);
    // For the audit line only. The session ends here even if the store does not answer.
    let listed = admin.sessions.list(LISTED).await.unwrap_or_default();
    let person = listed.iter().find(|session| session.id == id);
    let result = admin.sessions.end(&id).await;
    tracing::info!(
        target: "doorward::audit",
        action = "end_session",
        session = %id,
        issuer = person.map(|person| person.issuer.as_str()),
        subject = person.map(|person| person.subject.as_str()),
        ended = u64::from(person.is_some()),
        address = %peer.ip(),
        error = result.as_ref().err().map(tracing::field::display),
        "session ended on the admin listener"
    );
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => unavailable(&error),
    }
}

/// `DELETE /sessions?user=SUBJECT&issuer=NAME`
pub(super) async fn end_all_of(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
) -> Response {
    let (issuer, subject) = match admin.person(query.as_deref()) {
        Ok(person) => person,
        Err(invalid) => return invalid.into_response(),
    };
    let which = Which::Subject { issuer: issuer.clone(), subject: subject.clone() };
    let result = admin.sessions.end_matching(&which).await;
    tracing::info!(
        target: "doorward::audit",
        action = "end_sessions",
        issuer,
        subject,
        ended = result.as_ref().map_or(0, Vec::len),
        address = %peer.ip(),
        error = result.as_ref().err().map(tracing::field::display),
        "sessions of a person ended on the admin listener"
    );
    match result {
        Ok(ended) => Json(json!({ "ended": ended })).into_response(),
        Err(error) => unavailable(&error),
    }
}

impl Admin {
    /// Issuer and subject in a query. The issuer may be left out if only one is configured.
    fn person(&self, query: Option<&str>) -> Result<(String, String), Invalid> {
        let mut given = parameters(query, ["user", "issuer"])?;
        let subject = given
            .remove("user")
            .filter(|subject| !subject.is_empty())
            .ok_or_else(|| Invalid("missing parameter `user`: name the subject".to_owned()))?;
        let app = self.serving.app();
        let names: Vec<&str> = app.endpoints.issuers.iter().map(|issuer| issuer.name()).collect();
        match (given.remove("issuer"), names.as_slice()) {
            (Some(name), names) if names.contains(&name.as_str()) => Ok((name, subject)),
            (None, [only]) => Ok(((*only).to_owned(), subject)),
            (Some(_), names) => {
                Err(Invalid(format!("unknown issuer: write one of {}", names.join(", "))))
            }
            (None, names) => Err(Invalid(format!(
                "missing parameter `issuer`: a subject is unique within its issuer only; write one of {}",
                names.join(", ")
            ))),
        }
    }
}

fn unavailable(error: &StoreError) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
}
