//! Questions of Envoy: judged as the same request in line, in one reading, and never answered by an error.

use std::time::Duration;

use anyhow::{Context as _, Result};
use dev_issuer::Mint;
use e2e::{
    envoy_check::{Check, Verdict, ask_with, client},
    gateway::Plan,
    wait,
    wire::Wire,
    world::free_port,
};
use serde_json::json;

use crate::stage::{Setup, Stage};

const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway that Envoy asks, and the port at which it does.
struct Asked {
    stage: Stage,
    port: u16,
}

impl Asked {
    async fn new(name: &str, routes: &str) -> Result<Self> {
        Self::with(name, routes, |plan| plan).await
    }

    async fn with(
        name: &str,
        routes: &str,
        change: impl FnOnce(Plan) -> Plan + Send + 'static,
    ) -> Result<Self> {
        let port = free_port()?;
        let listen = format!("ext_authz: {{ listen: \"127.0.0.1:{port}\" }}");
        let setup = Setup::new(name).with_routes(routes);
        let stage = setup.with_plan(move |plan| change(plan.with(&listen))).start().await?;
        Ok(Self { stage, port })
    }

    fn get(&self, path: &str) -> Check {
        Check::get(&self.stage.host(), path)
    }

    async fn ask(&self, check: Check) -> Result<Verdict> {
        check.ask(self.port).await
    }

