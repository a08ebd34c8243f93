//! The gateway's own answers: no markup of others, no byte of the upstream.

use anyhow::{Result, ensure};
use dev_issuer::{Mint, User};

use crate::{
    browser::{Browser, callback},
    login_flow::parameter,
    stage::{Setup, Stage},
};

#[tokio::test(flavor = "multi_thread")]
async fn foreign_text_is_escaped_on_pages() -> Result<()> {
    const HOSTILE: &str =
        "</bdi></title><img src=x onerror=alert(1)><script>alert(1)</script>\"'>{{7*7}}";
    let stage = Setup::new("attack-login-pages")
        .with_issuer(|issuer| {
            issuer.user(
                User::new("mallory", "mallory")
                    .name(HOSTILE)
                    .email("\"><svg onload=alert(1)>@evil.test"),
            )
        })
        .start()
        .await?;
    let browser = Browser::new(&stage);
    let state = parameter(&callback(&stage, &browser.begin("/echo").await?, "alice")?, "state")?;
    let iss = stage.issuer.url();
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("error", HOSTILE),
            ("error_description", HOSTILE),
            ("error_uri", "javascript:alert(1)"),
            ("state", &state),
            ("iss", iss),
        ])
        .finish();
    let error = browser.open(&format!("/oauth2/callback?{query}")).await?;
    let mallory = Browser::signed_in(&stage, "mallory").await?;
    let encoded: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    let pages = [
        ("callback", error),
        (
            "callback without a login",
            Browser::new(&stage)
                .open(&format!("/oauth2/callback?error={encoded}&state={encoded}"))
                .await?,
        ),
        ("portal", mallory.open("/oauth2/portal").await?),
        ("sign out", mallory.open(&format!("/oauth2/sign_out?rd=/{encoded}")).await?),
        ("refused", mallory.open(&format!("/admin/{encoded}?{encoded}")).await?),
        ("sign in", Browser::new(&stage).open(&format!("/oauth2/sign_in?rd=/{encoded}")).await?),
        (
            "signed out",
            Browser::new(&stage).open(&format!("/oauth2/signed_out?state=/{encoded}")).await?,
        ),
        ("no such page", mallory.open(&format!("/oauth2/{encoded}")).await?),
        (
            "unknown issuer",
            Browser::new(&stage).open(&format!("/oauth2/start?issuer={encoded}")).await?,
        ),
    ];
    for (name, page) in pages {
        ensure!(page.header("content-type").starts_with("text/html"), "{name}: {page:?}");
        // The gateway's own script, which only the sign-in page has.
        let body = page.body.replace("<script src=\"/oauth2/sign_in.js?v=", "");
        for mark in ["<img", "<script", "<svg onload", "javascript:", "onerror=alert(1)>"] {
            ensure!(!body.contains(mark), "{name} holds {mark}: {}", page.body);
        }
        let policy = page.header("content-security-policy");
        for directive in ["default-src 'none'", "frame-ancestors 'none'"] {
            ensure!(policy.contains(directive), "{name}: {policy:?}");
        }
        ensure!(
            !policy.contains("unsafe-inline") && !policy.contains("unsafe-eval"),
            "{name}: {policy}"
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{name}");
        // A page that also sets a cookie is private too.
        let kept =
            if page.headers("set-cookie").is_empty() { "no-store" } else { "private, no-store" };
        assert_eq!(page.header("cache-control"), kept, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_gets_no_byte_of_the_upstream() -> Result<()> {
    let stage = Stage::new("attack-refused").await?;
    let bob = Browser::signed_in(&stage, "bob").await?;
    let expired = stage.issuer.mint(Mint::access("alice").expired())?;
    let token = stage.issuer.mint(Mint::access("bob"))?;
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"] {
        let asking = [
            stage.ask(method, "/admin/secret"),
            stage.ask(method, "/admin/secret").navigating(),
            stage.ask(method, "/admin/secret").header("Cookie", bob.cookie()),
            stage.ask(method, "/admin/secret").bearer(&token),
            stage.ask(method, "/admin/secret").bearer(&expired),
            stage
                .ask(method, "/echo")
                .header("Origin", "https://evil.test")
                .header("Access-Control-Request-Method", "GET"),
            stage.ask(method, "/nowhere"),
        ];
        for (number, asking) in asking.into_iter().enumerate() {
            let asking = if matches!(method, "POST" | "PUT" | "PATCH") {
                asking.body("x=1")
            } else {
                asking
            };
            let answer = asking.send().await?;
            ensure!(
                matches!(answer.status, 302 | 401 | 403 | 404),
                "{method} {number}: {answer:?}"
            );
            ensure!(!answer.body.contains("\"target\""), "{method} {number}: {answer:?}");
            ensure!(
                answer.status != 302 || answer.body.is_empty(),
                "{method} {number}: {answer:?}"
            );
        }
    }
    assert_eq!(stage.reached(), Vec::<String>::new());
    let alice = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(alice.open("/admin/secret").await?.status, 200);
    Ok(())
}
