//! Ways around the rules: fields that choose another path or method, callers that claim an identity, and a gateway whose
//! files are unreadable.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result};
use e2e::{World, gateway::Plan, tools};
use tokio::{net::TcpStream, process::Command, time::timeout};

use crate::{
    paths::ways_out::{WAYS_OUT, below, readings, spelled},
    stage::{CLIENT_SECRET, Setup, Stage},
};

/// Fields from which some proxy or framework takes another path.
const OTHER_PATHS: [&str; 12] = [
    "X-Forwarded-Uri",
    "X-Forwarded-Url",
    "X-Forwarded-Path",
    "X-Forwarded-Prefix",
    "X-Original-Url",
    "X-Original-Uri",
    "X-Original-Path",
    "X-Rewrite-Url",
    "X-Envoy-Original-Path",
    "X-Auth-Request-Redirect",
    "X-Doorward-Path",
    "X-Forwarded",
];

/// Fields from which some framework takes another method.
const OTHER_METHODS: [&str; 6] = [
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-Forwarded-Method",
    "X-Original-Method",
    "X-Envoy-Original-Method",
];

async fn fields_choose_nothing(stage: &Stage) -> Result<()> {
    let bob = stage.sign_in("bob").await?;
    for name in OTHER_PATHS {
        for place in
            ["/public/a", "/public/", "/", "/oauth2/sign_in", "/echo", "http://localhost/public"]
        {
            let anonymous = stage.get("/admin/secret").header(name, place);
            assert_eq!(anonymous.send().await?.status, 401, "{name}: {place}");
            let bob = stage.get("/admin/secret").header("Cookie", &bob).header(name, place);
            assert_eq!(bob.send().await?.status, 403, "{name}: {place}");
        }
        assert!(stage.reached().is_empty(), "{name}: {:?}", stage.reached());
    }
    for name in OTHER_METHODS {
        for method in ["GET", "OPTIONS", "HEAD"] {
            let ask = stage.post("/app/x/status").header(name, method).body("x");
            assert_eq!(ask.send().await?.status, 401, "{name}: {method}");
        }
        assert!(stage.reached().is_empty(), "{name}: {:?}", stage.reached());
    }
    // On open routes too, so that no framework behind obeys them.
    for name in OTHER_PATHS.iter().chain(&OTHER_METHODS) {
        assert_eq!(
            stage.get("/public/a").header(name, "/admin").send().await?.status,
            200,
            "{name}"
        );
        let seen = stage.upstream.last("/public/a")?;
        assert!(!String::from_utf8_lossy(&seen.head).contains("/admin"), "{name}");
        assert_eq!((seen.method(), seen.target()), ("GET".into(), "/public/a".into()), "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_chooses_another_path_or_method() -> Result<()> {
    fields_choose_nothing(&Stage::new("attack-fields").await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_chooses_another_path_or_method_by_a_trusted_proxy() -> Result<()> {
    let stage = Setup::new("attack-fields-trusted").trusting_proxies().start().await?;
    fields_choose_nothing(&stage).await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_about_other_requests_are_for_trusted_proxies() -> Result<()> {
    let stage = Stage::new("attack-auth-untrusted").await?;
    let alice = stage.sign_in("alice").await?;
    for name in OTHER_PATHS {
        for cookie in ["", &alice] {
            let ask = stage.get("/oauth2/auth").header("Cookie", cookie).header(name, "/public/a");
            let answer = ask.send().await?;
            assert_eq!(answer.status, 403, "{name}: {answer:?}");
            assert!(answer.headers("x-auth-request-user").is_empty());
        }
    }
    // A configuration that answers questions of any peer is refused.
    let world = World::new("attack-auth-config")?;
    let routes = "lab:\n  match: { path: /lab }\n  access: [{ allow: signed_in }]";
    let plan = Plan::with_client(&world, stage.issuer.url(), CLIENT_SECRET, routes)?;
    let said = refuses_to_start(&world, &plan.write()?).await?;
    assert!(said.contains("trusted_proxies"), "{said}");
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxys_question_is_answered_for_the_path_it_names() -> Result<()> {
    let stage = Setup::new("attack-auth-trusted").trusting_proxies().start().await?;
    let (alice, bob) = (stage.sign_in("alice").await?, stage.sign_in("bob").await?);
    for (target, cookie, status) in [
        ("/public/a", "", 202),
        ("/admin/x", "", 401),
        ("/admin/x", &*bob, 403),
        ("/admin/x", &*alice, 202),
        ("/admin/x?path=/public/a", "", 401),
        ("/admin/x#/public/a", "", 403),
        ("/nowhere", &*alice, 403),
    ] {
        let ask =
            stage.get("/oauth2/auth").header("Cookie", cookie).header("X-Forwarded-Uri", target);
        let answer = ask.send().await?;
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        let identified = !answer.headers("x-auth-request-user").is_empty();
        assert_eq!(identified, status == 202 && !cookie.is_empty(), "{target}: {answer:?}");
    }
    for way in WAYS_OUT {
        let target = spelled(way, "/app", "secret");
        let head = format!(
            "GET /oauth2/auth HTTP/1.1\r\nHost: HOST\r\nX-Forwarded-Uri: {target}\r\nConnection: close\r\n\r\n"
        );
        if stage.raw(head).await?.status() == 202 {
            for reading in readings(&target) {
                assert!(below(&reading, "/app/public"), "{target:?} may be read as {reading:?}");
            }
        }
    }
    // What a proxy sends and what its client smuggled beside it, in either order: the question is ambiguous.
    for (first, second) in [
        ("X-Original-URI: /admin/x", "X-Forwarded-Uri: /public/a"),
        ("X-Forwarded-Uri: /public/a", "X-Original-URI: /admin/x"),
        ("X-Original-URL: http://HOST/admin/x", "X-Forwarded-Uri: /public/a"),
        ("X-Original-URL: http://HOST/admin/x", "X-Original-URI: /public/a"),
        ("X-Forwarded-Uri: /admin/x", "X-Forwarded-Uri: /public/a"),
        ("X-Forwarded-Uri: /public/a", "X-Forwarded-Uri: /admin/x"),
        ("X-Forwarded-Uri: /app/x/status", "X-Original-Method: POST\r\nX-Forwarded-Method: GET"),
        ("X-Forwarded-Uri: /app/x/status", "X-Forwarded-Method: GET\r\nX-Forwarded-Method: POST"),
    ] {
        let head = format!(
            "GET /oauth2/auth HTTP/1.1\r\nHost: HOST\r\n{first}\r\n{second}\r\nConnection: close\r\n\r\n"
        );
        let answer = stage.raw(head).await?;
        assert_eq!(answer.status(), 403, "{first} and {second}: {answer:?}");
    }
    // The same twice is one question.
    let head = "GET /oauth2/auth HTTP/1.1\r\nHost: HOST\r\nX-Forwarded-Uri: /public/a\r\nX-Original-URI: /public/a\r\nConnection: close\r\n\r\n";
    assert_eq!(stage.raw(head).await?.status(), 202);
    stage.finish(&[&alice, &bob])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_claim_of_a_caller_about_itself_opens_a_route() -> Result<()> {
    let stage = Stage::new("attack-side-doors").await?;
    for agent in [
        "GoogleHC/1.0",
        "kube-probe/1.30",
        "ELB-HealthChecker/2.0",
        "Envoy/HC",
        "Amazon-Route53-Health-Check-Service",
        "Consul Health Check",
        "Prometheus/2.0",
    ] {
        let answer = stage.get("/admin/secret").header("User-Agent", agent).send().await?;
        assert_eq!(answer.status, 401, "{agent}");
    }
    for (name, value) in [
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Real-IP", "127.0.0.1"),
        ("Purpose", "prefetch"),
        ("X-Requested-With", "XMLHttpRequest"),
        ("Metadata-Flavor", "Google"),
        ("Authorization", "Basic YWRtaW46YWRtaW4="),
        ("Authorization", "Negotiate"),
        ("Authorization", "Bearer"),
        ("Proxy-Authorization", "Basic YWRtaW46YWRtaW4="),
        ("Cookie", "doorward=; doorward=admin"),
    ] {
        let answer = stage.get("/admin/secret").header(name, value).send().await?;
        assert_eq!(answer.status, 401, "{name}: {value}: {answer:?}");
    }
    let preflight = stage
        .ask("OPTIONS", "/admin/secret")
        .header("Origin", "https://evil.test")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "x-forwarded-user");
    let answer = preflight.send().await?;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, ""));
    for target in ["/admin/healthz", "/admin/metrics", "/admin/.well-known/x", "/admin/favicon.ico"]
    {
        assert_eq!(stage.get(target).send().await?.status, 401, "{target}");
    }
    // The admin listener's URLs are not served here.
    for target in
        ["/healthz", "/readyz", "/metrics", "/sessions", "/oauth2/metrics", "/oauth2/healthz"]
    {
        assert_eq!(stage.get(target).send().await?.status, 404, "{target}");
    }
    for method in
        ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "get", "X"]
    {
        let head =
            format!("{method} /admin/secret HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n");
        let expected = if method == "get" { 400 } else { 401 };
        assert_eq!(stage.raw(head).await?.status(), expected, "{method}");
    }
    assert!(stage.reached().is_empty(), "{:?}", stage.reached());
    let alice = stage.sign_in("alice").await?;
    let health =
        stage.get("/admin/healthz").header("Cookie", &alice).header("User-Agent", "GoogleHC/1.0");
    assert_eq!(health.send().await?.status, 200);
    stage.finish(&[&alice])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_read_what_it_needs_does_not_start() -> Result<()> {
    let stage = Stage::new("attack-start").await?;
    let routes = "lab:\n  match: { path: /lab }\n  upstream: http://127.0.0.1:9\n  access: [{ allow: signed_in }]";
    type Break = fn(&Path, &str) -> Result<String>;
    let breaks: &[(&str, Break, &str)] = &[
        (
            "no-key",
            |folder, yaml| {
                std::fs::remove_file(folder.join("session-key"))?;
                Ok(yaml.to_owned())
            },
            "session-key",
        ),
        (
            "key-is-a-folder",
            |folder, yaml| {
                std::fs::remove_file(folder.join("session-key"))?;
                std::fs::create_dir(folder.join("session-key"))?;
                Ok(yaml.to_owned())
            },
            "session-key",
        ),
        (
            "empty-key",
            |folder, yaml| {
                std::fs::write(folder.join("session-key"), "\n")?;
                Ok(yaml.to_owned())
            },
            "session-key",
        ),
        (
            "short-key",
            |folder, yaml| {
                std::fs::write(folder.join("session-key"), "short")?;
                Ok(yaml.to_owned())
            },
            "session-key",
        ),
        (
            "no-client-secret",
            |folder, yaml| {
                std::fs::remove_file(folder.join("client-secret"))?;
                Ok(yaml.to_owned())
            },
            "client-secret",
        ),
        (
            "empty-client-secret",
            |folder, yaml| {
                std::fs::write(folder.join("client-secret"), "")?;
                Ok(yaml.to_owned())
            },
            "client-secret",
        ),
        (
            "no-ca",
            |folder, yaml| {
                let ca = folder.join("ca.pem");
                Ok(yaml.replace(
                    "    client_id:",
                    &format!("    ca_file: {}\n    client_id:", ca.display()),
                ))
            },
            "ca.pem",
        ),
        (
            "ca-is-none",
            |folder, yaml| {
                let ca = folder.join("ca.pem");
                std::fs::write(
                    &ca,
                    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                )?;
                Ok(yaml.replace(
                    "    client_id:",
                    &format!("    ca_file: {}\n    client_id:", ca.display()),
                ))
            },
            "ca.pem",
        ),
        (
            "no-certificate",
            |folder, yaml| {
                let folder = folder.display();
                Ok(format!(
                    "tls: {{ certificate: {folder}/tls.crt, key: {folder}/tls.key }}\n{yaml}"
                ))
            },
            "tls.crt",
        ),
        ("unknown-key", |_, yaml| Ok(yaml.replace("access:", "acces:")), "acces"),
        ("unknown-rule", |_, yaml| Ok(yaml.replace("signed_in", "everybody")), "everybody"),
        ("empty-rule", |_, yaml| Ok(yaml.replace("signed_in", "{ roles: [] }")), "roles"),
        ("broken-yaml", |_, yaml| Ok(format!("{yaml}\n  : [")), "doorward.yaml"),
        ("empty-file", |_, _| Ok(String::new()), "doorward.yaml"),
    ];
    for (name, spoil, said) in breaks {
        let world = World::new(&format!("attack-start-{name}"))?;
        let plan = Plan::with_client(&world, stage.issuer.url(), CLIENT_SECRET, routes)?;
        let config = plan.write()?;
        let spoilt = spoil(world.folder(), &std::fs::read_to_string(&config)?)?;
        std::fs::write(&config, spoilt)?;
        let words = refuses_to_start(&world, &config).await.with_context(|| (*name).to_owned())?;
        assert!(words.contains(said), "{name}: no {said} in the output: {words}");
        assert!(!words.contains(CLIENT_SECRET), "{name}: {words}");
    }
    let nowhere = stage.world.folder().join("nowhere.yaml");
    refuses_to_start(&stage.world, &nowhere).await?;
    // The same files without the mistake start.
    let world = World::new("attack-start-whole")?;
    let plan = Plan::with_client(&world, stage.issuer.url(), CLIENT_SECRET, routes)?;
    plan.start().await?.finish(&[])
}

/// The output of a gateway that must end by itself, with another status than 0, without having listened.
async fn refuses_to_start(world: &World, config: &Path) -> Result<String> {
    let mut command = Command::new(tools::doorward()?);
    command.arg("serve").arg("--config").arg(config).current_dir(world.folder());
    command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn()?;
    let ended = timeout(Duration::from_secs(20), child.wait_with_output()).await;
    if !world.folder().ends_with("attack-start") {
        let listens = TcpStream::connect(("127.0.0.1", world.public_port())).await;
        anyhow::ensure!(listens.is_err(), "it listens");
    }
    let output = ended.context("it runs")??;
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words).into_owned();
    anyhow::ensure!(
        output.status.code().is_some_and(|code| code > 0),
        "{}: {words}",
        output.status
    );
    anyhow::ensure!(!words.contains("panicked"), "{words}");
    Ok(words)
}
