//! Makes keys within the bounds of the configuration, for the page and for the admin listener.

use std::time::{Duration, SystemTime};

use api_keys::{ApiKey, KeyRecord, Owner};
use web_sessions::{KeyStatus, NewKey, NotCreated, StoreError};

use super::KeyGate;

/// The longest label, in characters.
const LABEL: usize = 80;
/// The longest name of a client, in characters.
const CLIENT: usize = 256;

/// A key as it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) owner: Owner,
    /// Name of the owner, to show.
    pub(crate) name: String,
    pub(crate) routes: Vec<String>,
    pub(crate) label: String,
    pub(crate) lifetime: Duration,
}

/// Reasons that no key is made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoKey {
    /// No route was named.
    #[error("missing routes: name at least one of {among}")]
    NoRoutes {
        /// the routes that take keys
        among: String,
    },
    /// A route does not exist or takes no keys.
    #[error("route {route:?} takes no API keys; name some of {among}")]
    OtherRoute {
        /// the route
        route: String,
        /// the routes that take keys
        among: String,
    },
    /// It would live too long, or not at all.
    #[error("invalid expiry: between one minute and {}", humantime::format_duration(*.most))]
    Lifetime {
        /// `api_keys.max_age`
        most: Duration,
    },
    /// The label is too long, or holds what no line of text does.
    #[error("invalid label: at most {LABEL} characters, none of them a control character")]
    Label,
    /// The name of a client is missing or too long.
    #[error("invalid client: write its name, at most {CLIENT} characters")]
    Client,
    /// The owner has too many.
    #[error("{0}")]
    TooMany(NotCreated),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KeyGate {
    /// Makes a key.
    ///
    /// # Errors
    ///
    /// [`NoKey`]
    pub(crate) async fn make(
        &self,
        wish: Wish,
        now: SystemTime,
    ) -> Result<(ApiKey, KeyRecord), NoKey> {
        let among = || self.routes().collect::<Vec<_>>().join(", ");
        if wish.routes.is_empty() {
            return Err(NoKey::NoRoutes { among: among() });
        }
        if let Some(route) = wish.routes.iter().find(|route| !self.routes.contains(*route)) {
            let route = route.chars().take(63).collect();
            return Err(NoKey::OtherRoute { route, among: among() });
        }
        let plain =
            |text: &str, most| text.chars().count() <= most && !text.chars().any(char::is_control);
        if !plain(&wish.label, LABEL) {
            return Err(NoKey::Label);
        }
        if wish.owner.subject.is_empty() || !plain(&wish.owner.subject, CLIENT) {
            return Err(NoKey::Client);
        }
        let most = self.rules.max_age;
        let expires_at = now.checked_add(wish.lifetime);
        let expires_at = expires_at
            .filter(|_| wish.lifetime >= Duration::from_secs(60) && wish.lifetime <= most)
            .ok_or(NoKey::Lifetime { most })?;
        let mut routes = wish.routes;
        routes.sort_unstable();
        routes.dedup();
        let Wish { owner, name, label, .. } = wish;
        let new = NewKey { owner, name, routes, label, expires_at };
        self.keys.create(new).await.map_err(|error| match error {
            NotCreated::Store(error) => NoKey::Store(error),
            many @ NotCreated::TooMany => NoKey::TooMany(many),
        })
    }

    /// A word for the state of a key: `active`, `expired`, `revoked` or `suspended`.
    ///
    /// # Errors
    ///
    /// The store does not answer.
    pub(crate) async fn state(
        &self,
        status: &KeyStatus,
        now: SystemTime,
    ) -> Result<&'static str, StoreError> {
        let record = &status.record;
        if let Err(refusal) = self.rules.check(record, now) {
            return Ok(refusal.code());
        }
        let counts = match self.keys.find(&record.id).await? {
            Some(found) if found.key.client().is_some() => true,
            Some(found) => found
                .owner
                .is_some_and(|owner| self.rules.check_owner(record, owner.record(), now).is_ok()),
            None => false,
        };
        Ok(if counts { "active" } else { "suspended" })
    }
}
