//! `keys`: the API keys of the signed-in user; they make new ones and end their own.
//!
//! Only a session opens the page: no token and no API key does. A new key is in the answer to the form and nowhere else.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use api_keys::{KeyId, KeyRecord, Owner};
use axum::body::Body;
use http::{Response, StatusCode};
use oidc_core::Secret;
use web_sessions::{LiveSession, Purpose};

use crate::{
    endpoints::{Call, Endpoints, parameter, read_form, sign_in_needed},
    identify::{
        Credential,
        api_key::{KeyGate, NoKey, Wish},
    },
    refusal::Refusal,
    respond::{AnswerContext, pages, see_other},
};

/// Context in which a form token is sealed.
const FORM: &str = "keys";
const DAY: u64 = 24 * 60 * 60;
/// Suggested lifetime of a key, in days.
const SUGGESTED: u64 = 30;

impl Endpoints {
    pub(super) async fn keys_page(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let gate = self.identify.keys().ok_or(Refusal::NoRoute)?;
        match self.sender_here(&call).await?.credential {
            Credential::Session(session) => {
                self.keys_of(gate, &session, Outcome::None, StatusCode::OK, &call.context).await
            }
            Credential::None => {
                let location = call.context.site.start(&format!("{}/keys", self.prefix));
                Ok(see_other(&location, StatusCode::FOUND, &call.context))
            }
            Credential::Bearer { .. } | Credential::Key { .. } | Credential::Certificate { .. } => {
                Err(sign_in_needed(&call))
            }
        }
    }

    pub(super) async fn keys_create(&self, call: Call) -> Result<Response<Body>, Refusal> {
        let gate = self.identify.keys().ok_or(Refusal::NoRoute)?;
        let (session, form, context) = self.keys_form(call).await?;
        let known = session.known();
        let days = parameter(&form, "days")?.unwrap_or_default().parse::<u32>().unwrap_or(0);
        let routes = url::form_urlencoded::parse(&form)
            .filter_map(|(name, value)| (name == "route").then(|| value.into_owned()))
            .collect();
        let wish = Wish {
            owner: Owner::user(&known),
            name: known.display_name().to_owned(),
            routes,
            label: parameter(&form, "label")?.unwrap_or_default().trim().to_owned(),
            lifetime: Duration::from_secs(u64::from(days) * DAY),
        };
        // Keys may have been switched on after this sign-in.
        self.api_keys.note_owner(&known, session.record().renewed_at).await?;
        let made = gate.make(wish, self.clock.now()).await;
        let (outcome, status) = match made {
            Ok((key, record)) => {
                log("create_key", &record, &session);
                let key = Secret::from(key.expose());
                (Outcome::Made { key, expires_at: record.expires_at }, StatusCode::OK)
            }
            Err(NoKey::Store(error)) => return Err(error.into()),
            Err(error) => (Outcome::NotMade(error.to_string()), StatusCode::BAD_REQUEST),
        };
        self.keys_of(gate, &session, outcome, status, &context).await
    }

    pub(super) async fn keys_end(&self, call: Call) -> Result<Response<Body>, Refusal> {
        self.identify.keys().ok_or(Refusal::NoRoute)?;
        let (session, form, context) = self.keys_form(call).await?;
        let id = parameter(&form, "id")?.unwrap_or_default();
        let id: KeyId = id.parse().map_err(|_| Refusal::NoRoute)?;
        // A user ends their own keys and learns nothing about others.
        let owner = Owner::user(&session.known());
        let own = self.api_keys.record(&id).await?.filter(|record| record.owner == owner);
        if own.is_none() {
            return Err(Refusal::NoRoute);
        }
        if let Some(record) = self.api_keys.revoke(&id).await? {
            log("revoke_key", &record, &session);
        }
        let location = format!("{}/keys", self.prefix);
        Ok(see_other(&location, StatusCode::SEE_OTHER, &context))
    }

    /// The session and the form of a POST from this page.
    async fn keys_form(
        &self,
        call: Call,
    ) -> Result<(Arc<LiveSession>, bytes::Bytes, Arc<AnswerContext>), Refusal> {
        self.same_origin(&call.request)?;
        let Credential::Session(session) = self.sender_here(&call).await?.credential else {
            return Err(sign_in_needed(&call));
        };
        let context = Arc::clone(&call.context);
        let form = read_form(call.request.into_body().body).await?;
        let token = parameter(&form, "csrf")?.unwrap_or_default();
        let opened = self.keys.open(Purpose::Form, FORM, &token);
        if opened.is_none_or(|id| id.as_slice() != session.id().as_str().as_bytes()) {
            return Err(Refusal::ForeignOrigin { origin: "(form without its token)".to_owned() });
        }
        Ok((session, form, context))
    }

    async fn keys_of(
        &self,
        gate: &KeyGate,
        session: &LiveSession,
        outcome: Outcome,
        status: StatusCode,
        context: &AnswerContext,
    ) -> Result<Response<Body>, Refusal> {
        let known = session.known();
        let now = self.clock.now();
        let mut keys = Vec::new();
        for one in self.api_keys.of(&Owner::user(&known)).await? {
            let state = gate.state(&one, now).await?;
            let record = one.record;
            keys.push(pages::KeyCard {
                id: record.id.to_string(),
                label: record.label,
                routes: record.routes.iter().map(|route| self.title_of(route)).collect(),
                created: day(record.created_at),
                expires: day(record.expires_at),
                last_used: one.last_used.map(minute),
                state,
            });
        }
        let csrf = self
            .keys
            .seal(Purpose::Form, FORM, session.id().as_str().as_bytes())
            .map_err(|error| Refusal::Internal { reason: error.to_string() })?;
        let most = gate.rules().max_age.as_secs() / DAY;
        let (made, problem) = match outcome {
            Outcome::None => (None, None),
            Outcome::Made { key, expires_at } => (Some((key, day(expires_at))), None),
            Outcome::NotMade(problem) => (None, Some(problem)),
        };
        let page = pages::ApiKeysPage {
            who: context.site.name_of(&known),
            csrf,
            keys,
            routes: gate.routes().map(|name| (name.to_owned(), self.title_of(name))).collect(),
            most_days: most.max(1),
            days: SUGGESTED.min(most.max(1)),
            made,
            problem,
        };
        Ok(page.into_response(context, status))
    }

    fn title_of(&self, name: &str) -> String {
        let route = self.routes.iter().find(|route| route.name == name);
        route.map_or_else(|| name.to_owned(), |route| route.title.clone())
    }
}

/// Result of a form, to be shown with the list.
enum Outcome {
    None,
    Made { key: Secret, expires_at: SystemTime },
    NotMade(String),
}

/// Writes the audit line of a key that its owner made or ended.
fn log(action: &'static str, record: &KeyRecord, session: &LiveSession) {
    tracing::info!(
        target: "doorward::audit",
        action,
        key = %record.id,
        issuer = record.owner.issuer,
        subject = record.owner.subject,
        routes = record.routes.join(" "),
        session = %session.id(),
        "API key changed by its owner"
    );
}

fn day(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string().chars().take(10).collect()
}

fn minute(time: SystemTime) -> String {
    let text: String =
        humantime::format_rfc3339_seconds(time).to_string().chars().take(16).collect();
    format!("{} UTC", text.replace('T', " "))
}
