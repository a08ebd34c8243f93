//! The answer to a script of a page whose user is not signed in, often because the session has ended while the page was open.
//!
//! The page cannot follow a redirect to sign in. Its answer says in words what the person can do, as a member `message` that
//! applications show, or alone; an application that keeps its state while its server is away gets the status it waits on.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use http_canonical::Wants;

use super::{AnswerContext, problem, words::Words};
use crate::{config::SignedOut, refusal::Refusal};

/// The sentence for the person.
const MESSAGE: &str = "You are signed out. Open this application again in a new tab and sign in there; then go on in this one.";

/// Whether a refusal is answered here.
pub(super) fn is_for(refusal: &Refusal, context: &AnswerContext) -> bool {
    context.script && matches!(refusal, Refusal::LoginNeeded { .. })
}

/// The status for a caller that is not signed in.
pub(super) fn status(context: &AnswerContext) -> StatusCode {
    let waits = context.script && context.wants == Wants::Problem;
    match context.signed_out {
        SignedOut::Retry if waits => StatusCode::FAILED_DEPENDENCY,
        SignedOut::Retry | SignedOut::Problem | SignedOut::Sentence => StatusCode::UNAUTHORIZED,
    }
}

/// The answer.
pub(super) fn answer(
    refusal: &Refusal,
    status: StatusCode,
    words: &Words,
    context: &AnswerContext,
) -> Response<Body> {
    match context.signed_out {
        SignedOut::Problem | SignedOut::Retry => {
            let (title, detail) = (&words.title, &words.detail);
            problem::with_message(refusal, status, (title, detail), MESSAGE, context)
        }
        SignedOut::Sentence => {
            let mut answer = Response::new(Body::from(format!("\"{MESSAGE}\"")));
            *answer.status_mut() = status;
            let json = HeaderValue::from_static("application/json");
            answer.headers_mut().insert(header::CONTENT_TYPE, json);
            answer
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, Method};
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    use super::*;
    use crate::respond::{Site, is_script, respond, status_of};

    fn context(signed_out: SignedOut, headers: &[(&'static str, &'static str)]) -> AnswerContext {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect::<Vec<(http::HeaderName, HeaderValue)>>()
            .into_iter()
            .collect();
        let site = Arc::new(Site::new("/oauth2", "platform.example"));
        AnswerContext::new(&site, &Method::GET, Wants::of(&headers), "req-1", "/lab/api/kernels")
            .with_script(is_script(&headers))
            .with_signed_out(signed_out)
    }

    fn login_needed() -> Refusal {
        Refusal::LoginNeeded {
            route: "lab".into(),
            redirect: false,
            return_to: "/lab".into(),
            level: None,
        }
    }

    async fn text(answer: Response<Body>) -> String {
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    const FETCH: (&str, &str) = ("sec-fetch-mode", "cors");

    #[tokio::test]
    async fn a_page_learns_what_its_user_can_do() {
        for (form, status) in [(SignedOut::Problem, 401), (SignedOut::Retry, 424)] {
            let context = context(form, &[FETCH]);
            let answer = respond(&login_needed(), &context);
            assert_eq!(answer.status(), status);
            assert_eq!(status_of(&login_needed(), &context), status, "the audit line");
            assert_eq!(answer.headers().contains_key("www-authenticate"), status == 401);
            let problem: Value = serde_json::from_str(&text(answer).await).unwrap();
            assert_eq!(problem["message"], MESSAGE);
            assert_eq!(problem["code"], "login_needed");
            assert_eq!(problem["status"], status);
        }
        let answer = respond(&login_needed(), &context(SignedOut::Sentence, &[FETCH]));
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert!(answer.headers().contains_key("www-authenticate"));
        let sentence: String = serde_json::from_str(&text(answer).await).unwrap();
        assert_eq!(sentence, MESSAGE);
    }

    #[tokio::test]
    async fn a_program_gets_the_challenge_on_every_route() {
        for form in [SignedOut::Problem, SignedOut::Retry, SignedOut::Sentence] {
            let answer = respond(&login_needed(), &context(form, &[("accept", "*/*")]));
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            assert!(answer.headers().contains_key("www-authenticate"));
            let problem: Value = serde_json::from_str(&text(answer).await).unwrap();
            assert_eq!(problem.get("message"), None);
        }
    }

    #[test]
    fn without_fetch_metadata_a_cookie_marks_a_page() {
        let script = context(SignedOut::Retry, &[("cookie", "_xsrf=1")]);
        assert_eq!(respond(&login_needed(), &script).status(), 424);
        let page = [("sec-fetch-mode", "navigate"), ("cookie", "_xsrf=1")];
        assert_eq!(respond(&login_needed(), &context(SignedOut::Retry, &page)).status(), 401);
        let grpc = [("content-type", "application/grpc"), ("cookie", "_xsrf=1")];
        assert_eq!(respond(&login_needed(), &context(SignedOut::Retry, &grpc)).status(), 200);
    }

    #[test]
    fn only_a_missing_sign_in_is_answered_so() {
        let context = context(SignedOut::Retry, &[FETCH]);
        let token = Refusal::BadCredentials(oidc_core::TokenRefusal::BadSignature);
        assert_eq!(respond(&token, &context).status(), StatusCode::UNAUTHORIZED);
        assert_eq!(respond(&Refusal::NoRoute, &context).status(), StatusCode::NOT_FOUND);
    }
}
