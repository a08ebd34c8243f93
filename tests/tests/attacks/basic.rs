//! HTTP Basic with a token as the password, its challenge, and the token endpoint of container registries.

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dev_issuer::Mint;
use serde_json::Value;

use crate::{
    foreign_tokens::jwt,
    stage::{Setup, Stage},
    tokens::code_of,
};

const ROUTES: &str = "\
index:
  match: { path: /simple }
  upstream: UPSTREAM
  basic: true
  access: [{ path: /simple/open/**, allow: anyone }, { allow: { roles: [admin] } }]
registry:
  match: { path: /v2 }
  upstream: UPSTREAM
  preset: registry
  access: [{ methods: [GET], allow: signed_in }, { allow: { roles: [admin] } }]
";

fn basic(credentials: impl AsRef<[u8]>) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

async fn stage(name: &str) -> Result<Stage> {
    Setup::new(name).with_routes(ROUTES).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_of_basic_is_a_token_where_the_route_says_so() -> Result<()> {
    let stage = stage("basic-password").await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let bobs = stage.issuer.mint(Mint::access("bob").client("gateway"))?;
    for name in ["oauth2", "", "__token__", "bob", "s\u{f6}ren@corp.example", "a b"] {
        let credentials = basic(format!("{name}:{token}"));
        for path in ["/simple/churn/", "/simple/open/x"] {
            let answer = stage.get(path).header("Authorization", &credentials).send().await?;
            assert_eq!(answer.status, 200, "{name} {path}: {answer:?}");
            let seen = stage.upstream.last(path)?;
            assert_eq!(seen.value("x-forwarded-preferred-username").as_deref(), Some("alice"));
            assert!(seen.values("authorization").is_empty(), "{name}");
        }
    }
    let answer = stage.get("/simple/x").header("Authorization", basic(format!("x:{bobs}")));
    assert_eq!(answer.send().await?.status, 403, "bob is known and lacks the role");
    // Bearer counts on the same route, and the two must agree with another credential.
    assert_eq!(stage.get("/simple/x").bearer(&token).send().await?.status, 200);
    let two = stage.get("/simple/x").header("Authorization", basic(format!("x:{token}")));
    let answer = two.header("X-Doorward-Token", &bobs).send().await?;
    assert_eq!((answer.status, &*code_of(&answer)), (400, "credentials_disagree"));
    // On other routes Basic belongs to the application.
    let own = basic(format!("x:{token}"));
    assert_eq!(stage.get("/public/a").header("Authorization", &own).send().await?.status, 200);
    assert_eq!(stage.upstream.last("/public/a")?.value("authorization"), Some(own.clone()));
    assert_eq!(stage.get("/echo/a").header("Authorization", &own).send().await?.status, 401);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_that_holds_no_valid_token_is_refused() -> Result<()> {
    let stage = stage("basic-refused").await?;
    let mint = || Mint::access("alice").client("gateway");
    let good = stage.issuer.mint(mint())?;
    let encoded = STANDARD.encode(format!("x:{good}"));
    let passwords = [
        stage.issuer.mint(mint().expired())?,
        stage.issuer.mint(mint().wrong_key())?,
        stage.issuer.mint(mint().audience(["other"]))?,
        stage.issuer.mint(Mint::id("alice").client("gateway"))?,
        jwt(&format!(r#"{{"iss":"{}","sub":"alice"}}"#, stage.issuer.url())),
        jwt(r#"{"iss":"https://app.example","sub":"svc"}"#),
        "alice".to_owned(),
        String::new(),
        format!("{good}:x"),
        format!(" {good}"),
        format!("{good}\n"),
    ];
    let mut values: Vec<Vec<u8>> =
        passwords.iter().map(|password| basic(format!("x:{password}")).into_bytes()).collect();
    values.extend([
        basic(&good).into_bytes(),
        basic(format!("{good}:")).into_bytes(),
        basic([b"x:\xff".as_slice(), good.as_bytes()].concat()).into_bytes(),
        basic([b"\xff:".as_slice(), good.as_bytes()].concat()).into_bytes(),
        basic([b"\0:".as_slice(), good.as_bytes()].concat()).into_bytes(),
        format!("Basic\t{encoded}").into_bytes(),
        format!("Basic {encoded} {encoded}").into_bytes(),
        format!("Basic {encoded}, Bearer {good}").into_bytes(),
        format!("Basic:{encoded}").into_bytes(),
        [b"\xa0Basic ".as_slice(), encoded.as_bytes()].concat(),
        b"Basic".to_vec(),
        b"Basic ".to_vec(),
        b"Basic !!".to_vec(),
    ]);
    for value in &values {
        let shown = String::from_utf8_lossy(value).into_owned();
        for path in ["/simple/churn/", "/simple/open/x"] {
            let answer = stage.get(path).header("Authorization", value).send().await?;
            assert_eq!(answer.status, 401, "{path} {shown}: {answer:?}");
            assert!(!answer.body.contains(&good), "{shown}");
        }
    }
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    let ask = stage.get("/simple/x").header("Authorization", format!("basic  {encoded}"));
    assert_eq!(ask.send().await?.status, 200);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_offered_basic_and_a_browser_never() -> Result<()> {
    let stage = stage("basic-challenge").await?;
    const PIP: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01";
    for accept in [PIP, "*/*", "application/json"] {
        let answer = stage.get("/simple/churn/").header("Accept", accept).send().await?;
        assert_eq!(answer.status, 401, "{accept}");
        let offers = answer.headers("www-authenticate");
        assert_eq!(
            offers,
            [r#"Basic realm="localhost", charset="UTF-8""#, r#"Bearer realm="localhost""#],
            "{accept}"
        );
    }
    // A script's request with an ended session must not open the browser's password dialog.
    let script = stage.get("/simple/churn/").header("Sec-Fetch-Mode", "cors");
    let answer = script.send().await?;
    assert_eq!(answer.headers("www-authenticate"), [r#"Bearer realm="localhost""#]);
    let page = stage.get("/simple/churn/").navigating().send().await?;
    assert_eq!(page.status, 302);
    let answer = stage.get("/echo/a").header("Accept", PIP).send().await?;
    assert_eq!(answer.status, 401, "pip is no browser: {answer:?}");
    assert_eq!(answer.headers("www-authenticate"), [r#"Bearer realm="localhost""#]);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_a_browser_remembers_serves_no_other_site() -> Result<()> {
    const ADMITS: &str = "admits:\n  match: { path: /admits }\n  upstream: UPSTREAM\n  basic: true\n  origins: [https://apps.example]\n  access: [{ allow: signed_in }]\n";
    let stage = Setup::new("basic-other-site")
        .with_routes(&format!("{ROUTES}{ADMITS}"))
        .trusting_proxies()
        .start()
        .await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let (credentials, own) = (basic(format!("x:{token}")), stage.origin());
    for (name, value, status) in [
        ("Origin", "https://evil.test", 403),
        ("Origin", "null", 403),
        ("Origin", "", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Origin", &own, 200),
        ("Sec-Fetch-Site", "same-origin", 200),
        ("Sec-Fetch-Site", "none", 200),
        ("X-Other", "a program", 200),
    ] {
        let before = stage.upstream.requests().len();
        let ask = stage.post("/simple/x").header("Authorization", &credentials);
        let answer = ask.header(name, value).form(&[("delete", "all")]).send().await?;
        assert_eq!(answer.status, status, "{name}: {value}: {answer:?}");
        assert_eq!(stage.upstream.requests().len() - before, usize::from(status == 200));
        let ask = stage.get("/oauth2/auth").header("X-Forwarded-Uri", "/simple/x");
        let answer = ask.header(name, value).header("Authorization", &credentials).send().await?;
        assert_eq!(answer.status, if status == 200 { 202 } else { 403 }, "{name}: {value}");
        // A page cannot set a bearer token of another origin, so these fields do not matter beside one.
        let ask = stage.get("/simple/x").header(name, value).bearer(&token);
        assert_eq!(ask.send().await?.status, 200, "{name}: {value}");
    }
    let ask = stage.get("/admits/x").header("Authorization", &credentials);
    assert_eq!(ask.header("Origin", "https://apps.example").send().await?.status, 200);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_a_proxy_take_basic_as_the_route_does() -> Result<()> {
    let stage = Setup::new("basic-question").with_routes(ROUTES).trusting_proxies().start().await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let own = basic(format!("x:{token}"));
    for (uri, status) in [("/simple/x", 202), ("/echo/x", 401)] {
        let ask = stage.get("/oauth2/auth").header("X-Forwarded-Uri", uri);
        let answer = ask.header("Authorization", &own).send().await?;
        assert_eq!(answer.status, status, "{uri}: {answer:?}");
    }
    let answer = stage.get("/oauth2/auth").header("X-Forwarded-Uri", "/simple/x").send().await?;
    assert!(answer.headers("www-authenticate")[0].starts_with("Basic "), "{answer:?}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_client_gets_its_token_at_the_challenged_address() -> Result<()> {
    let stage = stage("basic-registry").await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let answer = stage.get("/v2/").send().await?;
    let realm = format!("{}/oauth2/registry_token", stage.origin());
    let service = stage.host();
    let plain = format!(r#"Bearer realm="{realm}",service="{service}""#);
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers("www-authenticate"), [plain.as_str()]);
    assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    let pull = stage.get("/v2/lab/churn/manifests/latest").send().await?;
    let scoped = format!(r#"{plain},scope="repository:lab/churn:pull""#);
    assert_eq!(pull.headers("www-authenticate"), [scoped]);
    let ask = "/oauth2/registry_token?service=x&scope=repository:lab/churn:pull&account=oauth2";
    let answer = stage.get(ask).header("Authorization", basic(format!("oauth2:{token}")));
    let answer = answer.send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.json()?;
    assert_eq!(
        (&body["token"], &body["access_token"]),
        (&body["access_token"], &Value::from(token.as_str()))
    );
    assert!(body["expires_in"].as_u64().is_some_and(|left| left > 0), "{body}");
    assert_eq!(stage.get("/v2/").bearer(&token).send().await?.status, 200);
    // No page and no cookie gets a token here.
    let cookie = stage.sign_in("alice").await?;
    let bob = stage.issuer.mint(Mint::access("bob").client("gateway"))?;
    let expired = stage.issuer.mint(Mint::access("alice").client("gateway").expired())?;
    for (name, value) in [
        ("Cookie", cookie.clone()),
        ("Authorization", format!("Bearer {token}")),
        ("X-Doorward-Token", token.clone()),
        ("Authorization", basic("alice:alice")),
        ("Authorization", basic(format!("x:{expired}"))),
    ] {
        let answer = stage.get("/oauth2/registry_token").header(name, &value).send().await?;
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        assert!(answer.headers("www-authenticate")[0].starts_with("Basic "), "{answer:?}");
    }
    let push = stage.ask("PUT", "/v2/lab/churn/manifests/1").bearer(&bob).body("{}");
    assert_eq!(push.send().await?.status, 403, "the rules of the route decide");
    assert_eq!(stage.post("/oauth2/registry_token").body("").send().await?.status, 405);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_registry_there_is_no_token_endpoint() -> Result<()> {
    let stage = Stage::new("basic-no-registry").await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let ask = stage.get("/oauth2/registry_token");
    let answer = ask.header("Authorization", basic(format!("x:{token}"))).send().await?;
    assert_eq!(answer.status, 404, "{answer:?}");
    stage.finish(&[])
}
