//! Requests that a proxy in front holds while the gateway signs the user in: the address asked about counts, and only from a
//! trusted proxy.

use anyhow::{Result, ensure};

use crate::{
    browser::{Browser, callback},
    stage::{Asking, Setup, Stage},
};

const NAVIGATION: [(&str, &str); 2] = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate")];

async fn stage(name: &str) -> Result<Stage> {
    let routes = "challenged:\n  match: { path: /challenged }\n  sign_in: challenge\n  access: [{ allow: signed_in }]\n";
    Setup::new(name).with_routes(routes).trusting_proxies().start().await
}

fn with<'s>(asking: Asking<'s>, fields: &[(&str, &str)]) -> Asking<'s> {
    fields.iter().fold(asking, |asking, (name, value)| asking.header(name, value))
}

/// The address that a login leads to which began at this URL with these fields.
async fn leads_to(stage: &Stage, target: &str, fields: &[(&str, &str)]) -> Result<String> {
    let browser = Browser::new(stage);
    let began = browser.send(with(stage.get(target).navigating(), fields)).await?;
    ensure!(began.status == 302, "{fields:?}: {began:?}");
    let back = browser.open(&callback(stage, &began.location()?, "alice")?).await?;
    Ok(back.header("location").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn start_returns_to_the_request_that_a_proxy_holds() -> Result<()> {
    let stage = stage("held-start").await?;
    let origin = stage.origin();
    let whole = format!("{origin}/echo/a%20b?q=a+b&rd=//evil.test");
    for fields in [
        &[("X-Forwarded-Uri", "/echo/a%20b?q=a+b&rd=//evil.test")][..],
        &[("X-Original-URL", whole.as_str())],
        &[("X-Original-URI", "/echo/a%20b?q=a+b&rd=//evil.test"), ("X-Forwarded-Method", "GET")],
    ] {
        let lands = leads_to(&stage, "/oauth2/start", fields).await?;
        assert_eq!(lands, "/echo/a%20b?q=a+b&rd=//evil.test", "{fields:?}");
    }
    // `rd` wins; a question about nothing, about the gateway itself, or about another host leads home.
    for (target, fields, lands) in [
        ("/oauth2/start?rd=/a", &[("X-Forwarded-Uri", "/echo/b")][..], "/a"),
        ("/oauth2/start", &[], "/"),
        ("/oauth2/start", &[("X-Forwarded-Uri", "/oauth2/sign_out")], "/"),
        ("/oauth2/start", &[("X-Forwarded-Uri", "/oauth2/start?rd=/b")], "/"),
        ("/oauth2/start", &[("X-Original-URL", "http://evil.test/echo")], "/"),
        ("/oauth2/start", &[("X-Forwarded-Uri", "/echo"), ("X-Original-URI", "/public/b")], "/"),
    ] {
        assert_eq!(leads_to(&stage, target, fields).await?, lands, "{target} {fields:?}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_peer_names_no_request() -> Result<()> {
    let stage = Stage::new("held-untrusted").await?;
    let fields = [("X-Forwarded-Uri", "/echo/b"), ("X-Original-URL", "/echo/b")];
    assert_eq!(leads_to(&stage, "/oauth2/start", &fields).await?, "/");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_program_or_form_is_not_redirected() -> Result<()> {
    let stage = stage("held-programs").await?;
    let uri = ("X-Forwarded-Uri", "/echo/b?c=d");
    let held =
        async |target: &str, fields: &[(&str, &str)]| with(stage.get(target), fields).send().await;
    for target in ["/oauth2/start", "/oauth2/auth?sign_in=redirect"] {
        for fields in [
            &[uri][..],
            &[uri, ("Accept", "*/*")],
            &[uri, ("Sec-Fetch-Mode", "cors"), ("Accept", "text/html")],
            &[uri, ("Sec-Fetch-Mode", "websocket"), ("Sec-WebSocket-Version", "13")],
            &[uri, ("Content-Type", "application/grpc")],
            &[uri, NAVIGATION[0], NAVIGATION[1], ("X-Forwarded-Method", "POST")],
            &[("X-Forwarded-Uri", "/challenged/x"), NAVIGATION[0], NAVIGATION[1]],
        ] {
            let answer = held(target, fields).await?;
            assert_eq!(answer.status, 401, "{target} {fields:?}: {answer:?}");
            assert_eq!(answer.header("location"), "", "{target} {fields:?}");
            assert!(!answer.header("www-authenticate").is_empty(), "{answer:?}");
        }
        let page =
            held(target, &[("X-Forwarded-Uri", "/challenged/x?a=b"), NAVIGATION[0], NAVIGATION[1]]);
        let page = page.await?.body;
        assert!(page.contains("rd=/challenged/x%3Fa%3Db"), "{target}: {page}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_redirects_only_when_the_proxy_says_so() -> Result<()> {
    let stage = stage("held-question").await?;
    let asked = async |target: &str, uri: &str| {
        with(stage.get(target).navigating(), &[("X-Forwarded-Uri", uri)]).send().await
    };
    let plain = asked("/oauth2/auth", "/echo/a%20b?q=a+b").await?;
    assert_eq!(plain.status, 401, "{plain:?}");
    assert!(plain.body.contains("rd=/echo/a%2520b%3Fq%3Da%2Bb"), "{plain:?}");
    let sent = asked("/oauth2/auth?sign_in=redirect", "/echo/a%20b?q=a+b").await?;
    let start = format!("{}/oauth2/start?rd=/echo/a%2520b%3Fq%3Da%2Bb", stage.origin());
    assert_eq!((sent.status, sent.header("location")), (302, start.as_str()), "{sent:?}");
    for (target, uri, status, real) in [
        ("/oauth2/auth?sign_in=redirect", "/public/a", 202, ""),
        ("/oauth2/auth?sign_in=redirect", "/nowhere", 403, "404"),
        ("/oauth2/auth?sign_in=redirect", "/app//b", 403, "400"),
        ("/oauth2/auth?sign_in=redirect", "/oauth2/auth", 403, ""),
        ("/oauth2/auth?sign_in=redirect", "//evil.test/x", 403, "404"),
        ("/oauth2/auth?sign_in=always", "/echo", 403, ""),
        ("/oauth2/auth?sign_in=redirect&sign_in=x", "/echo", 403, "400"),
    ] {
        let answer = asked(target, uri).await?;
        assert_eq!(answer.status, status, "{target} {uri}: {answer:?}");
        assert_eq!(answer.header("x-doorward-status"), real, "{target} {uri}: {answer:?}");
    }
    stage.finish(&[])
}
