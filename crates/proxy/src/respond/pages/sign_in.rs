//! The pages of a sign-in: its beginning, and its ends other than the address asked for.
//!
//! The first has the only script of the gateway's, which keeps the fragment of the address; the page works without it.

use access_policy::StepUp;
use askama::Template;
use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

use super::{Frame, NAME, SENTENCE, assets::script_version, html, sentence, shown};
use crate::respond::AnswerContext;

/// A link or button with its text.
struct Choice {
    url: String,
    text: String,
}

/// Asks a user to sign in, at one of the gateway's providers.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The service the user is on the way to.
    pub heading_to: Option<String>,
    /// Path and query to come back to.
    pub return_to: String,
    /// Notice to read first.
    pub notice: Option<String>,
    /// The sign-in that the address needs.
    pub level: StepUp,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    heading_to: Option<String>,
    notice: Option<String>,
    choices: Vec<Choice>,
    script: &'static str,
}

impl SignIn {
    /// The answer that shows this page.
    pub fn into_response(self, context: &AnswerContext, status: StatusCode) -> Response<Body> {
        let site = &context.site;
        let choices = match site.providers() {
            [] | [_] => {
                let url = site.start_at_level(&self.return_to, &self.level);
                vec![Choice { url, text: "Sign in".to_owned() }]
            }
            several => several
                .iter()
                .map(|provider| Choice {
                    url: site.start_stronger(&provider.name, &self.return_to, &self.level),
                    text: format!("Continue with {}", shown(&provider.title, NAME)),
                })
                .collect(),
        };
        let page = SignInPage {
            frame: Frame::of(context),
            heading_to: self.heading_to.map(|title| shown(&title, NAME)),
            notice: self.notice.map(|notice| shown(&notice, SENTENCE)),
            choices,
            script: script_version(),
        };
        let mut answer = html(&page, status, &[], context);
        allow_script(&mut answer);
        answer
    }
}

/// Says that the user is signed in, but not at the address that was asked for.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Reason that the address is lost.
    pub reason: String,
}

#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedInPage {
    frame: Frame,
    reason: String,
}

impl SignedIn {
    /// The answer that shows this page.
    pub fn into_response(self, context: &AnswerContext, status: StatusCode) -> Response<Body> {
        let reason = shown(&self.reason, SENTENCE);
        let page = SignedInPage { frame: Frame::of(context), reason };
        html(&page, status, &[], context)
    }
}

/// Tells a user why the sign-in did not finish. Never starts another one by itself: a fault at the provider would make a loop.
#[derive(Debug, Clone)]
pub struct SignInFailed {
    /// Reason of the failure.
    pub reason: String,
    /// Target of the sign-in.
    pub return_to: String,
}

#[derive(Template)]
#[template(path = "sign_in_failed.html")]
struct SignInFailedPage {
    frame: Frame,
    reason: String,
    again: String,
}

impl SignInFailed {
    /// The answer that shows this page.
    pub fn into_response(self, context: &AnswerContext, status: StatusCode) -> Response<Body> {
        let page = SignInFailedPage {
            frame: Frame::of(context),
            reason: shown(&sentence(&self.reason), SENTENCE),
            again: context.site.start(&self.return_to),
        };
        html(&page, status, &[], context)
    }
}

/// Lets the page run the gateway's own script.
fn allow_script(answer: &mut Response<Body>) {
    let headers = answer.headers_mut();
    let policy = headers.get(header::CONTENT_SECURITY_POLICY).and_then(|value| value.to_str().ok());
    let policy = policy.map(|policy| format!("{policy}; script-src 'self'"));
    if let Some(Ok(policy)) = policy.map(HeaderValue::try_from) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}
