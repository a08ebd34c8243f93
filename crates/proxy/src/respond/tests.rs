//! Each refusal, in each form.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use oidc_core::TokenRefusal;
use oidc_core::dpop::ProofRefusal;
use oidc_core::verify::PresentationRefusal;
use serde_json::Value;

use super::{AnswerContext, Site, entries, respond};
use crate::refusal::{Refusal, Unproven};
use access_policy::Unmet;
use http_canonical::Wants;

fn context(method: &Method, name: &'static str, value: &'static str) -> AnswerContext {
    let site = Arc::new(Site::new("/oauth2", "platform.example"));
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_static(value));
    AnswerContext::new(&site, method, Wants::of(&headers), "req-1", "/lab?token=hush")
}

fn browser() -> AnswerContext {
    context(&Method::GET, "sec-fetch-mode", "navigate")
}

fn program() -> AnswerContext {
    context(&Method::GET, "accept", "*/*")
}

fn grpc() -> AnswerContext {
    context(&Method::POST, "content-type", "application/grpc")
}

fn user_limit_reached(limit: &'static str) -> Refusal {
    let retry_after = Duration::from_millis(20);
    Refusal::UserLimitReached { route: "lab".into(), limit, most: 50, retry_after }
}

fn login_needed(redirect: bool) -> Refusal {
    Refusal::LoginNeeded {
        route: "lab".into(),
        redirect,
        return_to: "/lab?a=1&b=//x".into(),
        level: None,
    }
}

fn forbidden(bearer: bool) -> Refusal {
    Refusal::Forbidden {
        route: "lab".into(),
        title: "The lab".into(),
        who: "Bob Example".into(),
        rule: Some(2),
        unmet: Box::new(Unmet {
            alternatives: vec!["needs the role admin".into(), "needs the client ci".into()],
            for_people: vec!["needs the role admin".into()],
            scopes: vec!["score".into(), "score".into()],
            step_up: None,
        }),
        bearer,
    }
}

fn all() -> Vec<Refusal> {
    const SECRET: &str = "10.9.8.7:5432 refused";
    vec![
        Refusal::Malformed { status: StatusCode::BAD_REQUEST, reason: "dot segment".into() },
        Refusal::Misdirected { instead: "https://platform.example".into() },
        Refusal::NoRoute,
        Refusal::BadCredentials(TokenRefusal::BadSignature),
        PresentationRefusal::ProofMissing.into(),
        PresentationRefusal::CertificateMissing.into(),
        PresentationRefusal::from(ProofRefusal::Replayed).into(),
        PresentationRefusal::from(ProofRefusal::MemoryUnavailable {
            reason: "full".into(),
            retry_after: None,
        })
        .into(),
        Refusal::CredentialsDisagree,
        login_needed(true),
        login_needed(false),
        forbidden(true),
        forbidden(false),
        Refusal::ForeignOrigin { origin: "https://evil.test".into() },
        Refusal::BodyTooLarge { limit: 10 },
        Refusal::UpstreamUnavailable { route: "lab".into(), reason: SECRET.into() },
        Refusal::UpstreamInvalid { route: "lab".into(), reason: SECRET.into(), too_large: true },
        Refusal::UpstreamInvalid { route: "lab".into(), reason: SECRET.into(), too_large: false },
        Refusal::UpstreamTimeout { route: "lab".into(), after: Duration::from_secs(60) },
        Refusal::TooMany { what: "sign-ins", retry_after: Duration::from_millis(100) },
        user_limit_reached("requests_per_second"),
        user_limit_reached("concurrent_streams"),
        user_limit_reached("tokens_per_day"),
        Refusal::StreamWithoutUsage { route: "lab".into() },
        Refusal::McpMessage(crate::mcp_fault::McpFault::Batch),
        Refusal::ProviderUnavailable { issuer: "main".into(), reason: SECRET.into() },
        Refusal::IssuerMisconfigured { issuer: "main".into(), reason: SECRET.into() },
        Refusal::StoreUnavailable { reason: SECRET.into() },
        Refusal::SignInFailed {
            reason: "it took too long".into(),
            code: "login_expired",
            return_to: "/lab".into(),
        },
        Refusal::Draining,
        Refusal::Internal { reason: SECRET.into() },
    ]
}

fn value(answer: &Response<Body>, name: impl header::AsHeaderName) -> Option<&str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}

async fn text(answer: Response<Body>) -> String {
    let octets = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(octets.to_vec()).unwrap()
}

