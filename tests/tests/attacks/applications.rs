//! Fields that an application wants from the gateway: filled from claims, its own credentials, changes to its answers.

use std::time::Duration;

use anyhow::{Result, ensure};
use dev_issuer::{Mint, User};
use e2e::wait;

use crate::{
    open_streams::reload,
    stage::{Setup, Stage},
};

/// `free` has the upstream of `filled`, and so reserves the same names.
const FILLED: &str = "\
filled:
  match: { path: /filled }
  upstream: UPSTREAM
  identity:
    groups: matching
    set:
      X-Grafana-User: '{user_name}'
      X-Team: 'team={claims.team};groups={groups}'
      X-Remote-User: '{subject} at {issuer}'
      X-Mail: '{email}'
  access: [{ path: /filled/open/**, allow: anyone }, { allow: [{ groups: [/lab, /other] }, { roles: [admin] }] }]
free:
  match: { path: /free }
  upstream: UPSTREAM
  access: [{ path: /free/**, allow: anyone }]
";

const NAMES: [&str; 4] = ["x-grafana-user", "x-team", "x-remote-user", "x-mail"];

#[tokio::test(flavor = "multi_thread")]
async fn filled_fields_come_from_the_caller_alone() -> Result<()> {
    let stage = Setup::new("apps-filled")
        .with_issuer(|issuer| {
            issuer.user(User::new("alice", "alice").roles(["admin"]).groups(["/lab", "/secret"]))
        })
        .with_routes(FILLED)
        .start()
        .await?;
    let alice = stage.issuer.mint(Mint::access("alice").claim("team", "a,b\r\nX-Admin: 1"))?;
    let forged = |path: &str| {
        let ask = NAMES.iter().fold(stage.get(path), |ask, name| ask.header(name, "mallory"));
        ask.header("X-GRAFANA-USER", "mallory").header("Connection", "x-grafana-user")
    };
    assert_eq!(forged("/filled/a").bearer(&alice).send().await?.status, 200);
    let seen = stage.upstream.last("/filled/a")?;
    assert_eq!(seen.value("x-grafana-user").as_deref(), Some("alice"));
    // Of the groups, those that a rule of the route names.
    let team = "team=a%2Cb%0D%0AX-Admin: 1;groups=/lab";
    assert_eq!(seen.value("x-team").as_deref(), Some(team));
    assert_eq!(seen.value("x-forwarded-groups").as_deref(), Some("/lab"));
    let remote = seen.value("x-remote-user").unwrap_or_default();
    assert!(remote.ends_with(&format!(" at {}", stage.issuer.url())), "{remote}");
    assert!(seen.values("x-admin").is_empty());

    // What is missing leaves its field out, and the client's stays out too.
    let plain = Mint::access("alice").without("team").claim("email_verified", false);
    let plain = stage.issuer.mint(plain)?;
    assert_eq!(forged("/filled/b").bearer(&plain).send().await?.status, 200);
    let seen = stage.upstream.last("/filled/b")?;
    assert_eq!(seen.value("x-grafana-user").as_deref(), Some("alice"));
    assert!(seen.values("x-team").is_empty() && seen.values("x-mail").is_empty(), "{seen:?}");

    // The caller is anonymous, or another route leads to the same application.
    for path in ["/filled/open/a", "/free/a"] {
        assert_eq!(forged(path).send().await?.status, 200);
        let seen = stage.upstream.last(path)?;
        for name in NAMES {
            assert!(seen.values(name).is_empty(), "{path} {name}: {seen:?}");
        }
        for spelling in ["X_Grafana_User", "x-grafana_user", "X_TEAM"] {
            let answer = stage.get(path).header(spelling, "mallory").send().await?;
            let seen = stage.upstream.last(path)?;
            let text = String::from_utf8_lossy(&seen.head).to_lowercase();
            assert!(!text.contains("mallory"), "{answer:?} {text}");
        }
    }
    // A session fills the same fields.
    let cookie = stage.sign_in("alice").await?;
    assert_eq!(forged("/filled/c").header("Cookie", &cookie).send().await?.status, 200);
    let seen = stage.upstream.last("/filled/c")?;
    assert_eq!(seen.value("x-grafana-user").as_deref(), Some("alice"));
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filled_field_never_comes_as_a_trailer() -> Result<()> {
    let stage = Setup::new("apps-trailers").with_routes(FILLED).start().await?;
    for path in ["/filled/open/a", "/free/a"] {
        let answer = stage
            .raw(format!(
                "POST {path} HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\
                 Trailer: X-Grafana-User, X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Grafana-User: mallory\r\nX-Sum: 1\r\n\r\n"
            ))
            .await?;
        assert_eq!(answer.status(), 200, "{answer:?}");
        let seen = stage.upstream.last(path)?;
        assert_eq!(seen.trailers, ["x-sum: 1"], "{path}");
        assert_eq!(seen.value("trailer").as_deref(), Some("x-sum"));
    }
    stage.finish(&[])
}

const ASKED: &str = "\
asked:
  match: { host: asked.localhost, path: / }
  identity: { headers: false, set: { X-Grafana-User: '{user_name}' } }
  access: [{ allow: signed_in }]
";

#[tokio::test(flavor = "multi_thread")]
async fn forward_auth_answers_with_the_filled_fields() -> Result<()> {
    let stage = Setup::new("apps-asked").with_routes(ASKED).trusting_proxies().start().await?;
    let alice = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let ask = stage.get("/oauth2/auth").header("X-Forwarded-Host", "asked.localhost");
    let answer = ask.header("X-Forwarded-Uri", "/x").bearer(&alice).send().await?;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.headers("x-grafana-user"), ["alice"]);
    assert!(answer.headers("x-forwarded-user").is_empty());
    stage.finish(&[])
}

/// Routes whose application has a login of its own; `FOLDER` is replaced.
const CREDENTIALS: &str = "\
basic:
  match: { path: /basic }
  upstream: UPSTREAM
  identity: { credentials: { basic: { user: svc, password: { file: FOLDER/password } } } }
  access: [{ path: /basic/open/**, allow: anyone }, { allow: signed_in }]
token:
  match: { path: /token }
  upstream: UPSTREAM
  identity: { credentials: { bearer: { file: FOLDER/token } } }
  access: [{ allow: signed_in }]
";

#[tokio::test(flavor = "multi_thread")]
async fn an_application_gets_its_own_credentials() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("password"), "hunter2-of-the-application\n")?;
    std::fs::write(folder.path().join("token"), "token-of-the-application")?;
    let routes = CREDENTIALS.replace("FOLDER", &folder.path().display().to_string());
    let stage = Setup::new("apps-credentials").with_routes(&routes).start().await?;
    let alice = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let password = "Basic c3ZjOmh1bnRlcjItb2YtdGhlLWFwcGxpY2F0aW9u";
    let authorization = |path: &str| anyhow::Ok(stage.upstream.last(path)?.values("authorization"));

    assert_eq!(stage.get("/basic/a").bearer(&alice).send().await?.status, 200);
    assert_eq!(authorization("/basic/a")?, [password]);
    assert_eq!(stage.get("/token/a").bearer(&alice).send().await?.status, 200);
    assert_eq!(authorization("/token/a")?, ["Bearer token-of-the-application"]);
    // A caller's own never arrives.
    for own in ["Basic YWRtaW46YWRtaW4=", "token x", "Negotiate x"] {
        let answer = stage.get("/basic/open/a").header("Authorization", own).send().await?;
        assert_eq!(answer.status, 200, "{own}: {answer:?}");
        assert_eq!(authorization("/basic/open/a")?, [password], "{own}");
    }
    let ask = stage.get("/token/b").header("X-Doorward-Token", &alice);
    assert_eq!(ask.header("Authorization", "Basic YTpi").send().await?.status, 200);
    assert_eq!(authorization("/token/b")?, ["Bearer token-of-the-application"]);
    // They open nothing at the gateway.
    let before = stage.reached().len();
    for own in [password, "Bearer token-of-the-application"] {
        let answer = stage.get("/token/c").header("Authorization", own).send().await?;
        assert_eq!(answer.status, 401, "{own}: {answer:?}");
    }
    assert_eq!(stage.reached().len(), before);

    // A new password is used once the file has it, without a restart.
    std::fs::write(folder.path().join("password"), "another")?;
    wait::until("the new password at the application", Duration::from_secs(30), async || {
        let status = stage.get("/basic/d").bearer(&alice).send().await?.status;
        ensure!(status == 200, "{status}");
        Ok((authorization("/basic/d")? == ["Basic c3ZjOmFub3RoZXI="]).then_some(()))
    })
    .await?;
    let log = serde_json::to_string(&stage.gateway.log_lines()?)?;
    for secret in ["hunter2-of-the-application", "token-of-the-application", "c3ZjOm", "YWRtaW46"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    stage.finish(&[])
}

const ANSWERS: &str = "\
answers:
  match: { path: /answers }
  upstream: UPSTREAM
  headers:
    response:
      set: { X-Frame-Options: DENY, Cache-Control: 'public, max-age=60' }
      remove: [ETag, X-Accel-Expires]
  access: [{ path: /answers/open/**, allow: anyone }, { allow: signed_in }]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_route_changes_the_answers_of_its_upstream() -> Result<()> {
    let stage = Setup::new("apps-answers").with_routes(ANSWERS).start().await?;
    let alice = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let open = stage.get("/answers/open/cacheable").send().await?;
    assert_eq!(open.status, 200, "{open:?}");
    assert_eq!(open.headers("x-frame-options"), ["DENY"]);
    assert_eq!(open.headers("cache-control"), ["public, max-age=60"]);
    assert!(open.headers("etag").is_empty() && open.headers("x-accel-expires").is_empty());
    // What only some callers may have stays out of shared caches, whatever the rules set.
    let closed = stage.get("/answers/cacheable").bearer(&alice).send().await?;
    assert_eq!(closed.headers("cache-control"), ["private, max-age=60"], "{closed:?}");
    // The gateway's own answers are its own.
    let refused = stage.get("/answers/cacheable").send().await?;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.headers("cache-control"), ["no-store"]);
    // Plain http has no use for it, and browsers ignore it there (RFC 6797 §8.1).
    for answer in [&open, &closed, &refused] {
        assert!(answer.headers("strict-transport-security").is_empty(), "{answer:?}");
    }
    stage.finish(&[])
}

const TRANSPORT: &str = "\
plain:
  match: { path: /plain }
  upstream: UPSTREAM
  access: [{ path: /plain/open/**, allow: anyone }, { allow: signed_in }]
shorter:
  match: { host: short.example, path: / }
  upstream: UPSTREAM
  headers: { response: { set: { Strict-Transport-Security: max-age=60 } } }
  access: [{ path: /open/**, allow: anyone }, { allow: signed_in }]
none:
  match: { host: none.example, path: / }
  upstream: UPSTREAM
  headers: { response: { remove: Strict-Transport-Security } }
  access: [{ path: /open/**, allow: anyone }, { allow: signed_in }]
";

async fn transport(stage: &Stage, host: &str, path: &str) -> Result<(u16, Vec<String>)> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = stage.raw(head).await?;
    let first = answer.first()?;
    let values = first.headers("strict-transport-security");
    Ok((first.status, values.into_iter().map(str::to_owned).collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_stay_with_https_unless_a_route_objects() -> Result<()> {
    let stage = Setup::new("apps-transport")
        .with_routes(TRANSPORT)
        .with_plan(|plan| plan.with_public_url("https://platform.example"))
        .start()
        .await?;
    let year = vec!["max-age=31536000".to_owned()];
    let ask = async |host: &str, path: &str| transport(&stage, host, path).await;
    assert_eq!(ask("platform.example", "/plain/open/a").await?, (200, year.clone()));
    assert_eq!(ask("platform.example", "/plain/a").await?, (401, year.clone()));
    assert_eq!(ask("platform.example", "/oauth2/sign_in").await?.1, year);
    assert_eq!(ask("platform.example", "/nowhere").await?, (404, year.clone()));
    let minute = vec!["max-age=60".to_owned()];
    assert_eq!(ask("short.example", "/open/a").await?, (200, minute.clone()));
    assert_eq!(ask("short.example", "/a").await?, (401, minute));
    assert_eq!(ask("none.example", "/open/a").await?, (200, Vec::new()));
    assert_eq!(ask("none.example", "/a").await?, (401, Vec::new()));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_fills_other_fields() -> Result<()> {
    let stage = Setup::new("apps-reload").with_routes(FILLED).start().await?;
    let alice = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    assert_eq!(stage.get("/filled/a").bearer(&alice).send().await?.status, 200);
    reload(&stage, "X-Grafana-User: '{user_name}'", "X-Webauth: 'u={user_name}'").await?;
    let ask = stage.get("/filled/b").header("X-Grafana-User", "mine").bearer(&alice);
    assert_eq!(ask.send().await?.status, 200);
    let seen = stage.upstream.last("/filled/b")?;
    assert_eq!(seen.value("x-webauth").as_deref(), Some("u=alice"));
    assert_eq!(seen.value("x-grafana-user").as_deref(), Some("mine"), "no longer reserved");
    stage.finish(&[])
}
