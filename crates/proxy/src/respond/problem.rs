//! A refusal for a program: `application/problem+json` (RFC 9457).

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::AnswerContext;
use crate::refusal::Refusal;
use crate::respond::pages::shown;

/// The members of RFC 9457 §3.1, then ours (§3.2).
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    requirements: &'a [String],
}

/// The answer for a refusal, with its texts.
pub(super) fn answer(
    refusal: &Refusal,
    status: StatusCode,
    title: &str,
    detail: &str,
    context: &AnswerContext,
) -> Response<Body> {
    for_refusal(refusal, status, Texts { title, detail, message: None }, context)
}

/// The same with a `message` for the person, the member that applications show.
pub(super) fn with_message(
    refusal: &Refusal,
    status: StatusCode,
    (title, detail): (&str, &str),
    message: &str,
    context: &AnswerContext,
) -> Response<Body> {
    for_refusal(refusal, status, Texts { title, detail, message: Some(message) }, context)
}

fn for_refusal(
    refusal: &Refusal,
    status: StatusCode,
    texts: Texts<'_>,
    context: &AnswerContext,
) -> Response<Body> {
    let (route, requirements) = match refusal {
        Refusal::Forbidden { route, unmet, .. } => {
            (Some(route.as_str()), unmet.alternatives.as_slice())
        }
        Refusal::LoginNeeded { route, .. }
        | Refusal::StrongerSignInNeeded { route, .. }
        | Refusal::UserLimitReached { route, .. }
        | Refusal::StreamWithoutUsage { route }
        | Refusal::UpstreamUnavailable { route, .. }
        | Refusal::UpstreamInvalid { route, .. }
        | Refusal::UpstreamTimeout { route, .. } => (Some(route.as_str()), [].as_slice()),
        _ => (None, [].as_slice()),
    };
    let section = match refusal {
        Refusal::SignInFailed { .. } => "sign_in_failed",
        Refusal::BadCredentials(_) => "tokens",
        other => other.code(),
    };
    let code = refusal.code();
    document(status, Kind { code, section }, texts, context, route, requirements)
}

/// The answer for an endpoint's own refusal.
pub(super) fn plain(
    status: StatusCode,
    code: &str,
    detail: &str,
    context: &AnswerContext,
) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or("Refused");
    let texts = Texts { title, detail, message: None };
    document(status, Kind { code, section: code }, texts, context, None, &[])
}

/// Texts of a document.
struct Texts<'a> {
    title: &'a str,
    detail: &'a str,
    message: Option<&'a str>,
}

/// Kind of a refusal: the code for programs, and the section of the documentation about it.
struct Kind<'a> {
    code: &'a str,
    section: &'a str,
}

fn document(
    status: StatusCode,
    kind: Kind<'_>,
    Texts { title, detail, message }: Texts<'_>,
    context: &AnswerContext,
    route: Option<&str>,
    requirements: &[String],
) -> Response<Body> {
    let instance = shown(context.path(), 1000);
    let problem = Problem {
        r#type: format!(
            "{}/blob/main/docs/refusals.md#{}",
            env!("CARGO_PKG_REPOSITORY"),
            kind.section
        ),
        title,
        status: status.as_u16(),
        detail,
        instance: &instance,
        code: kind.code,
        request_id: &context.request_id,
        message,
        route,
        requirements,
    };
    let mut answer = Response::new(Body::empty());
    // Strings and numbers always serialize.
    if let Ok(body) = serde_json::to_vec(&problem) {
        *answer.body_mut() = Body::from(body);
    }
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    answer
}
