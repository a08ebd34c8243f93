//! The admin listener: pages that rebind a name to it, callers without its token, and spellings of its paths.

use std::time::Duration;

use anyhow::Result;
use e2e::{
    gateway::{ADMIN_TOKEN, Plan, command},
    wait,
    wire::{Answer, Wire},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::stage::{Setup, Stage};

/// The admin token, where a listener has one.
const TOKEN: &str = "the-admin-token-of-attacks-0a1b2c3d";

impl Stage {
    /// The admin listener's answer to a head; `ADMIN` in it is replaced by the listener's port.
    async fn admin(&self, head: &str) -> Result<Answer> {
        let port = self.gateway.admin_port();
        let mut wire = Wire::connect(port).await?;
        wire.send(head.replace("ADMIN", &port.to_string())).await;
        wire.answer().await
    }

    /// One request to the admin listener, with these fields after the request line.
    async fn admin_ask(&self, method: &str, target: &str, fields: &[&str]) -> Result<Answer> {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let head = format!("{method} {target} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
        self.admin(&head).await
    }

    /// The number of sessions that the listener lists for a caller with this field.
    async fn listed(&self, field: &str) -> Result<usize> {
        let fields = ["Host: localhost:ADMIN", field];
        let fields = if field.is_empty() { &fields[..1] } else { &fields };
        let answer = self.admin_ask("GET", "/sessions", fields).await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.json()?["sessions"].as_array().map_or(0, Vec::len))
    }
}

/// Probes answer any caller: kubelet and Prometheus ask by address, and HTTP/1.0 asks without `Host`.
async fn probes_are_open(stage: &Stage) -> Result<()> {
    for path in ["/healthz", "/readyz", "/metrics"] {
        for fields in [
            &["Host: 10.1.2.3:ADMIN"][..],
            &["Host: 127.0.0.1:ADMIN"],
            &["Host: doorward.monitoring.svc:ADMIN"],
            &["Host: rebound.test"],
            &["Host: localhost:ADMIN", "Authorization: Bearer wrong"],
        ] {
            let answer = stage.admin_ask("GET", path, fields).await?;
            assert_eq!(answer.status, 200, "{path} {fields:?}: {answer:?}");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
        assert_eq!(
            stage.admin(&format!("GET {path} HTTP/1.0\r\n\r\n")).await?.status,
            200,
            "{path}"
        );
        assert_eq!(stage.admin_ask("HEAD", path, &["Host: a.test"]).await?.status, 200, "{path}");
        assert_eq!(stage.admin_ask("DELETE", path, &["Host: a.test"]).await?.status, 405, "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebound_name_reaches_no_session_on_loopback() -> Result<()> {
    let stage = Stage::new("attack-admin-rebinding").await?;
    let alice = stage.sign_in("alice").await?;
    probes_are_open(&stage).await?;
    for host in ["rebound.test:ADMIN", "rebound.test", "10.0.0.7:ADMIN", "127.0.0.1:80", "0.0.0.0"]
    {
        for (method, target) in [
            ("GET", "/sessions"),
            ("GET", "/activity"),
            ("DELETE", "/sessions?user=alice"),
            ("DELETE", "/sessions/x"),
        ] {
            let answer = stage.admin_ask(method, target, &[&format!("Host: {host}")]).await?;
            assert_eq!(answer.status, 421, "{method} {target} {host}: {answer:?}");
            assert!(!answer.body.contains("alice"), "{answer:?}");
        }
    }
    for fields in [
        &[][..],
        &["Host: "],
        &["Host: localhost", "Host: localhost"],
        &["Host: localhost:ADMIN", "Host: rebound.test"],
        &["Host: a b"],
        &["Host: localhost."],
    ] {
        let answer = stage.admin_ask("GET", "/sessions", fields).await?;
        assert_eq!(answer.status, 400, "{fields:?}: {answer:?}");
    }
    assert_eq!(stage.admin("GET /sessions HTTP/1.0\r\n\r\n").await?.status, 400);
    // A target in absolute form must agree with Host, or nothing is served.
    for (target, host, status) in [
        ("http://localhost:ADMIN/sessions", "localhost:ADMIN", 200),
        ("http://rebound.test/sessions", "localhost:ADMIN", 400),
        ("http://localhost:ADMIN/sessions", "rebound.test", 400),
        ("http://rebound.test/sessions", "rebound.test", 421),
        ("http://rebound.test/healthz", "rebound.test", 200),
    ] {
        let answer = stage.admin_ask("GET", target, &[&format!("Host: {host}")]).await?;
        assert_eq!(answer.status, status, "{target} {host}: {answer:?}");
    }
    for host in ["localhost", "localhost:ADMIN", "127.0.0.1:ADMIN", "[::1]:ADMIN", "x.localhost"] {
        let answer = stage.admin_ask("GET", "/sessions", &[&format!("Host: {host}")]).await?;
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    assert_eq!(stage.listed("").await?, 1);
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_ends_a_session() -> Result<()> {
    let stage = Stage::new("attack-admin-page").await?;
    let alice = stage.sign_in("alice").await?;
    for field in [
        "Origin: https://evil.test",
        "Origin: null",
        "Origin: http://localhost:3000",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ] {
        for method in ["DELETE", "GET", "OPTIONS", "POST"] {
            let fields = ["Host: localhost:ADMIN", field, "Access-Control-Request-Method: DELETE"];
            let answer = stage.admin_ask(method, "/sessions?user=alice", &fields).await?;
            assert_eq!(answer.status, 403, "{method} {field}: {answer:?}");
            assert_eq!(answer.header("access-control-allow-origin"), "");
        }
    }
    assert_eq!(stage.get("/echo").header("Cookie", &alice).send().await?.status, 200);
    // A person types the address into the browser.
    let typed = ["Host: localhost:ADMIN", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"];
    assert_eq!(stage.admin_ask("GET", "/sessions", &typed).await?.status, 200);
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_other_machines_get_probes_only() -> Result<()> {
    let stage = Setup::new("attack-admin-open")
        .with_plan(|plan: Plan| plan.with_admin("0.0.0.0", None))
        .start()
        .await?;
    let alice = stage.sign_in("alice").await?;
    probes_are_open(&stage).await?;
    for target in [
        "/activity",
        "/sessions",
        "//sessions",
        "/sessions/",
        "/%73essions",
        "/sessions/x",
        "/nowhere",
        "/",
        "/healthz/",
        "//healthz",
        "/%68ealthz",
        "/metrics/..%2fsessions",
        "/healthz/../sessions",
        "http://localhost:ADMIN/sessions",
    ] {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "DELETE", "PUT", "TRACE"] {
            for authorization in ["Accept: */*", "Authorization: Bearer 0123456789abcdef"] {
                let fields = ["Host: localhost:ADMIN", authorization];
                let answer = stage.admin_ask(method, target, &fields).await?;
                assert_eq!(answer.status, 403, "{method} {target}: {answer:?}");
                assert!(method == "HEAD" || answer.body.contains("admin.token"), "{answer:?}");
            }
        }
    }
    assert_eq!(stage.get("/echo").header("Cookie", &alice).send().await?.status, 200);
    let config = stage.gateway.config().display().to_string();
    let check = command(&["check", "--config", &config])?;
    let said = String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned();
    assert!(check.status.success() && said.contains("missing `admin.token`"), "{said}");
    let warned = stage.gateway.log_lines()?.into_iter().any(|line| {
        line["level"] == "warn" && line["msg"].as_str().is_some_and(|m| m.contains("admin.token"))
    });
    assert!(warned, "no warning at the start");
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_token_opens_and_nothing_else_does() -> Result<()> {
    let plan = |plan: Plan| plan.with_admin("0.0.0.0", Some(TOKEN));
    let stage = Setup::new("attack-admin-token").with_plan(plan).start().await?;
    let (alice, bob) = (stage.sign_in("alice").await?, stage.sign_in("bob").await?);
    probes_are_open(&stage).await?;
    let good = format!("Authorization: Bearer {TOKEN}");
    for fields in [
        &["Host: gateway.test"][..],
        &["Host: gateway.test", "Authorization: Bearer"],
        &["Host: gateway.test", "Authorization: Bearer wrong-wrong-wrong-wrong"],
        &["Host: gateway.test", &format!("{good}x")],
        &["Host: gateway.test", &format!("Authorization: Basic {TOKEN}")],
        &["Host: gateway.test", &good, &good],
        &["Host: gateway.test", &good, "Authorization: Bearer wrong-wrong-wrong-wrong"],
        &["Host: gateway.test", &format!("Proxy-Authorization: Bearer {TOKEN}")],
        &["Host: gateway.test", &format!("Cookie: token={TOKEN}")],
    ] {
        for (method, target) in [
            ("GET", "/sessions"),
            ("GET", "/activity"),
            ("DELETE", "/sessions?user=alice"),
            ("GET", "/nowhere"),
        ] {
            let answer = stage.admin_ask(method, target, fields).await?;
            assert_eq!(answer.status, 401, "{method} {target} {fields:?}: {answer:?}");
            assert!(answer.header("www-authenticate").starts_with("Bearer realm="), "{answer:?}");
        }
    }
    for target in ["//sessions", "/sessions/", "/%73essions", "/nowhere"] {
        let ask = stage.admin_ask("GET", target, &["Host: gateway.test", &good]).await?;
        assert_eq!(ask.status, 404, "{target}");
    }
    assert_eq!(stage.listed(&good).await?, 2);
    assert_eq!(stage.listed(&good.replace("Bearer", "bEARER")).await?, 2);
    // A misspelt parameter ends nothing.
    for query in [
        "",
        "?",
        "?user=",
        "?user=alice&user=bob",
        "?User=alice",
        "?user=alice&x=1",
        "?user=alice&issuer=other",
        "?issuer=main",
        "?user=alice&issuer=main&issuer=main",
    ] {
        let target = format!("/sessions{query}");
        let answer = stage.admin_ask("DELETE", &target, &["Host: gateway.test", &good]).await?;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
    }
    assert_eq!(stage.listed(&good).await?, 2);
    let sessions = stage.admin_ask("GET", "/sessions", &["Host: gateway.test", &good]).await?;
    let sessions = sessions.json()?["sessions"].clone();
    let named =
        |session: &&Value| session["name"].as_str().is_some_and(|name| name.contains("lice"));
    let found = sessions.as_array().into_iter().flatten().find(named).cloned().unwrap_or_default();
    assert_eq!(found["issuer"], "main", "{sessions}");
    let subject = found["subject"].as_str().unwrap_or_default().to_owned();
    let target = format!("/sessions?user={subject}&issuer=main");
    let answer = stage.admin_ask("DELETE", &target, &["Host: gateway.test", &good]).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(stage.get("/echo").header("Cookie", &alice).send().await?.status, 401);
    assert_eq!(stage.get("/echo").header("Cookie", &bob).send().await?.status, 200);
    let line = wait::until("the audit line", Duration::from_secs(5), async || {
        Ok(stage.gateway.log_lines()?.into_iter().find(|line| line["action"] == "end_sessions"))
    })
    .await?;
    assert_eq!(
        (&line["issuer"], &line["subject"], &line["ended"], &line["address"]),
        (&"main".into(), &subject.into(), &1.into(), &"127.0.0.1".into()),
        "{line}"
    );
    // A changed token counts at once; an unreadable one opens nothing.
    let file = stage.world.folder().join(ADMIN_TOKEN);
    std::fs::write(&file, "another-token-of-attacks\n")?;
    let old = stage.admin_ask("GET", "/sessions", &["Host: gateway.test", &good]).await?;
    assert_eq!(old.status, 401);
    assert_eq!(stage.listed("Authorization: Bearer another-token-of-attacks").await?, 1);
    std::fs::remove_file(&file)?;
    for field in
        [&good, "Authorization: Bearer another-token-of-attacks", "Authorization: Bearer x"]
    {
        let answer = stage.admin_ask("GET", "/sessions", &["Host: gateway.test", field]).await?;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(!answer.body.contains(ADMIN_TOKEN), "{answer:?}");
    }
    probes_are_open(&stage).await?;
    stage.finish(&[&alice, &bob])
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_issuers_a_person_is_named_with_the_issuer() -> Result<()> {
    let other = dev_issuer::DevIssuer::builder().start("127.0.0.1:0").await?;
    let url = other.url().to_owned();
    let stage = Setup::new("attack-admin-issuers")
        .with_plan(move |plan: Plan| plan.with_other_issuer("second", &url))
        .start()
        .await?;
    let host = ["Host: localhost:ADMIN"];
    let answer = stage.admin_ask("DELETE", "/sessions?user=alice", &host).await?;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.contains("main, second"), "{answer:?}");
    for issuer in ["main", "second"] {
        let target = format!("/sessions?user=alice&issuer={issuer}");
        assert_eq!(stage.admin_ask("DELETE", &target, &host).await?.status, 200, "{issuer}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_do_not_hold_the_admin_listener() -> Result<()> {
    let stage = Stage::new("attack-admin-idle").await?;
    let address = ("127.0.0.1", stage.gateway.admin_port());
    let mut idle = Vec::new();
    for n in 0..80 {
        let mut connection = TcpStream::connect(address).await?;
        // Some send nothing, others begin a request.
        if n % 2 == 0 {
            let _ = connection.write_all(b"GET /x HTTP/1.1\r\nX").await;
        }
        idle.push(connection);
    }
    assert_eq!(stage.get("/public/a").send().await?.status, 200);
    let alive = async {
        let mut probe = TcpStream::connect(address).await?;
        probe.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let mut answer = [0; 12];
        probe.read_exact(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(Duration::from_secs(60), alive).await??;
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(idle);
    stage.finish(&[])
}
