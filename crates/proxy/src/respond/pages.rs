//! The gateway's own pages: plain HTML that needs no script, under a policy that allows none.
//!
//! All text from outside is bounded, escaped and set in a `<bdi>`, so that no name can rearrange the sentence around it. A page
//! carries no secret but the token of the form on it.

mod assets;
mod keys;
mod portal;
mod sign_in;
mod text;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use askama::Template;
use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

pub use self::assets::asset;
pub use self::keys::{ApiKeysPage, KeyCard};
pub use self::portal::{Portal, Service};
pub use self::sign_in::{SignIn, SignInFailed, SignedIn};
pub(crate) use self::text::{sentence, shown};
use crate::respond::{AnswerContext, own};

/// Longest name on a page, in characters.
const NAME: usize = 80;
/// Longest sentence on a page, in characters.
const SENTENCE: usize = 500;
/// Most entries of a list on a page.
const ENTRIES: usize = 100;

/// Parts common to every page.
struct Frame {
    endpoints: String,
    style: String,
    /// The stylesheet itself, for a page on which a reference to it would not work.
    inline: Option<&'static str>,
    reference: String,
}

impl Frame {
    fn of(context: &AnswerContext) -> Self {
        Self {
            endpoints: context.site.endpoints().to_owned(),
            style: assets::style_version().to_owned(),
            inline: None,
            reference: shown(&context.request_id, 64),
        }
    }
}

/// Says that the user is signed out.
#[derive(Debug, Clone)]
pub struct SignedOut {
    /// Target of signing in again.
    pub return_to: Option<String>,
    /// Whether the session at the provider ended too.
    pub at_provider: bool,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage {
    frame: Frame,
    at_provider: bool,
    again: String,
}

impl SignedOut {
    /// The answer that shows this page.
    pub fn into_response(self, context: &AnswerContext, status: StatusCode) -> Response<Body> {
        let again = context.site.start(self.return_to.as_deref().unwrap_or("/"));
        let page =
            SignedOutPage { frame: Frame::of(context), at_provider: self.at_provider, again };
        html(&page, status, &[], context)
    }
}

/// Asks whether to sign out, so that a link from another site's page cannot sign a user out.
#[derive(Debug, Clone)]
pub struct SignOutConfirm {
    /// The signed-in user.
    pub who: String,
    /// The token that proves the form came from this page.
    pub csrf: String,
    /// Target of signing in again.
    pub return_to: Option<String>,
}

#[derive(Template)]
#[template(path = "sign_out_confirm.html")]
struct SignOutConfirmPage {
    frame: Frame,
    who: String,
    csrf: String,
    return_to: Option<String>,
}

impl SignOutConfirm {
    /// The answer that shows this page.
    pub fn into_response(self, context: &AnswerContext, status: StatusCode) -> Response<Body> {
        let page = SignOutConfirmPage {
            frame: Frame::of(context),
            who: shown(&self.who, NAME),
            csrf: self.csrf,
            return_to: self.return_to,
        };
        html(&page, status, context.site.form_targets(), context)
    }
}

/// Tells a user that they may not use a service, and why.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The signed-in user.
    pub who: String,
    /// Display name of the service.
    pub title: String,
    /// The route's name, for the operator.
    pub route: String,
    /// Requirements that the account lacks and a person can meet; any one entry is enough.
    pub needs: Vec<String>,
    /// Whether only programs can meet the requirements.
    pub only_programs: bool,
    /// Path and query that another account may be able to open.
    pub return_to: String,
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage {
    frame: Frame,
    who: String,
    title: String,
    route: String,
    needs: Vec<String>,
    only_programs: bool,
    switch: Switch,
}

/// Way to switch accounts: sign out here and at the provider, then sign in to the same place.
enum Switch {
    /// A form that does it.
    Form { csrf: String, return_to: String },
    /// The page that asks first.
    Link(String),
}

impl Refused {
    /// The answer that shows this page.
    pub fn into_response(self, context: &AnswerContext, status: StatusCode) -> Response<Body> {
        let page = RefusedPage {
            frame: Frame::of(context),
            who: shown(&self.who, NAME),
            title: shown(&self.title, NAME),
            route: shown(&self.route, NAME),
            needs: self.needs.iter().take(ENTRIES).map(|need| requirement(need)).collect(),
            only_programs: self.only_programs,
            switch: match &context.sign_out_token {
                Some(csrf) => Switch::Form { csrf: csrf.clone(), return_to: self.return_to },
                None => Switch::Link(context.site.sign_out(&self.return_to)),
            },
        };
        html(&page, status, context.site.form_targets(), context)
    }
}

/// `needs the role a and needs the group b` as an entry of a list: `the role a and the group b`.
fn requirement(need: &str) -> String {
    let need = need.strip_prefix("needs ").unwrap_or(need);
    shown(&need.replace(" and needs ", " and "), SENTENCE)
}

/// Tells a user that something went wrong, at the gateway or elsewhere.
#[derive(Debug, Clone)]
pub struct ErrorPage {
    /// Summary, in a few words.
    pub title: String,
    /// Description, in a sentence.
    pub sentence: String,
    /// Advice to the user.
    pub advice: Option<String>,
    /// Whether asking again may help.
    pub retry: bool,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorTemplate {
    frame: Frame,
    at_home: bool,
    status: u16,
    phrase: &'static str,
    title: String,
    sentence: String,
    advice: Option<String>,
    retry: bool,
    who: Option<String>,
}

impl ErrorPage {
    /// The answer that shows this page.
    pub fn into_response(self, context: &AnswerContext, status: StatusCode) -> Response<Body> {
        // On a host that the gateway does not serve, none of its URLs work.
        let at_home = status != StatusCode::MISDIRECTED_REQUEST;
        let page = ErrorTemplate {
            frame: Frame { inline: (!at_home).then(assets::style), ..Frame::of(context) },
            at_home,
            status: status.as_u16(),
            phrase: status.canonical_reason().unwrap_or("Error"),
            title: shown(&self.title, NAME),
            sentence: shown(&self.sentence, SENTENCE),
            advice: self.advice.map(|advice| shown(&advice, SENTENCE)),
            retry: self.retry,
            who: context.who.as_deref().map(|who| shown(who, NAME)),
        };
        html(&page, status, &[], context)
    }
}

/// Renders a page under the strictest policy it works with.
///
/// Browsers check every redirect of a form against `form-action`, so a page whose form ends at the provider names it.
fn html(
    page: &impl Template,
    status: StatusCode,
    form_targets: &[String],
    context: &AnswerContext,
) -> Response<Body> {
    let mut policy = format!(
        "default-src 'none'; style-src 'self' {}; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        assets::style_source(),
    );
    for target in form_targets {
        // Writing to a string cannot fail.
        let _ = write!(policy, " {target}");
    }
    let mut answer = Response::new(Body::empty());
    match page.render() {
        Ok(text) => {
            *answer.status_mut() = status;
            *answer.body_mut() = Body::from(text);
        }
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
    }
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // Under `no-referrer` a browser posts forms with `Origin: null`; the gateway's own would look like another site's.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    own(answer, context)
}
