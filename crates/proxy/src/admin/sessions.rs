//! Lists sessions on the admin listener, and ends them one by one or by person.
//!
//! A person is an issuer and a subject. Ending sessions always leaves an audit line.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use axum::{
    Json,
    extract::{ConnectInfo, Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::Admin;
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

/// The reason a query is invalid.
#[derive(Debug, PartialEq, Eq)]
struct Invalid(String);

impl IntoResponse for Invalid {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, format!("{}\n", self.0)).into_response()
    }
}

/// The parameters of a query, each one known, given once, and UTF-8: a misspelt one must not end more sessions than meant.
fn parameters<const N: usize>(
    query: Option<&str>,
    known: [&'static str; N],
) -> Result<HashMap<&'static str, String>, Invalid> {
    let mut given = HashMap::with_capacity(N);
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let Some(known) = known.iter().find(|known| **known == name) else {
            return Err(Invalid(match known.join("`, `") {
                none if none.is_empty() => "unknown parameter: none is taken here".to_owned(),
                known => format!("unknown parameter: `{known}` are taken here"),
            }));
        };
        if value.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Invalid(format!("invalid parameter `{known}`: not UTF-8")));
        }
        if given.insert(*known, value.into_owned()).is_some() {
            return Err(Invalid(format!("parameter `{known}` is given twice")));
        }
    }
    Ok(given)
}

fn unavailable(error: &StoreError) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::parameters;

    #[test]
    fn each_parameter_is_known_and_given_once() {
        let read = |query| parameters(Some(query), ["user", "issuer"]);
        let given = read("user=a%2Bb&issuer=main").unwrap();
        assert_eq!((given["user"].as_str(), given["issuer"].as_str()), ("a+b", "main"));
        assert!(parameters(None, ["user"]).unwrap().is_empty());
        assert!(read("").unwrap().is_empty());
        for bad in [
            "user=a&user=a",
            "user=a&us%65r=b",
            "User=a",
            "user=a&x",
            "user[]=a",
            "subject=a",
            "user=%ff",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(parameters(Some("user=a"), []).is_err());
    }
}
