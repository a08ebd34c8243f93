//! Every page, with text that an attacker would write into it.

use std::sync::Arc;

use access_policy::StepUp;
use axum::body::Body;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body_util::BodyExt as _;

use super::{
    ApiKeysPage, ErrorPage, KeyCard, Portal, Refused, Service, SignIn, SignInFailed,
    SignOutConfirm, SignedIn, SignedOut, shown,
};
use crate::respond::{AnswerContext, Site};
use http_canonical::Wants;
use oidc_core::Secret;

const SCRIPT: &str = "<script>alert(1)</script>";
const QUOTES: &str = "\" onmouseover=\"alert(1)\" x='&amp;";
const TURNED: &str = "admin\u{202e}nimda\u{2066}\r\nSet-Cookie: x\u{0}";

fn context() -> AnswerContext {
    let site = Site::new("/oauth2", "platform.example")
        .with_provider("main", "Keycloak", "https://id.example/realms/lab")
        .with_provider(QUOTES, SCRIPT, "https://other.example");
    let headers = HeaderMap::new();
    AnswerContext::new(&Arc::new(site), &Method::GET, Wants::of(&headers), "req-1", "/lab?a=1&b=2")
}

/// Every page, each text of which is `text`.
fn pages(text: &str) -> Vec<(&'static str, Response<Body>)> {
    let context = context().with_who(Some(text.to_owned()));
    let own = || text.to_owned();
    let refused = |needs: Vec<String>| Refused {
        who: own(),
        title: own(),
        route: own(),
        needs,
        only_programs: false,
        return_to: own(),
    };
    let ok = StatusCode::OK;
    let error = |status| {
        ErrorPage { title: own(), sentence: own(), advice: Some(own()), retry: true }
            .into_response(&context, status)
    };
    let service = |url: &str| Service {
        title: own(),
        address: own(),
        url: url.to_owned(),
        group: Some(own()),
        ..Service::default()
    };
    vec![
        (
            "sign_in",
            SignIn {
                heading_to: Some(own()),
                return_to: own(),
                notice: Some(own()),
                level: StepUp { acr_values: vec![own()], max_age: None },
            }
            .into_response(&context, ok),
        ),
        ("signed_in", SignedIn { reason: own() }.into_response(&context, ok)),
        (
            "signed_out",
            SignedOut { return_to: Some(own()), at_provider: false }.into_response(&context, ok),
        ),
        (
            "sign_out_confirm",
            SignOutConfirm { who: own(), csrf: own(), return_to: Some(own()) }
                .into_response(&context, ok),
        ),
        ("refused, no rule", refused(Vec::new()).into_response(&context, StatusCode::FORBIDDEN)),
        ("refused, one", refused(vec![own()]).into_response(&context, StatusCode::FORBIDDEN)),
        (
            "refused, two",
            refused(vec![own(), own()]).into_response(&context, StatusCode::FORBIDDEN),
        ),
        ("error", error(StatusCode::BAD_GATEWAY)),
        ("error, foreign host", error(StatusCode::MISDIRECTED_REQUEST)),
        (
            "sign_in_failed",
            SignInFailed { reason: own(), return_to: own() }.into_response(&context, ok),
        ),
        ("keys", keys(text).into_response(&context, ok)),
        (
            "portal",
            Portal {
                who: own(),
                services: vec![service(text)],
                filter: Some(own()),
                csrf: Some(own()),
            }
            .into_response(&context, ok),
        ),
        (
            "portal, empty",
            Portal { who: own(), services: Vec::new(), filter: None, csrf: None }
                .into_response(&context, ok),
        ),
    ]
}

/// The page of API keys, each text of which is `text`.
fn keys(text: &str) -> ApiKeysPage {
    let own = || text.to_owned();
    let card = |state| KeyCard {
        id: own(),
        label: own(),
        routes: vec![own(), own()],
        created: own(),
        expires: own(),
        last_used: Some(own()),
        state,
    };
    ApiKeysPage {
        who: own(),
        csrf: own(),
        keys: vec![card("active"), card("revoked")],
        routes: vec![(own(), own())],
        most_days: 90,
        days: 30,
        made: Some((Secret::from("dw_a_b_c"), own())),
        problem: Some(own()),
    }
}

