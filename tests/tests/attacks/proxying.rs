//! The gateway as a proxy in front of ordinary clients and upstreams: what nginx and Envoy serve, it serves, and without a second
//! reading.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use e2e::{gateway::command, program::Program, wait};

use crate::stage::{Setup, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_stripped_application_is_entered_by_its_slash() -> Result<()> {
    let routes = "shiny:\n  match: { path: /shiny }\n  upstream: UPSTREAM\n  rewrite: { strip_prefix: /shiny }\n  \
                  access: [{ allow: signed_in }]\n\
                  score:\n  match: { path: /score }\n  upstream: UPSTREAM\n  rewrite: { strip_prefix: /score }\n  \
                  access: [{ path: /score, allow: anyone }]\n";
    let stage = Setup::new("proxying-prefix").with_routes(routes).start().await?;
    let cookie = stage.sign_in("alice").await?;
    let bare = stage.get("/shiny?tab=a/b").header("Cookie", &cookie).navigating().send().await?;
    assert_eq!((bare.status, bare.header("location")), (308, "/shiny/?tab=a/b"));
    let page = stage.get("/shiny/?tab=a/b").header("Cookie", &cookie).send().await?;
    assert_eq!(page.status, 200);
    assert_eq!(
        stage.upstream.last("/?tab")?.value("x-forwarded-prefix").as_deref(),
        Some("/shiny")
    );
    let stranger = stage.get("/shiny").navigating().send().await?;
    assert_eq!(stranger.status, 302, "signs in before anything else");
    let portal = stage.get("/oauth2/portal").header("Cookie", &cookie).navigating().send().await?;
    assert!(portal.body.contains("/shiny/\""), "{}", portal.body);
    // A rule that names the path makes it a resource of its own.
    assert_eq!(stage.get("/score").send().await?.status, 200);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_bytes_of_a_target_arrive_percent_encoded() -> Result<()> {
    let stage = Stage::new("proxying-raw").await?;
    for (target, sent) in [
        ("/public/x?q={\"a\":[1]}|C:\\dir^`", "/public/x?q=%7B%22a%22:[1]%7D%7CC:%5Cdir%5E%60"),
        ("/public/a^b`c{d}|e\"", "/public/a%5Eb%60c%7Bd%7D%7Ce%22"),
    ] {
        assert_eq!(stage.get(target).send().await?.status, 200, "{target}");
        assert_eq!(stage.reached().last().map(String::as_str), Some(sent));
    }
    for refused in
        ["/public/a\\b", "/public/<a>", "/public/x?<a>", "/admin/`", "/admin^/../public/x"]
    {
        let status = stage.get(refused).send().await?.status;
        assert!(status == 400 || status == 401, "{refused}: {status}");
    }
    assert_eq!(stage.reached().len(), 2);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_underscores_are_dropped_or_refused() -> Result<()> {
    let routes = "strict:\n  match: { path: /strict }\n  upstream: UPSTREAM\n  headers: { underscores: refuse }\n  \
                  access: [{ allow: anyone }]\n";
    let stage = Setup::new("proxying-underscores").with_routes(routes).start().await?;
    let passed =
        stage.get("/public/x").header("csrf_token", "1").header("X-Kept", "2").send().await?;
    assert_eq!(passed.status, 200);
    let seen = stage.upstream.last("/public/x")?;
    assert!(seen.values("csrf_token").is_empty() && seen.values("csrf-token").is_empty());
    assert_eq!(seen.value("x-kept").as_deref(), Some("2"));
    assert_eq!(stage.get("/strict").header("csrf_token", "1").send().await?.status, 400);
    assert_eq!(stage.get("/strict").send().await?.status, 200);
    for name in ["X_Forwarded_User", "x-forwarded_user", "Content_Length", "Remote_User"] {
        assert_eq!(stage.get("/public/x").header(name, "1").send().await?.status, 400, "{name}");
    }
    let metrics = stage.gateway.metrics().await?;
    let counted = "doorward_underscored_headers_dropped_total{route=\"public\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_at_another_port_is_misdirected() -> Result<()> {
    let stage = Stage::new("proxying-port").await?;
    let ask = async |host: &str, more: &str| {
        let head = format!("GET /public/x HTTP/1.1\r\nHost: {host}\r\n{more}\r\n");
        let answers = stage.raw(head).await?.answers;
        answers.into_iter().next().context("no answer")
    };
    let own = stage.host();
    assert_eq!(ask(&own, "").await?.status, 200);
    assert_eq!(ask("localhost", "").await?.status, 200, "a proxy in front may drop the port");
    for other in ["localhost:81", "localhost:1", "other.test"] {
        let page = ask(other, "Accept: text/html\r\n").await?;
        assert_eq!(page.status, 421, "{other}");
        assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
        assert!(page.body.contains(&own), "names the right address: {}", page.body);
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_target_is_served_at_its_own_host_only() -> Result<()> {
    let stage = Stage::new("proxying-absolute").await?;
    let served = stage.raw("GET http://HOST/public/x?q HTTP/1.1\r\nHost: HOST\r\n\r\n").await?;
    assert_eq!(served.answers[0].status, 200);
    assert_eq!(stage.reached(), ["/public/x?q"]);
    for other in [
        "GET http://evil.test/public/x HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "GET http://HOST/public/x HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        "GET http://a@HOST/public/x HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "GET http://HOST\\/public/x HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "GET http://HOST/public/x HTTP/1.1\r\n\r\n",
        "GET ftp://HOST/public/x HTTP/1.1\r\nHost: HOST\r\n\r\n",
    ] {
        let refused = stage.raw(other).await?;
        assert_eq!(refused.answers[0].status, 400, "{other}");
        assert!(refused.closed, "{other}");
    }
    assert_eq!(stage.reached().len(), 1);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_before_routing_is_like_every_other() -> Result<()> {
    let stage = Stage::new("proxying-early").await?;
    for (line, kind) in [
        ("Accept: text/html,*/*;q=0.8\r\nSec-Fetch-Mode: navigate\r\n", "text/html"),
        ("Accept: */*\r\n", "application/problem+json"),
    ] {
        for fault in [
            "GET /public/../x HTTP/1.1\r\nHost: HOST\r\n",
            "GET /public/x HTTP/1.1\r\nHost: HOST\r\nA b: c\r\n",
        ] {
            // The line that shapes the answer is seen before the one that breaks a rule.
            let (first, rest) = fault.split_once("Host: HOST\r\n").context("no host")?;
            let answer = stage.raw(format!("{first}Host: HOST\r\n{line}{rest}\r\n")).await?;
            let [answer] = answer.answers.as_slice() else { anyhow::bail!("{answer:?}") };
            assert_eq!(answer.status, 400);
            assert!(answer.header("content-type").starts_with(kind), "{answer:?}");
        }
    }
    // Lines are written by a thread of their own.
    wait::until("the log lines", std::time::Duration::from_secs(5), async || {
        let lines = stage.gateway.log_lines()?;
        let logged = |path: &str| {
            lines.iter().any(|line| line["path"] == path && line["address"] == "127.0.0.1")
        };
        Ok((logged("/public/../x") && logged("/public/x")).then_some(()))
    })
    .await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_to_another_protocol_is_not_a_plain_get() -> Result<()> {
    let stage = Stage::new("proxying-upgrade").await?;
    let ask = |protocol: &str| {
        stage.get("/public/x").header("Connection", "Upgrade").header("Upgrade", protocol).send()
    };
    assert_eq!(ask("SPDY/3.1").await?.status, 501);
    assert!(stage.reached().is_empty());
    assert_eq!(ask("h2c").await?.status, 200, "such a client goes on with HTTP/1.1");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_file_has_no_colours_and_descriptors_are_raised() -> Result<()> {
    // The stage's own gateway writes JSON, so another one runs beside it with nearly the same configuration.
    let stage = Stage::new("proxying-log-file").await?;
    let folder = stage.gateway.config().parent().context("no folder")?.to_owned();
    let file = folder.join("text.yaml");
    let yaml = std::fs::read_to_string(stage.gateway.config())?
        .replace("log: { level: debug }", "log: { level: debug, format: text }")
        .replace(&format!("listen: 127.0.0.1:{}", stage.gateway.port()), "listen: 127.0.0.1:0")
        .replace(&stage.gateway.admin_port().to_string(), "0")
        .replace("sessions.redb", "other.redb");
    std::fs::write(&file, yaml)?;
    let script = "ulimit -Sn 200; exec \"$0\" serve --config \"$1\"";
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg(e2e::tools::doorward()?).arg(&file).stdin(Stdio::null());
    let mut program = Program::start("text", &folder, &mut shell)?;
    let patience = std::time::Duration::from_secs(20);
    let log = wait::until("the log", patience, async || {
        program.check_running()?;
        let log = program.output();
        Ok(log.contains("ready to serve").then_some(log))
    })
    .await?;
    assert!(!log.contains('\u{1b}'), "{log}");
    assert!(log.contains("the limit on open files is raised"), "{log}");
    program.stop();
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn check_online_ends_with_its_verdict() -> Result<()> {
    let stage = Stage::new("proxying-check").await?;
    let file = stage.gateway.config().to_str().context("not UTF-8")?.to_owned();
    let check = |online: &[&str]| -> Result<(bool, String)> {
        let arguments = [&["check", "--config", &file][..], online].concat();
        let output = command(&arguments)?;
        Ok((output.status.success(), String::from_utf8(output.stdout)?))
    };
    let (fine, printed) = check(&["--online"])?;
    assert!(
        fine && printed.lines().last().is_some_and(|line| line.contains(" is valid: ")),
        "{printed}"
    );
    stage.issuer.stop().await;
    let (fine, printed) = check(&["--online"])?;
    assert!(!fine && !printed.contains("is valid"), "{printed}");
    assert!(
        printed.lines().last().is_some_and(|line| line.contains("1 problem online")),
        "{printed}"
    );
    let (fine, printed) = check(&[])?;
    assert!(
        fine && printed.lines().next().is_some_and(|line| line.contains(" is valid: ")),
        "{printed}"
    );
    stage.finish(&[])
}
