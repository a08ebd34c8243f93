//! Makes, lists and revokes API keys on the admin listener.
//!
//! An owner is a person who has signed in, by user name or subject, or a client by its name. Each change leaves an audit line.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use api_keys::{KeyId, Owner};
use axum::{
    Json,
    extract::{ConnectInfo, Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use web_sessions::{KeyStatus, StoreError};

use super::{
    Admin,
    query::{Invalid, parameters},
};
use crate::{
    gateway::App,
    identify::api_key::{KeyGate, NoKey, Wish},
};

/// The most keys one answer lists.
const LISTED: usize = 10_000;

/// The body of a request for a key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    user: Option<String>,
    client: Option<String>,
    issuer: Option<String>,
    routes: Vec<String>,
    /// In seconds.
    expires_in: u64,
    #[serde(default)]
    label: String,
}

/// Reasons a request is answered with an error.
pub(super) enum Failed {
    Invalid(Invalid),
    NotFound(String),
    Conflict(String),
    Store(StoreError),
}

pub(super) type Outcome = Result<Response, Failed>;

/// `POST /keys`
pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Outcome {
    parameters(query.as_deref(), [])?;
    let app = admin.serving.app();
    let gate = gate(&app)?;
    let asked: Asked = serde_json::from_slice(&body)
        .map_err(|error| Invalid(format!("invalid body: {error}; send JSON")))?;
    let issuer = admin.issuer(asked.issuer)?;
    let (owner, name) = admin.owner(&issuer, asked.user, asked.client).await?;
    let wish = Wish {
        owner,
        name,
        routes: asked.routes,
        label: asked.label,
        lifetime: Duration::from_secs(asked.expires_in),
    };
    let (key, record) = gate.make(wish, app.endpoints.clock.now()).await?;
    audit("create_key", record.id.as_str(), &record.owner, 1, peer);
    let status = KeyStatus { record, last_used: None };
    let mut answer = shown(&status, "active");
    if let Some(members) = answer.as_object_mut() {
        members.insert("key".to_owned(), key.expose().into());
    }
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

/// `GET /keys`
pub(super) async fn list(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Outcome {
    parameters(query.as_deref(), [])?;
    let app = admin.serving.app();
    let (gate, now) = (gate(&app)?, app.endpoints.clock.now());
    let mut keys = Vec::new();
    for status in admin.api_keys.all(LISTED).await? {
        let state = gate.state(&status, now).await?;
        keys.push(shown(&status, state));
    }
    Ok(Json(json!({ "keys": keys })).into_response())
}

/// `DELETE /keys/{id}`
pub(super) async fn revoke(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Outcome {
    parameters(query.as_deref(), [])?;
    let not_found = || Failed::NotFound("unknown key: `GET /keys` lists them".to_owned());
    let id: KeyId = id.parse().map_err(|_| not_found())?;
    let record = admin.api_keys.revoke(&id).await?.ok_or_else(not_found)?;
    audit("revoke_key", id.as_str(), &record.owner, 1, peer);
    Ok(Json(json!({ "revoked": [id] })).into_response())
}

/// `DELETE /keys?user=NAME&issuer=NAME`, `DELETE /keys?client=NAME&issuer=NAME`
pub(super) async fn revoke_all_of(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
) -> Outcome {
    let mut given = parameters(query.as_deref(), ["user", "client", "issuer"])?;
    let issuer = admin.issuer(given.remove("issuer"))?;
    let (user, client) = (given.remove("user"), given.remove("client"));
    let owners = match user {
        Some(user) if client.is_none() => admin.holders(&issuer, &user).await?,
        user => vec![admin.owner(&issuer, user, client).await?.0],
    };
    let mut revoked = Vec::new();
    for owner in owners {
        let ended = admin.api_keys.revoke_all_of(&owner).await?;
        audit("revoke_keys", "all", &owner, ended.len(), peer);
        revoked.extend(ended);
    }
    Ok(Json(json!({ "revoked": revoked })).into_response())
}

impl Admin {
    /// The name of an issuer. It may be left out if only one is configured.
    fn issuer(&self, given: Option<String>) -> Result<String, Invalid> {
        let app = self.serving.app();
        let names: Vec<&str> = app.endpoints.issuers.iter().map(|issuer| issuer.name()).collect();
        match (given, names.as_slice()) {
            (Some(name), names) if names.contains(&name.as_str()) => Ok(name),
            (None, [only]) => Ok((*only).to_owned()),
            (_, names) => Err(Invalid(format!("name the issuer: one of {}", names.join(", ")))),
        }
    }

    /// The only owner of this name, and the name to show.
    async fn owner(
        &self,
        issuer: &str,
        user: Option<String>,
        client: Option<String>,
    ) -> Result<(Owner, String), Failed> {
        match (user, client) {
            (Some(user), None) => {
                let people = self.api_keys.people(issuer, &user).await?;
                match people.as_slice() {
                    [one] => {
                        Ok((Owner::user(&one.known), one.known.display_name().to_owned()))
                    }
                    [] => Err(Failed::NotFound(
                        "unknown user: no person of this user name or subject has signed in since API keys were switched on; have them sign in once".to_owned(),
                    )),
                    many => {
                        let subjects: Vec<_> =
                            many.iter().map(|one| one.known.subject.as_str()).collect();
                        Err(Failed::Conflict(format!(
                            "several people have this name: write the subject, one of {}",
                            subjects.join(", ")
                        )))
                    }
                }
            }
            (None, Some(client)) => {
                let app = self.serving.app();
                let url = app.endpoints.issuers.named(issuer).map(|issuer| issuer.url().to_owned());
                Ok((Owner::client(issuer, &url.unwrap_or_default(), &client), client))
            }
            _ => Err(Invalid("name one owner: `user` or `client`".to_owned()).into()),
        }
    }

    /// The people of this name, and those of this name who have keys although they are known here no more.
    async fn holders(&self, issuer: &str, user: &str) -> Result<Vec<Owner>, Failed> {
        let mut owners: Vec<Owner> = match self.api_keys.people(issuer, user).await?.as_slice() {
            [] => Vec::new(),
            _ => vec![self.owner(issuer, Some(user.to_owned()), None).await?.0],
        };
        for status in self.api_keys.all(LISTED).await? {
            let owner = status.record.owner;
            let named = owner.issuer == issuer
                && owner.kind == api_keys::OwnerKind::User
                && owner.subject == user;
            if named && !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        if owners.is_empty() {
            let message = "unknown user: no person of this user name or subject is known, and none has keys; `GET /keys` lists them";
            return Err(Failed::NotFound(message.to_owned()));
        }
        Ok(owners)
    }
}

fn gate(app: &App) -> Result<&KeyGate, Failed> {
    let off = "API keys are off; write `api_keys: { routes: [NAME] }` in the configuration";
    app.endpoints.identify.keys().ok_or_else(|| Failed::Conflict(off.to_owned()))
}

/// A key as an administrator sees it.
fn shown(status: &KeyStatus, state: &'static str) -> Value {
    let time = |at| humantime::format_rfc3339_seconds(at).to_string();
    let record = &status.record;
    json!({
        "id": record.id,
        "state": state,
        "kind": record.owner.kind,
        "issuer": record.owner.issuer,
        "subject": record.owner.subject,
        "name": record.name,
        "routes": record.routes,
        "label": record.label,
        "created_at": time(record.created_at),
        "expires_at": time(record.expires_at),
        "revoked_at": record.revoked_at.map(time),
        "last_used": status.last_used.map(time),
    })
}

fn audit(action: &'static str, key: &str, owner: &Owner, count: usize, peer: SocketAddr) {
    tracing::info!(
        target: "doorward::audit",
        action,
        key,
        kind = ?owner.kind,
        issuer = owner.issuer,
        subject = owner.subject,
        count,
        address = %peer.ip(),
        "API keys changed on the admin listener"
    );
}

// === impl Failed ===

impl From<Invalid> for Failed {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NoKey> for Failed {
    fn from(error: NoKey) -> Self {
        match error {
            NoKey::Store(error) => Self::Store(error),
            NoKey::TooMany(_) => Self::Conflict(error.to_string()),
            other => Self::Invalid(Invalid(other.to_string())),
        }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Invalid(invalid) => return invalid.into_response(),
            Self::NotFound(text) => (StatusCode::NOT_FOUND, text),
            Self::Conflict(text) => (StatusCode::CONFLICT, text),
            Self::Store(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        };
        (status, format!("{text}\n")).into_response()
    }
}
