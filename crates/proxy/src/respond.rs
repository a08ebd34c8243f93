//! Stage 6, respond: writes the answer to a refused request.
//!
//! A browser gets a page, a program gets `application/problem+json` (RFC 9457), and a bearer client
//! gets `WWW-Authenticate` (RFC 6750 §3). No answer contains bytes from the upstream.

mod context;
mod answers;
mod words;
mod challenge;
mod json_rpc;
mod problem;
mod signed_out;
mod grpc;
pub mod pages;
mod table;
#[cfg(test)]
mod tests;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_canonical::{Wants, request_id::X_REQUEST_ID};

pub use self::{
    answers::OwnAnswers,
    context::{AnswerContext, SignInWith, Site, is_script},
    table::{Entry, entries},
};
use crate::{
    refusal::{DPOP_NONCE, Refusal},
    route::Offer,
    throttle::reached_fields,
};

/// By this field clients know a registry of the present protocol.
const DOCKER_API: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// Answers a refused request in the form that the client asked for.
///
/// Logs nothing: the gateway logs the refusal, including the causes that callers must not see.
pub fn respond(refusal: &Refusal, context: &AnswerContext) -> Response<Body> {
    let start = match refusal {
        Refusal::LoginNeeded { redirect: true, return_to, level, .. } => Some(match level {
            Some(level) => context.site.start_at_level(return_to, level),
            None => context.site.start(return_to),
        }),
        Refusal::StrongerSignInNeeded { redirect: true, return_to, needed, .. } => {
            Some(context.site.start_stronger(&needed.issuer, return_to, &needed.step_up))
        }
        _ => None,
    };
    // A form is never replayed by a redirect: the user sees the sign-in page and still has the form behind it.
    if let Some(start) = start.filter(|_| context.safe && context.wants != Wants::Grpc) {
        let start = format!("{}{start}", context.origin);
        return see_other(&start, StatusCode::FOUND, context);
    }
    let status = match refusal {
        Refusal::LoginNeeded { .. } => signed_out::status(context),
        Refusal::StrongerSignInNeeded { .. } => StatusCode::UNAUTHORIZED,
        other => other.status(),
    };
    let words = refusal.words(context.service.as_deref());
    let mut answer = match context.wants {
        Wants::Page => page(refusal, status, words, context),
        Wants::Problem if signed_out::is_for(refusal, context) => {
            own(signed_out::answer(refusal, status, &words, context), context)
        }
        Wants::Problem => {
            let answer = match refusal {
                Refusal::McpMessage(fault) => json_rpc::answer(fault, status, &words.detail),
                _ => problem::answer(refusal, status, &words.title, &words.detail, context),
            };
            own(answer, context)
        }
        Wants::Grpc => own(grpc::trailers_only(status, &words.detail), context),
    };
    let headers = answer.headers_mut();
    if status != StatusCode::FAILED_DEPENDENCY {
        for challenge in challenge::challenges(refusal, context) {
            headers.append(header::WWW_AUTHENTICATE, challenge);
        }
    }
    if let Refusal::Unproven(unproven) = refusal
        && let Some(nonce) = unproven.nonce.as_deref()
        && let Ok(nonce) = HeaderValue::try_from(nonce)
    {
        headers.insert(DPOP_NONCE, nonce);
    }
    if matches!(context.offer, Offer::Registry { .. }) {
        headers.insert(DOCKER_API, HeaderValue::from_static("registry/2.0"));
    }
    if let Some(after) = refusal.retry_after() {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if let Refusal::UserLimitReached { limit, most, retry_after, .. } = refusal {
        reached_fields(headers, limit, *most, *retry_after);
    }
    if matches!(refusal, Refusal::Malformed { .. } | Refusal::BodyTooLarge { .. }) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// The status of the answer to a refused request, for its audit line.
pub(crate) fn status_of(refusal: &Refusal, context: &AnswerContext) -> StatusCode {
    match refusal {
        Refusal::LoginNeeded { redirect: false, .. } => signed_out::status(context),
        other => other.status(),
    }
}

/// The page for a refusal.
fn page(
    refusal: &Refusal,
    status: StatusCode,
    words: words::Words,
    context: &AnswerContext,
) -> Response<Body> {
    match refusal {
        Refusal::LoginNeeded { return_to, level, .. } => pages::SignIn {
            heading_to: None,
            level: level.as_deref().cloned().unwrap_or_default(),
            return_to: if context.safe { return_to.clone() } else { "/".to_owned() },
            notice: (!context.safe).then(|| {
                "What you sent was not delivered, because you are not signed in. Sign in, go back, and send it again."
                    .to_owned()
            }),
        }
        .into_response(context, status),
        Refusal::Forbidden { route, title, who, unmet, .. } => pages::Refused {
            who: context.who.clone().unwrap_or_else(|| who.clone()),
            title: title.clone(),
            route: route.clone(),
            needs: unmet.for_people.clone(),
            only_programs: unmet.for_people.is_empty() && !unmet.alternatives.is_empty(),
            return_to: context.return_to.clone(),
        }
        .into_response(context, status),
        Refusal::SignInFailed { reason, return_to, .. } => {
            let (reason, return_to) = (reason.clone().into_owned(), return_to.clone());
            pages::SignInFailed { reason, return_to }.into_response(context, status)
        }
        _ => pages::ErrorPage {
            title: words.title,
            sentence: words.detail,
            advice: words.advice.map(str::to_owned),
            retry: context.safe && status.is_server_error() && !refusal.lasts(),
        }
        .into_response(context, status),
    }
}

/// Answers an endpoint's own refusal, as `application/problem+json`.
pub fn problem(
    status: StatusCode,
    code: &str,
    detail: &str,
    context: &AnswerContext,
) -> Response<Body> {
    own(problem::plain(status, code, detail, context), context)
}

/// Redirects a browser. The answer must not be cached, because a stale redirect would loop.
pub fn see_other(location: &str, status: StatusCode, context: &AnswerContext) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    match HeaderValue::try_from(location) {
        Ok(location) => {
            answer.headers_mut().insert(header::LOCATION, location);
        }
        Err(_) => *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    own(answer, context)
}

/// Adds the headers that every answer of the gateway itself carries; existing ones stay.
pub fn own(mut answer: Response<Body>, context: &AnswerContext) -> Response<Body> {
    const ALWAYS: [(HeaderName, &str); 4] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::VARY, "Accept, Sec-Fetch-Mode, Sec-Fetch-Dest"),
    ];
    let headers = answer.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&context.request_id) {
        headers.insert(X_REQUEST_ID, id);
    }
    answer
}
