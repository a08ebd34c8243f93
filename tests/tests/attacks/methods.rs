//! Methods: one spelling, because servers behind the gateway read others differently.

use anyhow::Result;
use e2e::visitor::plain_client;
use reqwest::{Method, Version};

use crate::stage::{Setup, Stage};

const ROUTES: &str = "\
ordered:
  match: { path: /ordered }
  upstream: UPSTREAM
  access:
    - { methods: [POST], allow: { groups: [root] } }
    - { methods: [GET], path: /ordered/closed, allow: { groups: [root] } }
    - { allow: signed_in }
";

/// Spellings that some server reads as POST or DELETE.
const SPELLINGS: [&str; 7] = ["post", "Post", "pOST", "POSt", "delete", "get", "PATCh"];

async fn stage(name: &str) -> Result<Stage> {
    Setup::new(name).with_routes(ROUTES).trusting_proxies().start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_in_another_case_is_refused() -> Result<()> {
    let stage = stage("attack-method-case").await?;
    let alice = stage.sign_in("alice").await?;
    assert_eq!(stage.post("/ordered/x").header("Cookie", &alice).send().await?.status, 403);
    for method in SPELLINGS {
        for target in ["/ordered/x", "/public/a", "/oauth2/sign_in"] {
            let answer = stage.ask(method, target).header("Cookie", &alice).send().await?;
            assert_eq!(answer.status, 400, "{method} {target}");
        }
    }
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    // The standard's spelling is forwarded, also where no rule names it.
    for method in ["PUT", "PROPFIND", "M-SEARCH", "QUERY"] {
        let answer = stage.ask(method, "/ordered/x").header("Cookie", &alice).send().await?;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(stage.upstream.last("/ordered")?.method(), method);
    }
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_in_another_case_is_refused_over_http_2() -> Result<()> {
    let stage = stage("attack-method-h2").await?;
    let alice = stage.sign_in("alice").await?;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build()?;
    let url = format!("http://{}/ordered/x", stage.host());
    for method in SPELLINGS {
        let method = Method::from_bytes(method.as_bytes())?;
        let answer = client.request(method.clone(), &url).header("cookie", &alice).send().await?;
        assert_eq!(
            (answer.version(), answer.status().as_u16()),
            (Version::HTTP_2, 400),
            "{method}"
        );
    }
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    let put = client.put(&url).header("cookie", &alice).send().await?;
    assert_eq!((put.version(), put.status().as_u16()), (Version::HTTP_2, 200));
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_a_method_in_another_case_is_refused() -> Result<()> {
    let stage = stage("attack-method-question").await?;
    let alice = stage.sign_in("alice").await?;
    for field in ["X-Forwarded-Method", "X-Original-Method"] {
        for method in SPELLINGS.into_iter().chain(["CONNECT", "TRACE", "POST,GET", "PO ST", "*"]) {
            let ask = stage
                .get("/oauth2/auth")
                .header("Cookie", &alice)
                .header("X-Forwarded-Uri", "/ordered/x")
                .header(field, method);
            assert_eq!(ask.send().await?.status, 403, "{field}: {method}");
        }
        for (method, status) in [("PUT", 202), ("POST", 403), ("GET", 202)] {
            let ask = stage
                .get("/oauth2/auth")
                .header("Cookie", &alice)
                .header("X-Forwarded-Uri", "/ordered/x")
                .header(field, method);
            assert_eq!(ask.send().await?.status, status, "{field}: {method}");
        }
    }
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_for_get_decides_about_head_too() -> Result<()> {
    let stage = stage("attack-method-head").await?;
    let alice = stage.sign_in("alice").await?;
    let client = plain_client()?;
    for (method, path, status) in [
        (Method::GET, "/ordered/closed", 403),
        (Method::HEAD, "/ordered/closed", 403),
        (Method::OPTIONS, "/ordered/closed", 200),
        (Method::HEAD, "/ordered/open", 200),
    ] {
        let url = format!("http://{}{path}", stage.host());
        let answer = client.request(method.clone(), &url).header("cookie", &alice).send().await?;
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
        let question = stage
            .get("/oauth2/auth")
            .header("Cookie", &alice)
            .header("X-Forwarded-Uri", path)
            .header("X-Forwarded-Method", method.as_str());
        let expected = if status == 200 { 202 } else { 403 };
        assert_eq!(question.send().await?.status, expected, "{method} {path}");
    }
    stage.finish(&[&alice])
}
