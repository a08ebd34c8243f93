//! Paths: the judged path is the one that the upstream serves, however it reads paths.
//!
//! All requests are without credentials. Every plausible server must read a path that passes as one below the public
//! place: a server that decodes once or twice, before or after it resolves dots, with `;` parameters, `\` as `/` and `//` as `/`.

#[path = "paths/ways_out.rs"]
pub(crate) mod ways_out;

use anyhow::Result;

use self::ways_out::{WAYS_OUT, below, readings, spelled};
use crate::stage::{Setup, Stage};

async fn ask(stage: &Stage, target: &str) -> Result<u16> {
    let head = format!("GET {target} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n");
    Ok(stage.raw(head).await?.status())
}

/// Tries every way out of `<within>/public` to `<within>/<secret>`; the upstream sees `within` as `seen_within`.
async fn no_way_out(stage: &Stage, within: &str, secret: &str, seen_within: &str) -> Result<()> {
    let public = format!("{seen_within}/public");
    for way in WAYS_OUT {
        let target = spelled(way, within, secret);
        let before = stage.upstream.requests().len();
        let status = ask(stage, &target).await?;
        let reached = stage.reached().split_off(before);
        if status != 200 {
            assert!(matches!(status, 400 | 401 | 403 | 404 | 421), "{target:?}: {status}");
            assert!(reached.is_empty(), "{target:?}: {status}, and yet upstream: {reached:?}");
            continue;
        }
        assert_eq!(reached.len(), 1, "{target:?}: {reached:?}");
        for reading in readings(&reached[0]) {
            assert!(below(&reading, &public), "{target:?} may be read as {reading:?}");
        }
    }
    let before = stage.upstream.requests().len();
    let target = format!("{within}/{secret}");
    assert_eq!(ask(stage, &target).await?, 401, "{target}");
    assert_eq!(stage.upstream.requests().len(), before);
    Ok(())
}