#[tokio::test]
async fn no_answer_tells_what_is_for_the_log() {
    for refusal in all() {
        for context in [browser(), program(), grpc()] {
            let answer = respond(&refusal, &context);
            assert_eq!(value(&answer, header::CACHE_CONTROL), Some("no-store"), "{refusal}");
            assert_eq!(value(&answer, header::X_CONTENT_TYPE_OPTIONS), Some("nosniff"));
            assert_eq!(value(&answer, "x-request-id"), Some("req-1"), "{refusal}");
            assert!(value(&answer, header::VARY).unwrap().contains("Sec-Fetch-Mode"));
            let head = format!("{:?}", answer.headers());
            let body = text(answer).await;
            assert!(!head.contains("10.9.8.7") && !body.contains("10.9.8.7"), "{refusal}: {body}");
            // Only a page leads its reader back to the requested URL; no other answer repeats a query.
            if context.wants != Wants::Page {
                assert!(!head.contains("hush") && !body.contains("hush"), "{refusal}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn a_program_gets_a_problem() {
    for refusal in all() {
        let other =
            matches!(refusal, Refusal::LoginNeeded { redirect: true, .. } | Refusal::McpMessage(_));
        if other {
            continue;
        }
        let answer = respond(&refusal, &program());
        assert_eq!(answer.status(), refusal.status(), "{refusal}");
        assert_eq!(value(&answer, header::CONTENT_TYPE), Some("application/problem+json"));
        let problem: Value = serde_json::from_str(&text(answer).await).unwrap();
        assert_eq!(problem["status"], refusal.status().as_u16(), "{refusal}");
        assert_eq!(problem["code"], refusal.code(), "{refusal}");
        assert_eq!(problem["instance"], "/lab", "{refusal}");
        assert_eq!(problem["request_id"], "req-1", "{refusal}");
        let section = problem["type"].as_str().unwrap().rsplit('#').next().unwrap();
        assert!(is_documented(section), "{refusal}: {section}");
    }
}

#[tokio::test]
async fn an_agent_gets_an_error_of_json_rpc() {
    let refusal = Refusal::McpMessage(crate::mcp_fault::McpFault::Batch);
    let answer = respond(&refusal, &program());
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(value(&answer, header::CONTENT_TYPE), Some("application/json"));
    let error: Value = serde_json::from_str(&text(answer).await).unwrap();
    assert_eq!((&error["jsonrpc"], &error["id"]), (&Value::from("2.0"), &Value::Null));
    assert_eq!(error["error"]["code"], -32600);
    assert!(is_documented(refusal.code()));
}

#[tokio::test]
async fn a_refused_program_learns_what_was_missing_and_not_who_it_is() {
    let body = text(respond(&forbidden(true), &program())).await;
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["route"], "lab");
    assert_eq!(problem["requirements"][0], "needs the role admin");
    assert!(!body.contains("Bob"), "{body}");
}

#[test]
fn challenges_follow_the_bearer_scheme() {
    let challenge = |refusal: &Refusal| {
        value(&respond(refusal, &program()), "www-authenticate").map(str::to_owned)
    };
    let realm = "Bearer realm=\"platform.example\"";
    assert_eq!(challenge(&login_needed(false)).as_deref(), Some(realm));
    assert_eq!(
        challenge(&forbidden(true)).unwrap(),
        format!("{realm}, error=\"insufficient_scope\", scope=\"score\"")
    );
    assert_eq!(challenge(&forbidden(false)), None);
    let refusal = Refusal::BadCredentials(TokenRefusal::BadSignature);
    let text = challenge(&refusal).unwrap();
    assert!(text.starts_with(&format!("{realm}, error=\"invalid_token\", error_description=\"")));
}

#[test]
fn a_refused_proof_is_answered_with_the_scheme_dpop() {
    let unproven = |reason: ProofRefusal, nonce: Option<&str>| {
        Refusal::Unproven(Box::new(Unproven {
            reason: reason.into(),
            algorithms: "ES256 EdDSA".into(),
            nonce: nonce.map(str::to_owned),
        }))
    };
    for (refusal, error) in [
        (unproven(ProofRefusal::Replayed, None), "invalid_dpop_proof"),
        (unproven(ProofRefusal::NonceNeeded, Some("n1")), "use_dpop_nonce"),
    ] {
        let answer = respond(&refusal, &program());
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let challenge = value(&answer, header::WWW_AUTHENTICATE).unwrap();
        assert!(challenge.starts_with("DPoP realm=\"platform.example\", error=\""), "{challenge}");
        assert!(challenge.contains(&format!("error=\"{error}\"")), "{challenge}");
        assert!(challenge.ends_with("algs=\"ES256 EdDSA\""), "{challenge}");
        let nonce = (error == "use_dpop_nonce").then_some("n1");
        assert_eq!(value(&answer, "dpop-nonce"), nonce);
    }
    let hostile = ProofRefusal::Malformed { part: "header", reason: "x\", algs=\"none\r\n".into() };
    let answer = respond(&unproven(hostile, None), &program());
    let challenge = value(&answer, header::WWW_AUTHENTICATE).unwrap();
    assert_eq!(challenge.matches('"').count(), 8, "{challenge}");
    // A certificate is no matter of this scheme.
    let answer = respond(&PresentationRefusal::WrongCertificate.into(), &program());
    let challenge = value(&answer, header::WWW_AUTHENTICATE).unwrap();
    assert!(challenge.starts_with("Bearer realm="), "{challenge}");
}

#[test]
fn every_challenge_offers_dpop_where_it_is_required() {
    let site = Site::new("/oauth2", "platform.example").with_dpop("ES256");
    let context = AnswerContext { site: Arc::new(site), ..program() };
    let answer = respond(&login_needed(false), &context);
    let all: Vec<_> = answer.headers().get_all(header::WWW_AUTHENTICATE).iter().collect();
    assert_eq!(all, ["Bearer realm=\"platform.example\"", "DPoP algs=\"ES256\""]);
}

#[test]
fn a_token_cannot_write_into_its_own_challenge() {
    let refusal = Refusal::BadCredentials(TokenRefusal::AlgorithmNotAllowed {
        alg: "x\", error=\"none\r\nSet-Cookie: a=b\u{202e}".to_owned(),
        allowed: Vec::new(),
    });
    for context in [browser(), program(), grpc()] {
        let answer = respond(&refusal, &context);
        let challenge = value(&answer, header::WWW_AUTHENTICATE).unwrap();
        assert_eq!(challenge.matches('"').count(), 6, "{challenge}");
        assert!(answer.headers().get(header::SET_COOKIE).is_none());
    }
}

#[test]
fn a_browser_is_sent_to_sign_in_and_nothing_remembers_it() {
    let answer = respond(&login_needed(true), &browser());
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert_eq!(value(&answer, header::LOCATION), Some("/oauth2/start?rd=/lab%3Fa%3D1%26b%3D//x"));
    assert_eq!(value(&answer, header::CACHE_CONTROL), Some("no-store"));
}

#[tokio::test]
async fn a_form_is_not_replayed_but_asked_for_again() {
    let answer =
        respond(&login_needed(true), &context(&Method::POST, "sec-fetch-mode", "navigate"));
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(answer.headers().contains_key(header::WWW_AUTHENTICATE));
    assert!(text(answer).await.contains("was not delivered"));
    let answer = respond(&login_needed(true), &context(&Method::POST, "sec-fetch-mode", "cors"));
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn grpc_gets_a_status_it_understands() {
    let status = |refusal: &Refusal| {
        let answer = respond(refusal, &grpc());
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(value(&answer, header::CONTENT_TYPE), Some("application/grpc"));
        assert!(value(&answer, "grpc-message").is_some(), "{refusal}");
        value(&answer, "grpc-status").unwrap().parse::<u16>().unwrap()
    };
    assert_eq!(status(&login_needed(true)), 16);
    assert_eq!(status(&forbidden(true)), 7);
    assert_eq!(status(&Refusal::Draining), 14);
    assert_eq!(
        status(&Refusal::UpstreamUnavailable { route: "r".into(), reason: "down".into() }),
        14
    );
}

#[test]
fn temporary_refusals_say_when_and_malformed_ones_close() {
    for refusal in all() {
        let answer = respond(&refusal, &program());
        let temporary = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
        let passes = temporary.contains(&answer.status());
        assert_eq!(value(&answer, header::RETRY_AFTER).is_some(), passes, "{refusal}");
        let ends = matches!(refusal, Refusal::Malformed { .. } | Refusal::BodyTooLarge { .. });
        assert_eq!(value(&answer, header::CONNECTION) == Some("close"), ends, "{refusal}");
    }
    let keys = TokenRefusal::KeysUnavailable {
        reason: "down".into(),
        retry_after: Some(Duration::from_millis(1200)),
    };
    let answer = respond(&Refusal::BadCredentials(keys), &program());
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(value(&answer, header::RETRY_AFTER), Some("2"));
    assert_eq!(value(&answer, header::WWW_AUTHENTICATE), None);
}

#[test]
fn each_code_has_one_heading_in_the_documentation() {
    let codes = entries().into_iter().map(|entry| entry.code);
    let bound = PresentationRefusal::CODES.iter().chain(ProofRefusal::CODES).copied();
    let tokens = TokenRefusal::CODES.iter().copied().chain(bound);
    for code in codes.chain(tokens).chain(["sign_in_failed"]) {
        assert!(is_documented(code), "{code}");
    }
    let page = documentation();
    let numbered = |line: &&str| {
        line.trim_start_matches(|digit: char| digit.is_ascii_digit()).starts_with(". ")
    };
    assert_eq!(
        page.lines().find(numbered),
        None,
        "a status at the start of a line is a numbered list"
    );
}

/// A problem's `type` leads to its section in the documentation: one heading, so that its anchor has no number.
fn is_documented(section: &str) -> bool {
    let page = documentation();
    let headings = page.lines().filter_map(|line| line.strip_prefix('#'));
    headings.filter(|heading| heading.trim_start_matches('#').trim_start() == section).count() == 1
}

fn documentation() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/refusals.md");
    std::fs::read_to_string(page).unwrap().to_lowercase()
}