#[tokio::test]
async fn only_keys_that_count_can_be_ended() {
    assert!(!format!("{:?}", keys("plain")).contains("dw_a_b_c"));
    let page = text(keys("plain").into_response(&context(), StatusCode::OK)).await;
    assert_eq!(page.matches("/oauth2/keys/end").count(), 1, "{page}");
    assert!(page.contains("<code>dw_a_b_c</code>"));
}

async fn text(answer: Response<Body>) -> String {
    let octets = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(octets.to_vec()).unwrap()
}

#[tokio::test]
async fn no_text_becomes_markup() {
    for (name, answer) in pages(SCRIPT) {
        let page = text(answer).await;
        let scripts = page.matches("<script").count();
        let own = page.matches("<script src=\"/oauth2/sign_in.js?v=").count();
        assert_eq!(scripts, own, "{name}: {page}");
        assert_eq!(own, usize::from(name == "sign_in"), "{name}");
        assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}");
        assert_eq!(page.matches("<main>").count(), 1, "{name}");
        assert_eq!(page.matches("<h1>").count(), 1, "{name}");
    }
    for (name, answer) in pages(QUOTES) {
        let page = text(answer).await;
        assert!(!page.contains("onmouseover=\""), "{name}: {page}");
    }
}

#[tokio::test]
async fn no_text_turns_the_direction_of_writing() {
    for (name, answer) in pages(TURNED) {
        let page = text(answer).await;
        // A hidden field gives back what it was given; nothing of it is shown.
        let visible: String = page
            .split(" value=\"")
            .enumerate()
            .filter_map(|(place, part)| {
                if place == 0 { Some(part) } else { part.split_once('"').map(|(_, rest)| rest) }
            })
            .collect();
        assert!(!visible.contains(['\u{202e}', '\u{2066}', '\u{0}', '\r']), "{name}");
    }
}

#[tokio::test]
async fn no_text_floods_the_page() {
    let long = "x".repeat(10_000);
    for (name, answer) in pages(&long) {
        let page = text(answer).await;
        // A stylesheet inside a page is no text from outside.
        let page = page.rsplit("</style>").next().unwrap();
        let shown = page.split('<').map(|part| part.rsplit('>').next().unwrap_or_default());
        let longest = shown.map(str::len).max().unwrap();
        assert!(longest < 600, "{name}: {longest}");
    }
}

