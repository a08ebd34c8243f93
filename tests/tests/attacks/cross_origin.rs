//! Cross-origin requests: preflights are answered here, and only named pages may read an answer, a refusal included.

use anyhow::Result;
use dev_issuer::Mint;
use e2e::wire::Answer;

use crate::stage::{Setup, Stage};

const ROUTES: &str = "\
shared:
  match: { path: /shared }
  upstream: UPSTREAM
  cors: { origins: ['https://apps.example', 'http://localhost:3000'], methods: [GET, PUT], headers: [Authorization, X-Own], expose: ETag, credentials: true }
  access: [{ path: /shared/open/**, allow: anyone }, { path: /shared/admin, allow: { roles: [admin] } }, { allow: signed_in }]
any:
  match: { path: /any }
  upstream: UPSTREAM
  cors: { origins: '*' }
  access: [{ allow: signed_in }]
dead:
  match: { path: /dead }
  upstream: http://127.0.0.1:1
  cors: { origins: 'https://apps.example' }
  access: [{ path: /dead/**, allow: anyone }]
";

const APPS: &str = "https://apps.example";

async fn stage(name: &str) -> Result<Stage> {
    Setup::new(name).with_routes(ROUTES).start().await
}

async fn preflight(stage: &Stage, path: &str, origin: &str) -> Result<Answer> {
    let ask = stage.ask("OPTIONS", path).header("Origin", origin);
    ask.header("Access-Control-Request-Method", "PUT")
        .header("Access-Control-Request-Headers", "authorization, x-own")
        .send()
        .await
}

fn allowed(answer: &Answer) -> Vec<&str> {
    answer.headers("access-control-allow-origin")
}

fn varies_by_origin(answer: &Answer) -> bool {
    answer.headers("vary").iter().any(|line| line.split(',').any(|name| name.trim() == "Origin"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_and_never_forwarded() -> Result<()> {
    let stage = stage("cors-preflight").await?;
    for (path, origin) in [("/shared/a", APPS), ("/shared/admin", "http://localhost:3000")] {
        let answer = preflight(&stage, path, origin).await?;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(allowed(&answer), [origin]);
        assert_eq!(answer.headers("access-control-allow-credentials"), ["true"]);
        assert_eq!(answer.headers("access-control-allow-methods"), ["GET, PUT"]);
        assert_eq!(answer.headers("access-control-allow-headers"), ["Authorization, X-Own"]);
        assert_eq!(answer.headers("access-control-max-age"), ["600"]);
        assert!(varies_by_origin(&answer), "{answer:?}");
    }
    for foreign in [
        "https://evil.test",
        "https://apps.example.evil.test",
        "https://apps.example:8443",
        "http://apps.example",
        "https://APPS.example",
        "null",
        "*",
    ] {
        let answer = preflight(&stage, "/shared/a", foreign).await?;
        assert_eq!(answer.status, 403, "{foreign}: {answer:?}");
        assert!(allowed(&answer).is_empty() && varies_by_origin(&answer), "{answer:?}");
    }
    // Without a question, OPTIONS is a request as any other; and a route without `cors` has no preflight.
    let plain = stage.ask("OPTIONS", "/shared/a").header("Origin", APPS).send().await?;
    assert_eq!(plain.status, 401, "{plain:?}");
    let elsewhere = preflight(&stage, "/echo/a", APPS).await?;
    assert_eq!(elsewhere.status, 401, "{elsewhere:?}");
    assert!(allowed(&elsewhere).is_empty());
    // A preflight with the rest of a request in it is still one.
    let sneaky = stage
        .ask("OPTIONS", "/shared/open/a")
        .header("Origin", APPS)
        .header("Access-Control-Request-Method", "")
        .body("x=1")
        .send()
        .await?;
    assert_eq!(sneaky.status, 204, "{sneaky:?}");
    let twice = stage.ask("OPTIONS", "/shared/a").header("Origin", APPS);
    let twice = twice.header("origin", "https://evil.test");
    let twice = twice.header("Access-Control-Request-Method", "PUT").send().await?;
    assert_eq!(twice.status, 400, "{twice:?}");
    assert_eq!(stage.reached(), Vec::<String>::new());
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_errors_can_be_read_by_named_pages() -> Result<()> {
    let stage = stage("cors-refusals").await?;
    let bob = stage.issuer.mint(Mint::access("bob").client("gateway"))?;
    let bad = stage.issuer.mint(Mint::access("bob").wrong_key())?;
    let from = |path: &str, origin: &str| {
        stage.get(path).header("Origin", origin).header("Sec-Fetch-Mode", "cors")
    };
    for (status, ask) in [
        (401, from("/shared/a", APPS)),
        (401, from("/shared/a", APPS).bearer(&bad)),
        (403, from("/shared/admin", APPS).bearer(&bob)),
        (502, from("/dead/a", APPS)),
        (200, from("/shared/a", APPS).bearer(&bob)),
        (200, from("/shared/open/a", APPS)),
    ] {
        let answer = ask.send().await?;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(allowed(&answer), [APPS], "{answer:?}");
        assert!(varies_by_origin(&answer), "{answer:?}");
    }
    for origin in ["https://evil.test", "null"] {
        for ask in [from("/shared/a", origin), from("/shared/a", origin).bearer(&bob)] {
            let answer = ask.send().await?;
            assert!(allowed(&answer).is_empty() && varies_by_origin(&answer), "{answer:?}");
            assert!(answer.headers("access-control-allow-credentials").is_empty());
        }
    }
    // A cache must not give a page the answer to a request without `Origin`.
    let plain = stage.get("/shared/open/a").send().await?;
    assert!(allowed(&plain).is_empty() && varies_by_origin(&plain), "{plain:?}");
    let any = from("/any/a", "https://evil.test").bearer(&bob).send().await?;
    assert_eq!((any.status, allowed(&any)), (200, vec!["*"]));
    assert!(any.headers("access-control-allow-credentials").is_empty());
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_upstream_says_about_origins_is_replaced() -> Result<()> {
    let stage = stage("cors-upstream").await?;
    for (origin, expected) in
        [(Some(APPS), vec![APPS]), (Some("https://evil.test"), vec![]), (None, vec![])]
    {
        let ask = stage.get("/shared/open/lax");
        let ask = origin.into_iter().fold(ask, |ask, origin| ask.header("Origin", origin));
        let answer = ask.send().await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(allowed(&answer), expected, "{answer:?}");
        let known = [
            "access-control-allow-origin",
            "access-control-allow-credentials",
            "access-control-expose-headers",
        ];
        let foreign = answer.fields.iter().map(|(name, _)| name.to_ascii_lowercase());
        let foreign: Vec<String> = foreign
            .filter(|name| name.starts_with("access-control-") && !known.contains(&name.as_str()))
            .collect();
        assert_eq!(foreign, Vec::<String>::new());
    }
    // On other routes the application answers for itself.
    let own = stage.get("/public/lax").header("Origin", "https://evil.test").send().await?;
    assert_eq!(allowed(&own), ["*"]);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_with_the_session_of_its_user() -> Result<()> {
    let stage = stage("cors-session").await?;
    let cookie = stage.sign_in("alice").await?;
    let ask =
        |origin: &str| stage.get("/shared/a").header("Origin", origin).header("Cookie", &cookie);
    let answer = ask(APPS).send().await?;
    assert_eq!((answer.status, allowed(&answer)), (200, vec![APPS]));
    assert_eq!(answer.headers("access-control-allow-credentials"), ["true"]);
    let foreign = ask("https://evil.test").send().await?;
    assert!(allowed(&foreign).is_empty(), "{foreign:?}");
    stage.finish(&[&cookie])
}