    fn bearer(&self, user: &str) -> Result<String> {
        Ok(format!("Bearer {}", self.stage.issuer.mint(Mint::access(user).client("gateway"))?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_gets_the_decisions_of_requests_in_line() -> Result<()> {
    let asked = Asked::new("attack-ext-authz", "").await?;
    let (alice, bob) = (asked.bearer("alice")?, asked.bearer("bob")?);
    for (path, token, status) in [
        ("/public/a", None, 0),
        ("/admin", None, 401),
        ("/admin", Some(&alice), 0),
        ("/admin/%61", Some(&alice), 0),
        ("/admin", Some(&bob), 403),
        ("/echo?a=b", Some(&bob), 0),
        ("/app/public/x", None, 0),
        ("/app/x/status", None, 0),
        ("/app/x", Some(&bob), 403),
        ("/nowhere", Some(&alice), 404),
    ] {
        let line = |check: Check| match token {
            Some(token) => check.line("authorization", token),
            None => check,
        };
        let verdict = asked.ask(line(asked.get(path))).await?;
        assert_eq!(verdict.status, status, "{path}: {verdict:?}");
        assert_eq!(verdict.passes(), status == 0, "{path}");
        // In line, the same request gets the same status.
        let ask = asked.stage.get(path);
        let ask = match token {
            Some(token) => ask.header("Authorization", token),
            None => ask,
        };
        let in_line = ask.send().await?.status;
        assert_eq!(in_line, if status == 0 { 200 } else { status }, "{path}");
        if let Some(token) = token {
            let joined = Check::get(&asked.stage.host(), path).joined();
            let verdict = asked.ask(joined.line("authorization", token)).await?;
            assert_eq!(verdict.status, status, "joined: {path}");
        }
    }
    // The method counts, as it does in line.
    let verdict = asked.ask(asked.get("/app/x/status").method("POST")).await?;
    assert_eq!(verdict.status, 401);
    // A challenge says what it wants, and a browser is sent to sign in.
    let verdict = asked.ask(asked.get("/admin")).await?;
    assert!(verdict.field("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
    let verdict = asked.ask(asked.get("/admin?a=b").navigating()).await?;
    assert_eq!(verdict.status, 302);
    assert_eq!(verdict.field("location"), Some("/oauth2/start?rd=/admin%3Fa%3Db"));
    let refused = asked.ask(asked.get("/admin").navigating().line("authorization", &bob)).await?;
    assert!(refused.body.contains("<html"), "a browser gets the page: {refused:?}");
    asked.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_gets_identity_of_the_gateway_only() -> Result<()> {
    let routes = "named:
  match: { path: /named }
  identity: { access_token: true, set: { X-Team: \"{groups}\" } }
  access: [{ path: /named/open, allow: anyone }, { allow: signed_in }]
";
    let asked = Asked::new("attack-ext-authz-identity", routes).await?;
    let cookie = asked.stage.sign_in("alice").await?;
    let forged = [
        ("x-forwarded-user", "mallory"),
        ("x-forwarded-groups", "admin"),
        ("x-forwarded-roles", "admin"),
        ("x-doorward-assertion", "a.b.c"),
        ("x-auth-request-user", "mallory"),
        ("x-remote-user", "mallory"),
        ("x-original-url", "/public/a"),
        ("x-team", "admin"),
        ("forwarded", "for=6.6.6.6"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-http-method-override", "DELETE"),
        ("cf_custom", "1"),
    ];
    let with_forged = |mut check: Check| {
        for (name, value) in forged {
            check = check.line(name, value);
        }
        check
    };
    let check = with_forged(asked.get("/named/a"))
        .line("cookie", format!("theme=dark; {cookie}"))
        .line("accept", "*/*");
    let verdict = asked.ask(check).await?;
    assert!(verdict.passes(), "{verdict:?}");
    let preferred = verdict.field("x-forwarded-preferred-username");
    assert_eq!(preferred, Some("alice"));
    assert_ne!(verdict.field("x-forwarded-user"), Some("mallory"));
    assert_eq!(verdict.field("x-forwarded-groups"), Some("/lab"));
    let roles = verdict.field("x-forwarded-roles");
    assert!(roles.is_some_and(|roles| roles.starts_with("admin,")), "{roles:?}");
    assert_eq!(verdict.field("x-team"), Some("/lab"));
    assert_eq!(verdict.field("x-forwarded-for"), Some("192.0.2.7"), "Envoy's peer is not trusted");
    assert_eq!(verdict.field("cookie"), Some("theme=dark"));
    let assertion = verdict.field("x-doorward-assertion").context("no assertion")?;
    assert_eq!(assertion.split('.').count(), 3);
    assert!(verdict.field("authorization").is_some_and(|token| token.starts_with("Bearer ey")));
    assert_eq!(verdict.field("accept"), None, "what stays is not mentioned");
    for name in ["x-auth-request-user", "x-remote-user", "x-original-url", "cf_custom"] {
        assert!(verdict.removes(name), "{name}: {verdict:?}");
    }
    for (name, _) in &verdict.fields {
        assert!(!verdict.removes(name), "{name} is set and removed");
    }

    // Where anyone may call, no identity is left of what the client wrote.
    let verdict = asked.ask(with_forged(asked.get("/named/open"))).await?;
    assert!(verdict.passes());
    for (name, _) in forged {
        let ours = ["forwarded", "x-forwarded-for"].contains(&name);
        assert_eq!(verdict.removes(name), !ours, "{name}: {verdict:?}");
    }
    // Those that Envoy may have been told not to mention are removed, too.
    let verdict = asked.ask(asked.get("/named/open")).await?;
    for name in ["x-forwarded-user", "x-doorward-assertion", "x-doorward-token", "x-team"] {
        assert!(verdict.removes(name), "{name}: {verdict:?}");
    }

    // A bearer token is for the gateway, and so is the session cookie, also where no cookie is left.
    let verdict = asked.ask(asked.get("/echo").line("authorization", asked.bearer("bob")?)).await?;
    assert!(verdict.passes() && verdict.removes("authorization"), "{verdict:?}");
    let verdict = asked.ask(asked.get("/echo").line("cookie", &cookie)).await?;
    assert!(verdict.passes() && verdict.removes("cookie"), "{verdict:?}");
    asked.stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_s_question_has_one_reading_or_is_refused() -> Result<()> {
    let asked = Asked::new("attack-ext-authz-readings", "").await?;
    let token = asked.bearer("alice")?;
    let get = |path: &str| asked.get(path).line("authorization", &token);
    for (case, check) in [
        ("two tokens", get("/admin").line("authorization", &token)),
        ("another path", get("/admin").line(":path", "/public/a")),
        ("another method", get("/admin").line(":method", "POST")),
        ("another host", get("/admin").line(":authority", "open.localhost")),
        ("a host beside", get("/admin").line("host", "open.localhost")),
        ("an unknown part", get("/admin").line(":protocol", "websocket")),
        ("a query beside", get("/admin").beside("a=b", "")),
        ("a fragment", get("/admin").beside("", "a")),
        ("a fragment in the path", get("/public/a#/admin")),
        ("no path", get("")),
        ("an absolute path", get("http://localhost/admin")),
        ("a backslash", get("/public\\..\\admin")),
        ("a space", get("/admin /public")),
        ("a line break", get("/admin\r\nX-A: b")),
        ("a line break in a value", get("/admin").line("x-a", "b\r\nx-c: d")),
        ("a name in capitals", get("/admin").line("X-A", "b")),
        ("dots", get("/public/%2e%2e/admin")),
        ("dots in two codes", get("/public/%252e%252e/admin")),
        ("two slashes", get("//admin")),
        ("an encoded slash", get("/public%2F..%2Fadmin")),
        ("no scheme", get("/admin").scheme("")),
        ("another scheme", get("/admin").scheme("ftp")),
        ("a method in small letters", get("/admin").method("get")),
        ("no client", get("/admin").from(None)),
        ("no address", get("/admin").from(Some("pipe"))),
        ("lines described twice", get("/admin").with_joined_line("accept", "*/*")),
        ("h2c", get("/admin").line("connection", "upgrade").line("upgrade", "h2c")),
        (
            "joined tokens",
            asked.get("/admin").joined().line("authorization", format!("{token},{token}")),
        ),
        ("joined hosts", get("/admin").line(":authority", "a,b")),
        ("joined origins", get("/admin").joined().line("origin", "https://a,https://b")),
        ("many lines", (0..500).fold(get("/admin"), |check, _| check.line("a", "b"))),
    ] {
        let verdict = asked.ask(check).await?;
        assert!(matches!(verdict.status, 400 | 404), "{case}: {verdict:?}");
    }
    // Refused with another status than in line a malformed request gets.
    assert_eq!(asked.ask(get("/admin").method("TRACE")).await?.status, 501);
    let elsewhere = Check::get("elsewhere.test", "/admin").line("authorization", &token);
    assert_eq!(asked.ask(elsewhere).await?.status, 421);
    // A form that no rule forbids passes.
    assert!(asked.ask(get("/admin/a%20b?q={\"a\":`b`}")).await?.passes());
    assert!(asked.ask(get("/admin").line("x-name", b"\xe9")).await?.passes());
    asked.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_gets_an_answer_for_every_message() -> Result<()> {
    let asked = Asked::new("attack-ext-authz-messages", "").await?;
    let origin = format!("http://127.0.0.1:{}", asked.port);
    let good = asked.get("/public/a").framed();
    let mut compressed = good.clone();
    compressed[0] = 1;
    let long = Check::get(&asked.stage.host(), "/public/a").line("a", "b".repeat(600_000));
    for (case, bytes) in [
        ("nothing", Vec::new()),
        ("half a prefix", vec![0, 0, 0]),
        ("an empty message", vec![0; 5]),
        ("no message of this protocol", [&[0, 0, 0, 0, 3][..], &[0xFF; 3]].concat()),
        ("compressed", compressed),
        ("cut", good[..good.len() - 1].to_vec()),
        ("two messages", [&good[..], &good].concat()),
        ("too long", long.framed()),
    ] {
        let verdict = ask_with(&client()?, &origin, bytes).await.context(case)?;
        assert_eq!(verdict.status, 400, "{case}: {verdict:?}");
    }
    assert!(ask_with(&client()?, &origin, good.clone()).await?.passes());
    // Other methods and forms are no questions.
    let other = client()?.post(format!("{origin}/grpc.health.v1.Health/Check"));
    let other = other.header("content-type", "application/grpc").body(good.clone()).send().await?;
    assert_eq!(other.headers()["grpc-status"], "12");
    let path = "/envoy.service.auth.v3.Authorization/Check";
    let json = client()?.post(format!("{origin}{path}")).header("content-type", "application/json");
    assert_eq!(json.body(good).send().await?.status(), 415);
    // The routes are not served there, nor this service elsewhere.
    let mut wire = Wire::connect(asked.port).await?;
    let host = asked.stage.host();
    wire.send(format!("GET /public/a HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    let answer = wire.answer().await?;
    assert!(!answer.body.contains("public"), "{answer:?}");
    assert_eq!(asked.stage.post(path).body("x").send().await?.status, 404);
    assert!(asked.stage.reached().is_empty());
    asked.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_does_not_ask_about_the_gateway_s_own_urls() -> Result<()> {
    let asked = Asked::new("attack-ext-authz-own", "").await?;
    for path in ["/oauth2/auth", "/oauth2/start", "/oauth2/%61uth", "/OAUTH2/auth", "/oauth2"] {
        let verdict = asked.ask(asked.get(path)).await?;
        assert!(!verdict.passes(), "{path}: {verdict:?}");
        assert!(matches!(verdict.status, 403 | 404), "{path}: {verdict:?}");
    }
    asked.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_s_web_sockets_are_judged_by_origin() -> Result<()> {
    let asked = Asked::new("attack-ext-authz-ws", "").await?;
    let cookie = asked.stage.sign_in("alice").await?;
    let open = |origin: &str| {
        asked
            .get("/ws")
            .line("connection", "Upgrade")
            .line("upgrade", "websocket")
            .line("sec-websocket-version", "13")
            .line("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
            .line("origin", origin)
            .line("cookie", &cookie)
    };
    let verdict = asked.ask(open(&asked.stage.origin())).await?;
    assert!(verdict.passes(), "{verdict:?}");
    for name in ["connection", "upgrade", "sec-websocket-key"] {
        assert!(!verdict.removes(name), "{name}");
    }
    assert_eq!(asked.ask(open("https://evil.test")).await?.status, 403);
    let unknown = asked.get("/ws").line("connection", "Upgrade").line("upgrade", "websocket");
    assert_eq!(asked.ask(unknown).await?.status, 400, "no key");
    asked.stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_s_client_is_the_one_that_is_logged() -> Result<()> {
    let asked = Asked::with("attack-ext-authz-client", "", |plan| {
        plan.with("trusted_proxies: [10.0.0.0/8]")
    })
    .await?;
    for (source, forwarded, client) in [
        ("192.0.2.7", "6.6.6.6", "192.0.2.7"),
        ("10.0.0.9", "6.6.6.6, 192.0.2.8", "192.0.2.8"),
        ("2001:db8::7", "6.6.6.6", "2001:db8::7"),
    ] {
        let check = asked.get("/public/a").from(Some(source)).line("x-forwarded-for", forwarded);
        let verdict = asked.ask(check.line("x-request-id", format!("id-of-{client}"))).await?;
        assert!(verdict.passes());
        let chain = verdict.field("x-forwarded-for").context("no chain")?;
        assert!(chain.starts_with(client), "{source}: {chain}");
    }
    // The host is the one by which Envoy has chosen its route, whatever a proxy before it passes on.
    for (name, value) in [("x-forwarded-host", "admin.localhost"), ("forwarded", "host=a.test")] {
        let check = asked.get("/public/a").from(Some("10.0.0.9")).line(name, value);
        let verdict = asked.ask(check).await?;
        assert!(verdict.passes(), "{verdict:?}");
        assert_eq!(verdict.field("x-forwarded-host"), Some(&*asked.stage.host()), "{name}");
        assert!(verdict.field("forwarded").is_some_and(|field| !field.contains("a.test")));
    }
    wait::until("the audit lines", PATIENCE, async || {
        let audit = asked.stage.gateway.audit()?;
        let logged = |client: &str| {
            audit.iter().any(|line| line["address"] == json!(client) && line["path"] == "/public/a")
        };
        let all = ["192.0.2.7", "192.0.2.8", "2001:db8::7"].into_iter().all(logged);
        Ok(all.then_some(()))
    })
    .await?;
    asked.stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_s_questions_follow_a_reload_and_a_limit() -> Result<()> {
    let routes = "limited:
  match: { path: /limited }
  limits: { per_user: { requests_per_second: 2 } }
  access: [{ allow: signed_in }]
";
    let asked = Asked::new("attack-ext-authz-reload", routes).await?;
    let token = asked.bearer("bob")?;
    let check = asked.get("/limited").line("authorization", &token);
    let mut statuses = Vec::new();
    for _ in 0..50 {
        statuses.push(asked.ask(check.clone()).await?.status);
        if statuses.last() == Some(&429) {
            break;
        }
    }
    assert_eq!(statuses.first(), Some(&0));
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    let config = asked.stage.gateway.config().to_owned();
    let text = std::fs::read_to_string(&config)?;
    let closed =
        text.replace("access: [{ allow: signed_in }]", "access: [{ allow: { users: [x] } }]");
    std::fs::write(&config, closed)?;
    wait::until("the new rules", PATIENCE, async || {
        let verdict = asked.ask(asked.get("/echo").line("authorization", &token)).await?;
        Ok((verdict.status == 403).then_some(()))
    })
    .await?;
    asked.stage.finish(&[])
}
