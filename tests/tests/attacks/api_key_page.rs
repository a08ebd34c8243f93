//! The page on which users make and end their API keys.

use anyhow::{Context as _, Result};

use crate::{
    api_keys::{ROUTES, setup},
    browser::Browser,
    open_streams::reload,
    stage::{Setup, Stage},
    tokens::code_of,
};

/// The token of the forms on the page.
async fn token_of(browser: &Browser<'_>) -> Result<String> {
    let page = browser.open("/oauth2/keys").await?;
    assert_eq!(page.status, 200, "{page:?}");
    e2e::visitor::form_token(&page.body)
}

/// The key on a page.
fn key_on(page: &str) -> Option<String> {
    let start = page.find("<code>dw_")? + 6;
    let rest = &page[start..];
    Some(rest[..rest.find('<')?].to_owned())
}

async fn make(stage: &Stage, browser: &Browser<'_>, label: &str) -> Result<String> {
    let csrf = token_of(browser).await?;
    let form = [("csrf", &*csrf), ("label", label), ("days", "7"), ("route", "index")];
    let answer = browser.post("/oauth2/keys", &stage.origin(), &form).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    key_on(&answer.body).context("no key on the page")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_makes_a_key_sees_it_once_and_ends_it() -> Result<()> {
    let stage = setup("api-key-page").start().await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let key = make(&stage, &alice, "<b>laptop</b>").await?;
    assert_eq!(stage.get("/simple/x").bearer(&key).send().await?.status, 200);
    let page = alice.open("/oauth2/keys").await?;
    assert!(!page.body.contains(&key) && !page.body.contains("<b>laptop"), "{}", page.body);
    assert!(page.body.contains("Package index") && page.body.contains("&#60;b&#62;laptop"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    assert!(alice.open("/oauth2/portal").await?.body.contains("/oauth2/keys"));
    // Bob sees none of hers, and ends none.
    let bob = Browser::signed_in(&stage, "bob").await?;
    let id = key.split('_').nth(1).context("no identifier")?;
    assert!(!bob.open("/oauth2/keys").await?.body.contains(id));
    let csrf = token_of(&bob).await?;
    let end = [("csrf", &*csrf), ("id", id)];
    assert_eq!(bob.post("/oauth2/keys/end", &stage.origin(), &end).await?.status, 404);
    assert_eq!(stage.get("/simple/x").bearer(&key).send().await?.status, 200);
    let csrf = token_of(&alice).await?;
    let end = [("csrf", &*csrf), ("id", id)];
    assert_eq!(alice.post("/oauth2/keys/end", &stage.origin(), &end).await?.status, 303);
    assert_eq!(stage.get("/simple/x").bearer(&key).send().await?.status, 401);
    assert!(alice.open("/oauth2/keys").await?.body.contains("revoked"));
    stage.gateway.finish(&[key])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_site_and_no_other_form_makes_a_key() -> Result<()> {
    let stage = setup("api-key-csrf").start().await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let bob = Browser::signed_in(&stage, "bob").await?;
    let (csrf, bobs) = (token_of(&alice).await?, token_of(&bob).await?);
    let sign_out = alice.open("/oauth2/sign_out").await?;
    let sign_out = e2e::visitor::form_token(&sign_out.body)?;
    let own = stage.origin();
    for (origin, token) in [
        ("https://evil.test", &*csrf),
        ("null", &csrf),
        (&own, ""),
        (&own, "x"),
        (&own, &bobs),
        (&own, &sign_out),
    ] {
        let form = [("csrf", token), ("label", ""), ("days", "7"), ("route", "index")];
        let answer = alice.post("/oauth2/keys", origin, &form).await?;
        assert_eq!(
            (answer.status, &*code_of(&answer)),
            (403, "foreign_origin"),
            "{origin} {token}"
        );
        let answer = alice.post("/oauth2/keys/end", origin, &form).await?;
        assert_eq!(answer.status, 403, "{origin}");
    }
    for (days, route, label) in [
        ("0", "index", ""),
        ("91", "index", ""),
        ("-1", "index", ""),
        ("x", "index", ""),
        ("99999999999", "index", ""),
        ("7", "echo", ""),
        ("7", "nowhere", ""),
        ("7", "index", &*"x".repeat(81)),
        ("7", "index", "a\u{7}b"),
    ] {
        let form = [("csrf", &*csrf), ("label", label), ("days", days), ("route", route)];
        let answer = alice.post("/oauth2/keys", &own, &form).await?;
        assert_eq!(answer.status, 400, "{days} {route} {label}: {answer:?}");
        assert!(key_on(&answer.body).is_none());
    }
    let twice = [("csrf", &*csrf), ("csrf", &csrf), ("days", "7"), ("route", "index")];
    assert_eq!(alice.post("/oauth2/keys", &own, &twice).await?.status, 400);
    let stranger = Browser::new(&stage);
    let form = [("csrf", &*csrf), ("days", "7"), ("route", "index")];
    assert_eq!(stranger.post("/oauth2/keys", &own, &form).await?.status, 401);
    assert_eq!(stranger.open("/oauth2/keys").await?.status, 302);
    let listed = stage.on_admin("GET", "/keys", "").await?.json()?;
    assert_eq!(listed["keys"].as_array().map(Vec::len), Some(0), "{listed}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_decides_where_keys_count() -> Result<()> {
    let stage = setup("api-key-reload").start().await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    let key = make(&stage, &alice, "").await?;
    assert_eq!(stage.get("/simple/x").bearer(&key).send().await?.status, 200);
    reload(&stage, "routes: [index, registry, jobs, ws]", "routes: [registry]").await?;
    let answer = stage.get("/simple/x").bearer(&key).send().await?;
    assert_eq!((answer.status, &*code_of(&answer)), (403, "api_key_other_route"));
    reload(&stage, "api_keys: { max_age: 90d, routes: [registry], suspend_after: 30d }", "")
        .await?;
    assert_eq!(stage.get("/simple/x").bearer(&key).send().await?.status, 401);
    assert_eq!(alice.open("/oauth2/keys").await?.status, 404);
    assert_eq!(stage.on_admin("GET", "/keys", "").await?.status, 409);
    stage.gateway.finish(&[key])
}

#[tokio::test(flavor = "multi_thread")]
async fn without_api_keys_a_key_is_any_other_token() -> Result<()> {
    let stage = Setup::new("api-key-off").with_routes(ROUTES).start().await?;
    let alice = Browser::signed_in(&stage, "alice").await?;
    assert_eq!(alice.open("/oauth2/keys").await?.status, 404);
    assert!(!alice.open("/oauth2/portal").await?.body.contains("/oauth2/keys"));
    let text = format!("dw_aaaaaaaaaaaaaaaa_{}_j6vhtua", "a".repeat(52));
    let answer = stage.get("/simple/x").bearer(&text).send().await?;
    assert_eq!(answer.status, 401, "{answer:?}");
    stage.finish(&[])
}

/// Runs `doorward key` with the configuration of the stage.
fn key_command(stage: &Stage, arguments: &[&str]) -> Result<(bool, String, String)> {
    let config = stage.gateway.config().display().to_string();
    let ran = e2e::gateway::command(&[&["key"], arguments, &["--config", &config]].concat())?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((ran.status.success(), text(ran.stdout), text(ran.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_makes_lists_and_revokes_keys() -> Result<()> {
    let admin =
        |plan: e2e::gateway::Plan| plan.with_admin("0.0.0.0", Some("the-admin-token-of-keys-0a1b"));
    let stage = setup("api-key-command").with_plan(admin).start().await?;
    stage.sign_in("alice").await?;
    let create = ["create", "--for", "alice", "--route", "index", "--expires", "90d"];
    let (good, key, said) = key_command(&stage, &create)?;
    assert!(good, "{said}");
    let key = key.trim().to_owned();
    assert!(key.starts_with("dw_") && !said.contains(&key), "the key alone is on standard output");
    assert_eq!(stage.get("/simple/x").bearer(&key).send().await?.status, 200);
    let client = ["create", "--client", "ci", "--route", "jobs", "--expires", "1h", "--json"];
    let (good, made, said) = key_command(&stage, &client)?;
    assert!(good, "{said}");
    let made: serde_json::Value = serde_json::from_str(&made)?;
    let text = |name: &str| made[name].as_str().map(str::to_owned).context("a member is missing");
    let (cis, id) = (text("key")?, text("id")?);
    let (good, list, said) = key_command(&stage, &["list"])?;
    assert!(
        good && list.contains(&id) && list.contains("Alice") && list.contains("active"),
        "{list}{said}"
    );
    assert!(!list.contains(&key) && !list.contains(&cis));
    for (arguments, words) in [
        (&["create", "--for", "carol", "--route", "index", "--expires", "1d"][..], "sign in once"),
        (&["create", "--for", "alice", "--route", "echo", "--expires", "1d"], "takes no API keys"),
        (&["create", "--for", "alice", "--route", "index", "--expires", "91d"], "invalid expiry"),
        (&["create", "--route", "index", "--expires", "1d"], "--for"),
        (&["create", "--for", "alice", "--expires", "1d"], "--route"),
        (&["revoke"], "required"),
        (&["revoke", "../sessions"], "invalid ID"),
        (&["revoke", "aaaaaaaaaaaaaaaa"], "unknown key"),
    ] {
        let (good, out, said) = key_command(&stage, arguments)?;
        assert!(!good && said.contains(words), "{arguments:?}: {out}{said}");
    }
    let (good, out, said) = key_command(&stage, &["revoke", &id])?;
    assert!(good && out.contains(&id), "{out}{said}");
    let (good, out, said) = key_command(&stage, &["revoke", "--for", "alice"])?;
    assert!(good && out.starts_with("revoked "), "{out}{said}");
    assert_eq!(stage.get("/simple/x").bearer(&key).send().await?.status, 401);
    assert_eq!(stage.get("/jobs/x").bearer(&cis).send().await?.status, 401);
    stage.gateway.finish(&[key, cis])
}
