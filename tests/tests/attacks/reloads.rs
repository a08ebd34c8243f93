//! Reloads: what is unchanged stays, what is refused changes nothing, and no request is lost.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dev_issuer::{DevClient, DevIssuer, Endpoint, Mint};
use e2e::{World, gateway::Plan, wait};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    load::Load,
    open_streams::{reconfigure, reload, socket},
    stage::{CLIENT_SECRET, Setup, Stage},
};

const PATIENCE: Duration = Duration::from_secs(10);

impl Stage {
    fn file(&self, name: &str) -> PathBuf {
        self.world.folder().join(name)
    }

    fn lines(&self, message: &str) -> Result<Vec<Value>> {
        let mut lines = self.gateway.log_lines()?;
        lines.retain(|line| line["msg"] == message);
        Ok(lines)
    }

    /// Changes files, and sends SIGHUP; waits for one more line with this message.
    async fn hang_up(
        &self,
        message: &str,
        change: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<Value> {
        // The files may be found changed before the signal comes.
        let before = self.lines(message)?.len();
        change()?;
        self.gateway.hang_up();
        self.one_more(message, before).await
    }

    /// Waits for one more line with this message than before.
    async fn one_more(&self, message: &str, before: usize) -> Result<Value> {
        wait::until(&format!("{message:?}"), PATIENCE, async || {
            let mut lines = self.lines(message)?;
            Ok(if lines.len() > before { lines.pop() } else { None })
        })
        .await
    }

    /// A request line for [`Load`].
    fn request(&self, field: &str) -> Vec<u8> {
        format!("GET /echo/load HTTP/1.1\r\nHost: {}\r\n{field}\r\n\r\n", self.host()).into_bytes()
    }

    /// The value of a series of the Prometheus page.
    async fn metric(&self, series: &str) -> Result<f64> {
        let page = self.gateway.metrics().await?;
        let line = page.lines().find(|line| line.starts_with(series));
        Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0))
    }

    /// The claims of the assertion that the upstream got last.
    fn assertion(&self, path: &str) -> Result<Value> {
        let seen = self.upstream.last(path)?.value("x-doorward-assertion").context("none")?;
        let payload = seen.split('.').nth(1).context("no payload")?;
        Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
    }
}