/// Targets that must pass, each with the target that reaches the upstream.
async fn neighbours_pass(stage: &Stage, neighbours: &[(&str, &str)]) -> Result<()> {
    for (target, seen) in neighbours {
        assert_eq!(ask(stage, target).await?, 200, "{target:?}");
        assert_eq!(stage.reached().last().map(String::as_str), Some(*seen), "{target:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_leads_from_one_route_into_another() -> Result<()> {
    let stage = Stage::new("attack-paths-routes").await?;
    no_way_out(&stage, "", "admin", "").await?;
    neighbours_pass(
        &stage,
        &[
            ("/public/a", "/public/a"),
            ("/public", "/public"),
            ("/public/", "/public/"),
            ("/public/a%20b", "/public/a%20b"),
            ("/public/caf%c3%a9", "/public/caf%C3%A9"),
            ("/public/%7Euser", "/public/~user"),
            ("/public/..a/.b/c..", "/public/..a/.b/c.."),
            ("/public/a;v=1", "/public/a;v=1"),
            ("/public/100%25", "/public/100%25"),
            ("/public/@u/(x)/a+b=c,d!", "/public/@u/(x)/a+b=c,d!"),
            (
                "/public/%EF%BC%8E%EF%BC%8E%EF%BC%8Fadmin",
                "/public/%EF%BC%8E%EF%BC%8E%EF%BC%8Fadmin",
            ),
            ("/public/x?next=/../admin&y=%2e%2e%2f", "/public/x?next=/../admin&y=%2e%2e%2f"),
            ("/public?/../admin", "/public?/../admin"),
        ],
    )
    .await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_leads_from_one_rule_to_another() -> Result<()> {
    let stage = Stage::new("attack-paths-rules").await?;
    no_way_out(&stage, "/app", "secret", "/app").await?;
    for other_case in ["/app/PUBLIC/a", "/app/Public/a", "/app/publi%43/a"] {
        assert_eq!(ask(&stage, other_case).await?, 401, "{other_case}");
    }
    for other_case in ["/APP/public/a", "/Public/a", "/ADMIN"] {
        assert_eq!(ask(&stage, other_case).await?, 404, "{other_case}");
    }
    neighbours_pass(
        &stage,
        &[("/app/%70ublic/a", "/app/public/a"), ("/%61pp/public", "/app/public")],
    )
    .await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_keeps_odd_paths_stays_closed() -> Result<()> {
    let stage = Stage::new("attack-paths-kept").await?;
    no_way_out(&stage, "/jupyter", "secret", "/jupyter").await?;
    neighbours_pass(
        &stage,
        &[
            ("/jupyter/public/dir%2Ffile.ipynb", "/jupyter/public/dir%2Ffile.ipynb"),
            ("/jupyter/public/dir%2ffile.ipynb", "/jupyter/public/dir%2Ffile.ipynb"),
            ("/jupyter/public//api/kernels", "/jupyter/public//api/kernels"),
            ("/jupyter/public/a%5Cb", "/jupyter/public/a%5Cb"),
        ],
    )
    .await?;
    // The same forms on routes that do not keep them.
    for refused in ["/public/dir%2Ffile", "/public//x", "/app/public/a%5Cb"] {
        assert_eq!(ask(&stage, refused).await?, 400, "{refused}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stripped_prefix_opens_nothing() -> Result<()> {
    const STRIPPED: &str = "\
stripped:
  match: { path: /api }
  upstream: UPSTREAM
  rewrite: { strip_prefix: /api }
  paths: { double_slash: keep }
  access:
    - { path: /api/public/**, allow: anyone }
    - { allow: { roles: [admin] } }
";
    let stage = Setup::new("attack-paths-prefix").with_routes(STRIPPED).start().await?;
    no_way_out(&stage, "/api", "secret", "").await?;
    for (target, status) in [
        ("/api%2e/secret", 404),
        ("/api.", 404),
        ("/apisecret", 404),
        ("/api;/public/a", 404),
        ("/api%2fpublic/a", 404),
        ("/api//elsewhere.test/public/a", 401),
    ] {
        assert_eq!(ask(&stage, target).await?, status, "{target}");
    }
    // Some servers read a path that begins with `//` once the prefix is off as an authority, also for a caller with access.
    let cookie = stage.sign_in("alice").await?;
    let before = stage.upstream.requests().len();
    let answer = stage.get("/api//elsewhere.test/x").header("Cookie", &cookie).send().await?;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(stage.upstream.requests().len(), before);
    neighbours_pass(&stage, &[("/api/public/a", "/public/a"), ("/api/public//a", "/public//a")])
        .await?;
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_section_of_an_open_route_cannot_be_spelled_open() -> Result<()> {
    const WIKI: &str = "\
wiki:
  match: { path: /wiki }
  upstream: UPSTREAM
  paths: { encoded_slash: keep, double_slash: keep }
  access:
    - { path: /wiki/admin/**, allow: { roles: [admin] } }
    - { allow: anyone }
";
    let stage = Setup::new("attack-paths-section").with_routes(WIKI).start().await?;
    for target in [
        "/wiki/admin",
        "/wiki/admin/",
        "/wiki/admin/x",
        "/wiki/%61dmin/x",
        "/wiki/admi%6E",
        "/wiki/adm%2569n/x",
        "/wiki/adm%69n;/x",
        "/wiki//admin/x",
        "/wiki/;/admin/x",
        "/wiki;/admin/x",
        "/wiki;x=y/admin/x",
        "/wiki/admin;x=y",
        "/wiki/admin;x=y/z",
        "/wiki/admin%3Bx/z",
        "/wiki/admin%253Bx/z",
        "/wiki/admin%2Fx",
        "/wiki/admin%5Cx",
        "/wiki%2Fadmin",
        "/wiki%5Cadmin",
        "/wiki/%2Fadmin",
        "/wiki/x/../admin",
        "/wiki/x%2F..%2Fadmin",
        "/wiki/admin/..%2Fadmin/x",
        "/wiki/admin%00",
        "/wiki/admin%00.html",
        "/wiki/admin?x",
        "/wiki/admin#x",
        "/wiki//%2F/;a/%61dmin",
    ] {
        let before = stage.upstream.requests().len();
        let status = ask(&stage, target).await?;
        assert!(matches!(status, 400 | 401 | 404), "{target}: {status}");
        assert_eq!(stage.upstream.requests().len(), before, "{target}");
    }
    neighbours_pass(
        &stage,
        &[
            ("/wiki/administrator", "/wiki/administrator"),
            ("/wiki/a%2Fdmin", "/wiki/a%2Fdmin"),
            ("/wiki/x?p=/wiki/admin", "/wiki/x?p=/wiki/admin"),
            ("/wiki//page;v=2", "/wiki//page;v=2"),
        ],
    )
    .await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_rule_looks_at_nothing_but_the_path() -> Result<()> {
    let stage = Stage::new("attack-paths-rule").await?;
    for (target, status) in [
        ("/app/private/data?path=/app/x/status", 401),
        ("/app/private/data?/status", 401),
        ("/app/x#/status", 400),
        ("/app/private/data#/app/x/status", 400),
        ("/app/private/data%23/status", 401),
        ("/app/private/data%3f/status", 401),
        ("/app/private/data%0a/status", 400),
        ("/app/x/status%0a", 400),
        ("/app/x/status%0d", 400),
        ("/app/x/status%00", 400),
        ("/app/x/status/more", 401),
        ("/app/x/y/status", 401),
        ("/app//status", 400),
        ("/app/status", 401),
        ("/app/x/status;/more", 401),
        ("/app/x;/y/status", 401),
        ("/app/x%2fy/status", 400),
        ("/app/x/Status", 401),
        ("/prefix/app/x/status", 404),
    ] {
        assert_eq!(ask(&stage, target).await?, status, "{target}");
        assert!(stage.reached().is_empty(), "{target}: {:?}", stage.reached());
    }
    // A rule for GET is for HEAD too, and for no other.
    for method in ["POST", "DELETE", "OPTIONS", "get", "Get", "head", "GETS", "PROPFIND"] {
        let head =
            format!("{method} /app/x/status HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n");
        let status = stage.raw(head).await?.status();
        assert!(matches!(status, 400 | 401 | 501), "{method}: {status}");
        assert!(stage.reached().is_empty(), "{method}: {:?}", stage.reached());
    }
    neighbours_pass(
        &stage,
        &[
            ("/app/x/status", "/app/x/status"),
            ("/app/x/status/", "/app/x/status/"),
            ("/app/x/status?verbose=1", "/app/x/status?verbose=1"),
        ],
    )
    .await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_urls_cannot_be_spelled_otherwise() -> Result<()> {
    const EVERYTHING: &str = "\
everything:
  match: { path: / }
  upstream: UPSTREAM
  access: [{ path: /open/**, allow: anyone }, { allow: { roles: [admin] } }]
";
    let stage = Setup::new("attack-paths-own").with_routes(EVERYTHING).start().await?;
    for (target, status) in [
        ("/oauth2/userinfo", 401),
        ("/oauth2/%75serinfo", 401),
        ("/%6fauth2/userinfo", 401),
        ("/oauth2/userinfo/", 404),
        ("/oauth2//userinfo", 404),
        ("/oauth2/x/userinfo", 404),
        ("/oauth2/userinfo;x", 404),
        ("/oauth2/open%2Fa", 404),
        ("/oauth2/../open/a", 400),
        ("/oauth2/..%2fopen/a", 400),
        ("/oauth2/%2e%2e/open/a", 400),
        ("/open/../oauth2/userinfo", 400),
        ("/oauth2", 401),
        ("/oauth2x/open", 401),
        ("/OAUTH2/userinfo", 401),
        ("/oauth2;x/userinfo", 401),
        ("/oauth2%2Fuserinfo", 400),
        ("//oauth2/userinfo", 400),
    ] {
        assert_eq!(ask(&stage, target).await?, status, "{target}");
        assert!(stage.reached().is_empty(), "{target}: {:?}", stage.reached());
    }
    neighbours_pass(
        &stage,
        &[("/open/oauth2/userinfo", "/open/oauth2/userinfo"), ("/open/a", "/open/a")],
    )
    .await?;
    stage.finish(&[])
}

/// `/admin` is closed on a host where anyone may use the rest, in whatever form.
const KEPT: &str = "\
kept:
  match: { host: kept.localhost, path: / }
  upstream: UPSTREAM
  paths: { encoded_slash: keep, double_slash: keep }
  access: [{ path: /admin/**, allow: { roles: [admin] } }, { allow: anyone }]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_judged_in_every_order_of_its_readings() -> Result<()> {
    let stage = Setup::new("attack-paths-orders").with_routes(KEPT).start().await?;
    let ask_kept = async |target: &str| -> Result<u16> {
        let head =
            format!("GET {target} HTTP/1.1\r\nHost: kept.localhost\r\nConnection: close\r\n\r\n");
        Ok(stage.raw(head).await?.status())
    };
    for target in [
        "/;x%2Fadmin/secret",
        "/;x%2fadmin/secret",
        "/;x%5Cadmin/secret",
        "/%3Bx%2Fadmin/secret",
        "/;x%2F%2Fadmin/secret",
        "//;x%2Fadmin/secret",
        "/;%2F;/admin/secret",
        "/;x%2F%2561dmin/secret",
        "/%2561dmin;x%2Fy",
        "/a;b%2F..;c%2Fadmin",
        "/;a%5C;b%2Fadmin",
        "/admin;x%2Fpublic",
        "/admin%3B%2Fpublic",
    ] {
        let status = ask_kept(target).await?;
        assert!(matches!(status, 400 | 401), "{target}: {status}");
        assert!(stage.reached().is_empty(), "{target}: {:?}", stage.reached());
    }
    for target in
        ["/x;y%2Fz/admin", "/files/a%2Fb;v=1", "/a//b;c", "/100%25", "/;x%2Fadministrator"]
    {
        assert_eq!(ask_kept(target).await?, 200, "{target}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delimiter_opens_nothing_in_another_spelling() -> Result<()> {
    let routes = "\
api:
  match: { path: /api }
  upstream: UPSTREAM
  access:
    - { path: /api/@admin/**, allow: { roles: [admin] } }
    - { path: /api/x%40y/**, allow: { roles: [admin] } }
    - { path: \"/api/models:delete\", allow: { roles: [admin] } }
    - { allow: anyone }
fs:
  match: { path: /@fs }
  upstream: UPSTREAM
  access: [{ allow: { roles: [admin] } }]
root:
  match: { path: / }
  upstream: UPSTREAM
  access: [{ allow: anyone }]
";
    let stage = Setup::new("attack-paths-delimiters")
        .with_routes(routes)
        .trusting_proxies()
        .start()
        .await?;
    for closed in [
        "/api/@admin/x",
        "/api/%40admin/x",
        "/api/%2540admin/x",
        "/api/x%40y/z",
        "/api/x@y/z",
        "/api/models:delete",
        "/api/models%3Adelete",
        "/api/models%3adelete",
        "/@fs/etc",
        "/%40fs/etc",
    ] {
        let status = ask(&stage, closed).await?;
        assert!(matches!(status, 400 | 401), "{closed}: {status}");
        let question = stage.get("/oauth2/auth").header("X-Forwarded-Uri", closed).send().await?;
        assert!(matches!(question.status, 401 | 403), "{closed}: {}", question.status);
    }
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    // The forwarded target keeps the client's spelling.
    neighbours_pass(
        &stage,
        &[("/api/user/a%40b", "/api/user/a%40b"), ("/api/user/a@b", "/api/user/a@b")],
    )
    .await?;
    stage.finish(&[])
}
