//! Escapes of escapes in a path: kept where a route says so, and judged in every reading.

use anyhow::Result;

use crate::{
    browser::Browser,
    stage::{Setup, Stage},
};

/// `/harbor` keeps double encoding; below `/harbor/open` anyone may read, `/harbor/secret` needs the role `admin`.
const ROUTES: &str = "\
harbor:
  match: { path: /harbor }
  upstream: UPSTREAM
  paths: { double_encoded: keep }
  access:
    - { path: /harbor/open/**, allow: anyone }
    - { path: /harbor/secret/**, allow: { roles: [admin] } }
    - { allow: signed_in }
both:
  match: { path: /both }
  upstream: UPSTREAM
  paths: { double_encoded: keep, encoded_slash: keep }
  access: [{ allow: anyone }]
";

async fn stage(name: &str) -> Result<Stage> {
    Setup::new(name).with_routes(ROUTES).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_keep_doubly_encoded_paths() -> Result<()> {
    let stage = stage("double-encoded-kept").await?;
    let bob = Browser::signed_in(&stage, "bob").await?;
    for path in [
        "/harbor/api/repositories/a%252Fb/artifacts",
        "/harbor/api/repositories/a%252fb",
        "/harbor/x/a%252Eb",
        "/harbor/x/a%253Bb",
        "/harbor/x/100%25",
        "/both/a%252Fb/c%2Fd",
    ] {
        let answer = bob.open(path).await?;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let sent = stage.reached().pop().unwrap_or_default();
        assert_eq!(sent.to_lowercase(), path.to_lowercase(), "it is sent on as it came");
    }
    // Elsewhere it stays refused.
    for path in ["/public/a%252Fb", "/echo/a%252Fb", "/jupyter/public/a%252Fb", "/public/%252561"] {
        assert_eq!(bob.open(path).await?.status, 400, "{path}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reading_of_a_doubly_encoded_path_is_judged() -> Result<()> {
    let stage = stage("double-encoded-judged").await?;
    let before = stage.reached().len();
    let bob = Browser::signed_in(&stage, "bob").await?;
    for path in [
        // Decoded twice, another rule or another route would decide.
        "/harbor/open%252F..%252Fsecret/x",
        "/harbor/open/%252e%252e/secret/x",
        "/harbor/open/%252E%252E%252Fsecret/x",
        "/harbor/%252Fsecret/x",
        "/harbor/secret%252Fx",
        "/harbor/secret%252f..%252fopen/x",
        "/harbor/sec%2572et/x",
        "/harbor/secret%253Bx/y",
        "/harbor/secret/x%253Fy",
        "/harbor/open/%252e./secret/x",
        "/harbor/.%252e/admin",
        "/harbor/%252e%252e/admin/x",
        "/harbor/%252F..%252F..%252Fadmin",
        "/harbor%252F..%252Fadmin/x",
        "/harbor/x%255C..%255Csecret/y",
        "/harbor/open/x%2523/../secret",
        // Control characters and a third level are refused whatever a route keeps.
        "/harbor/open/a%250d%250aSet-Cookie:x",
        "/harbor/open/a%2500",
        "/harbor/open/a%25252Fb",
        "/harbor/open/a%2525",
    ] {
        let answer = bob.open(path).await?;
        assert!(matches!(answer.status, 400 | 403 | 404), "{path}: {answer:?}");
    }
    let reached = stage.reached();
    assert_eq!(reached.len(), before, "{reached:?}");
    stage.finish(&[])
}