async fn status(stage: &Stage, token: &str) -> Result<u16> {
    Ok(stage.get("/echo/x").bearer(token).send().await?.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touched_secret_changes_nothing_without_the_provider() -> Result<()> {
    let stage = Stage::new("reload-touched").await?;
    let cookie = stage.sign_in("alice").await?;
    let (known, fresh) = (
        stage.issuer.mint(Mint::access("alice").client("gateway"))?,
        stage.issuer.mint(Mint::access("bob").client("gateway"))?,
    );
    assert_eq!(status(&stage, &known).await?, 200);
    stage.issuer.stop().await;
    for file in ["client-secret", "session-key"] {
        // The same bytes in another file, as a mounted secret is replaced.
        let (path, beside) = (stage.file(file), stage.file("beside"));
        fs::copy(&path, &beside)?;
        let before = stage.lines("configuration unchanged")?.len();
        fs::rename(&beside, &path)?;
        stage.one_more("configuration unchanged", before).await?;
    }
    stage.hang_up("configuration unchanged", || Ok(())).await?;
    assert_eq!(status(&stage, &known).await?, 200);
    assert_eq!(status(&stage, &fresh).await?, 200, "the keys are still known");
    let answer = stage.get("/echo/x").header("Cookie", &cookie).send().await?;
    assert_eq!(answer.status, 200);
    ensure!(stage.lines("configuration reloaded")?.is_empty());
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn another_issuers_secret_leaves_keys_and_tokens_alone() -> Result<()> {
    let client = DevClient::confidential("gateway", "its first secret").audience("gateway");
    let partner = DevIssuer::builder().client(client).start("127.0.0.1:0").await?;
    let settings = format!(
        "url: {}\nclient_id: gateway\nclient_auth: {{ secret: {{ file: partner-secret }} }}\naudience: [gateway]",
        partner.url()
    );
    let stage = Setup::new("reload-other-secret")
        .with_plan(move |plan| {
            // The folder of the stage, where the gateway runs.
            let folder = plan.folder().to_owned();
            fs::write(folder.join("partner-secret"), "its first secret").unwrap();
            plan.with_issuer_of_programs("partner", &settings)
        })
        .start()
        .await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    assert_eq!(status(&stage, &token).await?, 200);
    let fetched = (stage.issuer.requests(Endpoint::Jwks), partner.requests(Endpoint::Jwks));
    let cached = "doorward_token_verifications_total{issuer=\"main\",outcome=\"cached\"}";
    let remembered = stage.metric(cached).await?;

    let secret = stage.file("partner-secret");
    stage.hang_up("configuration reloaded", || fs::write(secret, "its second secret")).await?;
    wait::until("the partner's keys to be fetched again", PATIENCE, async || {
        Ok((partner.requests(Endpoint::Jwks) > fetched.1).then_some(()))
    })
    .await?;
    assert_eq!(status(&stage, &token).await?, 200);
    assert_eq!(stage.issuer.requests(Endpoint::Jwks), fetched.0, "the main issuer is unchanged");
    assert_eq!(stage.metric(cached).await?, remembered + 1.0, "its token is still remembered");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_reload_rotates_no_session_key() -> Result<()> {
    let stage = Stage::new("reload-refused").await?;
    let cookie = stage.sign_in("alice").await?;
    let published = stage.get("/oauth2/jwks").send().await?.body;
    let (one, other) = (
        rcgen::generate_simple_self_signed(["one.example".to_owned()])?,
        rcgen::generate_simple_self_signed(["other.example".to_owned()])?,
    );
    fs::write(stage.file("own.crt"), one.cert.pem())?;
    fs::write(stage.file("own.key"), other.signing_key.serialize_pem())?;
    let first = fs::read_to_string(stage.gateway.config())?;
    let key = fs::read_to_string(stage.file("session-key"))?;
    // Both are new: the session key, and a route whose certificate and key do not belong together.
    let route = "  broken:\n    match: { path: /broken }\n    upstream: https://localhost:1\n    \
                 upstream_tls: { client_certificate: own.crt, client_key: own.key }\n    access: [{ allow: signed_in }]\n";
    let refused = "invalid configuration refused; the previous one stays in use";
    let change = || {
        fs::write(stage.gateway.config(), format!("{first}{route}"))?;
        fs::write(stage.file("session-key"), "another session key of 32 bytes and more")
    };
    let line = stage.hang_up(refused, change).await?;
    ensure!(line["reason"].as_str().is_some_and(|reason| reason.contains("broken")), "{line}");
    assert_eq!(stage.get("/oauth2/jwks").send().await?.body, published);
    let answer = stage.get("/echo/x").header("Cookie", &cookie).send().await?;
    assert_eq!(answer.status, 200, "the session's key is still in use");
    let again = stage.sign_in("bob").await?;
    let restore = || {
        fs::write(stage.file("session-key"), &key)?;
        fs::write(stage.gateway.config(), &first)
    };
    stage.hang_up("configuration unchanged", restore).await?;
    let answer = stage.get("/echo/x").header("Cookie", &again).send().await?;
    assert_eq!(answer.status, 200, "the old key sealed it");
    stage.finish(&[&cookie, &again])
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_routes_keep_their_connections() -> Result<()> {
    // Each worker has its own connections.
    let one = |plan: Plan| plan.with("runtime: { workers: 1 }");
    let stage = Setup::new("reload-pools").with_plan(one).start().await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    assert_eq!(status(&stage, &token).await?, 200);
    let before = stage.upstream.connections();
    // Another route, other rules of this one, and a second target beside the first.
    reload(&stage, "echo:\n", "echo:\n    title: Echo\n").await?;
    assert_eq!(status(&stage, &token).await?, 200);
    let own = format!("match: {{ path: /echo }}\n    upstream: {}", stage.upstream.url());
    let two = own.replace("upstream: ", "upstream: [") + ", http://127.0.0.1:1]";
    reload(&stage, &own, &two).await?;
    for _ in 0..4 {
        assert_eq!(status(&stage, &token).await?, 200);
    }
    assert_eq!(stage.upstream.connections(), before, "one connection serves all of them");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ejected_target_stays_ejected_over_a_reload() -> Result<()> {
    let stage = Stage::new("reload-health").await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    let own = format!("match: {{ path: /echo }}\n    upstream: {}", stage.upstream.url());
    let two = own.replace("upstream: ", "upstream: [") + ", http://127.0.0.1:1]";
    reload(&stage, &own, &two).await?;
    let ejected = "doorward_upstream_targets_ejected{route=\"echo\"}";
    wait::until("the dead target to be ejected", PATIENCE, async || {
        assert_eq!(status(&stage, &token).await?, 200);
        Ok((stage.metric(ejected).await? > 0.0).then_some(()))
    })
    .await?;
    reload(&stage, "echo:\n", "echo:\n    title: Echo\n").await?;
    ensure!(stage.metric(ejected).await? > 0.0, "its health is forgotten");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_public_url_is_the_new_issuer_of_assertions() -> Result<()> {
    let stage = Stage::new("reload-public-url").await?;
    let token = stage.issuer.mint(Mint::access("alice").client("gateway"))?;
    assert_eq!(status(&stage, &token).await?, 200);
    let old = stage.origin();
    assert_eq!(stage.assertion("/echo/x")?["iss"], old);
    let new = old.replace("localhost", "127.0.0.1");
    reload(&stage, &format!("public_url: {old}"), &format!("public_url: {new}")).await?;
    let request = format!(
        "GET /echo/y HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n",
        new.trim_start_matches("http://")
    );
    assert_eq!(stage.raw(request).await?.status(), 200);
    assert_eq!(stage.assertion("/echo/y")?["iss"], new);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_need_a_restart_are_named_in_one_line() -> Result<()> {
    let stage = Stage::new("reload-restart").await?;
    let first = fs::read_to_string(stage.gateway.config())?;
    let changed = first
        .replace("session:\n", "runtime: { workers: 3 }\nsession:\n  idle: 2h\n")
        .replace("log: { level: debug }", "log: { level: info }");
    reconfigure(&stage, &changed).await?;
    let message = "changes of these keys take effect after a restart";
    let line = stage.gateway.logged(message).await?;
    assert_eq!(line["keys"], "runtime, session.idle, log");
    // They wait for the restart also after the next reload.
    reconfigure(&stage, &changed.replace("echo:\n", "echo:\n    title: Echo\n")).await?;
    assert_eq!(stage.lines(message)?.len(), 2);
    reconfigure(&stage, &first).await?;
    assert_eq!(stage.lines(message)?.len(), 2);
    stage.finish(&[])
}

/// Seconds of the test under load: 10, or as `DOORWARD_RELOAD_SECONDS` says.
#[expect(clippy::disallowed_methods, reason = "the long form of a test")]
fn seconds() -> u64 {
    let given = std::env::var("DOORWARD_RELOAD_SECONDS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(10)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_each_second_loses_no_request() -> Result<()> {
    let stage = Stage::new("reload-load").await?;
    let cookie = stage.sign_in("alice").await?;
    let token = stage.issuer.mint(Mint::access("bob").client("gateway"))?;
    let mut open = socket(&stage, "/ws", &[("cookie", &cookie)]).await?;
    let requests = [
        stage.request(&format!("Cookie: {cookie}")),
        stage.request(&format!("Authorization: Bearer {token}")),
    ];
    let load = Load::start(stage.gateway.port(), &requests);
    let first = fs::read_to_string(stage.gateway.config())?;
    for second in 0..seconds() {
        let begun = Instant::now();
        let route = format!(
            "  extra{second}:\n    match: {{ path: /extra{second} }}\n    upstream: {}\n    access: [{{ allow: anyone }}]\n",
            stage.upstream.url()
        );
        reconfigure(&stage, &format!("{first}{route}")).await?;
        sleep(Duration::from_secs(1).saturating_sub(begun.elapsed())).await;
    }
    let answered = load.stop().await?;
    ensure!(answered > 500, "only {answered} requests in {} s", seconds());
    assert_eq!(open.ask("still").await?, "still");
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_fails_no_handshake() -> Result<()> {
    let world = World::new_with_tls("reload-certificate")?;
    let upstream = world.echo().await?;
    let issuer = DevIssuer::builder()
        .client(DevClient::confidential("gateway", CLIENT_SECRET).audience("gateway"))
        .start("127.0.0.1:0")
        .await?;
    let route = format!(
        "public:\n  match: {{ path: / }}\n  upstream: {}\n  access: [{{ allow: anyone }}]",
        upstream.url()
    );
    let gateway = Plan::with_client(&world, issuer.url(), CLIENT_SECRET, &route)?.start().await?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let old = fs::read(world.folder().join("tls.crt"))?;
    let trusting = |certificates: &[&[u8]]| -> Result<reqwest::Client> {
        e2e::visitor::plain_client()?;
        let roots = certificates.iter().map(|pem| reqwest::Certificate::from_pem(pem));
        Ok(reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only(roots.collect::<Result<Vec<_>, _>>()?)
            .pool_max_idle_per_host(0)
            .build()?)
    };
    let new = made.cert.pem().into_bytes();
    let (both, only_new) = (trusting(&[&old, &new])?, trusting(&[&new])?);
    let mut replaced = None;
    let begun = Instant::now();
    let mut written = false;
    let mut handshakes = 0;
    while replaced.is_none() {
        let answer = both.get(world.url("/x")).send().await?;
        assert_eq!(answer.status(), 200);
        handshakes += 1;
        if !written && begun.elapsed() > Duration::from_secs(1) {
            // The key first: for a moment the two do not belong together.
            fs::write(world.folder().join("tls.key"), made.signing_key.serialize_pem())?;
            sleep(Duration::from_millis(50)).await;
            fs::write(world.folder().join("tls.crt"), made.cert.pem())?;
            written = true;
        }
        if only_new.get(world.url("/x")).send().await.is_ok() {
            replaced = Some(begun.elapsed());
        }
        ensure!(begun.elapsed() < Duration::from_secs(12), "the new certificate is not used");
    }
    ensure!(handshakes > 20, "only {handshakes} handshakes");
    gateway.finish(&[])
}
