//! The page of a user's API keys.

use askama::Template;
use axum::body::Body;
use http::{Response, StatusCode};
use oidc_core::Secret;

use super::{ENTRIES, Frame, NAME, SENTENCE, html, sentence, shown};
use crate::respond::AnswerContext;

/// The API keys of a user, and the form for another.
#[derive(Debug, Clone)]
pub struct ApiKeysPage {
    /// The signed-in user.
    pub who: String,
    /// The token that proves the forms came from this page.
    pub csrf: String,
    /// The keys, the newest first.
    pub keys: Vec<KeyCard>,
    /// Name and title of each route that takes keys.
    pub routes: Vec<(String, String)>,
    /// The longest life of a key, in days.
    pub most_days: u64,
    /// The suggested life.
    pub days: u64,
    /// The key that was just made, and the day of its expiry.
    pub made: Option<(Secret, String)>,
    /// The reason none was made.
    pub problem: Option<String>,
}

/// A key in the list.
#[derive(Debug, Clone)]
pub struct KeyCard {
    /// Its identifier.
    pub id: String,
    /// The user's note.
    pub label: String,
    /// Titles of its routes.
    pub routes: Vec<String>,
    /// Day on which it was made.
    pub created: String,
    /// Day on which it expires.
    pub expires: String,
    /// Time of its last use.
    pub last_used: Option<String>,
    /// `active`, `expired`, `revoked` or `suspended`.
    pub state: &'static str,
}

impl KeyCard {
    /// Whether the user can still end it.
    fn can_end(&self) -> bool {
        matches!(self.state, "active" | "suspended")
    }
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysTemplate {
    frame: Frame,
    who: String,
    csrf: String,
    keys: Vec<KeyCard>,
    routes: Vec<(String, String)>,
    most_days: u64,
    days: u64,
    made: Option<(String, String)>,
    problem: Option<String>,
}

impl ApiKeysPage {
    /// The answer that shows this page.
    pub fn into_response(self, context: &AnswerContext, status: StatusCode) -> Response<Body> {
        let card = |card: KeyCard| KeyCard {
            id: shown(&card.id, 64),
            label: shown(&card.label, NAME),
            routes: card.routes.iter().take(ENTRIES).map(|route| shown(route, NAME)).collect(),
            created: shown(&card.created, 32),
            expires: shown(&card.expires, 32),
            last_used: card.last_used.map(|at| shown(&at, 32)),
            state: card.state,
        };
        let page = KeysTemplate {
            frame: Frame::of(context),
            who: shown(&self.who, NAME),
            csrf: self.csrf,
            keys: self.keys.into_iter().map(card).collect(),
            routes: self
                .routes
                .into_iter()
                .map(|(name, title)| (name, shown(&title, NAME)))
                .collect(),
            most_days: self.most_days,
            days: self.days,
            made: self.made.map(|(key, day)| (key.expose().to_owned(), shown(&day, 32))),
            problem: self.problem.map(|text| shown(&sentence(&text), SENTENCE)),
        };
        html(&page, status, &[], context)
    }
}