#[test]
fn every_page_is_under_the_strict_policy() {
    for (name, answer) in pages("plain") {
        let value = |name| answer.headers().get(name).unwrap().to_str().unwrap();
        let policy = value(header::CONTENT_SECURITY_POLICY);
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{name}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{name}: {policy}");
        assert_eq!(policy.contains("script-src 'self'"), name == "sign_in", "{name}: {policy}");
        assert_eq!(value(header::CACHE_CONTROL), "no-store", "{name}");
        assert_eq!(value(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{name}");
        assert_eq!(value(header::REFERRER_POLICY), "same-origin", "{name}");
        assert_eq!(value(header::HeaderName::from_static("x-request-id")), "req-1", "{name}");
        let ends_at_the_provider = name.starts_with("refused")
            || matches!(name, "sign_out_confirm" | "portal" | "portal, empty");
        assert_eq!(policy.contains("https://id.example"), ends_at_the_provider, "{name}");
    }
}

#[tokio::test]
async fn the_refusal_page_says_who_what_and_why() {
    let page = Refused {
        who: "Bob".to_owned(),
        title: "JupyterHub".to_owned(),
        route: "jupyter".to_owned(),
        needs: vec![
            "needs the role admin and needs the group /lab".to_owned(),
            "needs x".to_owned(),
        ],
        only_programs: false,
        return_to: "/jupyter/hub?next=a&b".to_owned(),
    };
    let page = text(page.into_response(&context(), StatusCode::FORBIDDEN)).await;
    for part in ["Bob", "JupyterHub", "the role admin and the group /lab", "req-1", "jupyter"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(page.contains("/oauth2/sign_out?rd=/jupyter/hub%3Fnext%3Da%26b"), "{page}");
}

#[tokio::test]
async fn with_the_form_token_switching_account_is_one_step() {
    let context = context().with_sign_out_token(Some("sealed\"token".to_owned()));
    let page = Refused {
        who: "Bob".to_owned(),
        title: "JupyterHub".to_owned(),
        route: "jupyter".to_owned(),
        needs: Vec::new(),
        only_programs: true,
        return_to: "/jupyter/hub?a=\"&b".to_owned(),
    };
    let page = text(page.into_response(&context, StatusCode::FORBIDDEN)).await;
    assert!(page.contains("Only programs may use this address"), "{page}");
    assert!(page.contains("<form class=\"actions\" method=\"post\" action=\"/oauth2/sign_out\">"));
    assert!(page.contains("name=\"csrf\" value=\"sealed&#34;token\""), "{page}");
    assert!(page.contains("name=\"rd\" value=\"/jupyter/hub?a=&#34;&#38;b\""), "{page}");
}

#[tokio::test]
async fn a_service_links_only_to_a_page() {
    let links = |url: &'static str| async move {
        let service = Service { title: "t".into(), url: url.into(), ..Service::default() };
        let portal = Portal { who: "w".into(), services: vec![service], filter: None, csrf: None };
        text(portal.into_response(&context(), StatusCode::OK)).await.contains("<h3><a href=")
    };
    for good in ["/jupyter/", "https://console.example/", "http://127.0.0.1:8080/x"] {
        assert!(links(good).await, "{good}");
    }
    for bad in ["javascript:alert(1)", "//evil.test", "/\\evil.test", "data:x", "", "/\t/evil"] {
        assert!(!links(bad).await, "{bad}");
    }
}

#[tokio::test]
async fn the_page_under_a_foreign_host_brings_its_style() {
    let page = ErrorPage { title: "t".into(), sentence: "s".into(), advice: None, retry: false };
    let answer = page.into_response(&context(), StatusCode::MISDIRECTED_REQUEST);
    let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    let page = text(answer).await;
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, style.as_bytes());
    use base64::Engine as _;
    let digest = base64::engine::general_purpose::STANDARD.encode(digest);
    assert!(policy.contains(&format!("'sha256-{digest}'")), "{policy}");
    assert!(!page.contains("/oauth2/"), "no URL of ours leads anywhere there: {page}");
}

#[test]
fn bounded_text_says_that_it_was_cut() {
    assert_eq!(shown("four", 4), "four");
    assert_eq!(shown("fives", 4), "fiv…");
    assert_eq!(shown("a\r\nb\u{202e}c", 10), "a  bc");
}

#[tokio::test]
async fn the_portal_filters_by_title_group_and_address() {
    let service = |title: &str, address: &str, group: Option<&str>| Service {
        title: title.to_owned(),
        address: address.to_owned(),
        url: "/x/".to_owned(),
        group: group.map(str::to_owned),
        icon: Some(crate::config::Icon::Chart),
        ..Service::default()
    };
    let services = vec![
        service("Churn", "models.example/churn", Some("Models")),
        service("Airflow", "jobs.example", None),
    ];
    let page = async |filter: Option<&str>| {
        let filter = filter.map(str::to_owned);
        let portal = Portal { who: "w".into(), services: services.clone(), filter, csrf: None };
        text(portal.into_response(&context(), StatusCode::OK)).await
    };
    let all = page(None).await;
    assert!(all.contains("Churn") && all.contains("Airflow") && !all.contains("type=\"search\""));
    assert!(all.contains("<h2><bdi>Models</bdi></h2>") && all.contains("<svg"), "{all}");
    for filter in ["churn", " MODELS ", "models.example"] {
        let page = page(Some(filter)).await;
        assert!(page.contains("Churn") && !page.contains("Airflow"), "{filter}: {page}");
    }
    let none = page(Some("\"><script>")).await;
    assert!(none.contains("No service matches") && !none.contains("<script"), "{none}");
    let many = Portal {
        who: "w".into(),
        services: (0..9).map(|number| service(&format!("s{number}"), "a", None)).collect(),
        filter: None,
        csrf: None,
    };
    let many = text(many.into_response(&context(), StatusCode::OK)).await;
    assert!(many.contains("type=\"search\" name=\"q\" value=\"\""), "{many}");
}
