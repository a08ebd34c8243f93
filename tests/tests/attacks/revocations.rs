//! Client certificates that are revoked, and lists of them that are missing or have expired: none of these certificates connects.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    authority::{Authority, Certified},
    envoy_check::Check,
    wait,
    world::free_port,
};
use oidc_core::{Clock as _, SystemClock};
use rustls::HandshakeKind;
use serde_json::Value;

use crate::{
    certificates::{Parts, SOON, ask, client, connect},
    stage::{Setup, Stage},
};

const REFUSED: &str = "client certificate refused in the handshake";
const EXPIRED: &str = "a revocation list of client certificates has expired: certificates of its authority are refused until the file is replaced";
const DAY: Duration = Duration::from_secs(86_400);

fn from_now(time: Duration) -> SystemTime {
    SystemClock.now() + time
}

/// Authorities, and the file of the lists.
struct Lists {
    parts: Parts,
}

impl Lists {
    fn new(lists: impl FnOnce(&Authority) -> Result<String>) -> Result<Self> {
        let this = Self { parts: Parts::new()? };
        this.replace(&lists(&this.parts.clients)?)?;
        Ok(this)
    }

    fn file(&self) -> std::path::PathBuf {
        self.parts.folder.path().join("clients.crl")
    }

    fn replace(&self, lists: &str) -> Result<()> {
        let fresh = self.parts.folder.path().join("fresh.crl");
        std::fs::write(&fresh, lists)?;
        Ok(std::fs::rename(fresh, self.file())?)
    }

    fn revoke(&self, revoked: &[&Certified]) -> Result<()> {
        self.replace(&self.parts.clients.revoke(revoked, from_now(DAY))?)
    }

    async fn stage(&self, name: &str) -> Result<Stage> {
        let tls = self.parts.tls(&format!(", client_crl: {}", self.file().display()))?;
        Setup::new(name).with_plan(move |plan| plan.with(&tls)).start().await
    }

    /// The status of a request on a connection of its own; the refusal of a handshake may come with its first bytes.
    async fn status(&self, stage: &Stage, own: Option<&Certified>) -> Result<u16> {
        let mut stream = connect(stage, &client(&self.parts, own)?).await?;
        Ok(ask(&mut stream, stage, "/public/a", &[]).await?.0)
    }
}

/// Waits until a handshake was refused for this reason.
async fn refused_because(stage: &Stage, reason: &str) -> Result<()> {
    let of_reason = |line: &Value| {
        line["msg"] == REFUSED && line["reason"].as_str().is_some_and(|text| text.contains(reason))
    };
    wait::until("the refusal in the log", SOON, async || {
        Ok(stage.gateway.log_lines()?.iter().any(of_reason).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_does_not_connect() -> Result<()> {
    let lists = Lists::new(|_| Ok(String::new()))?;
    let (own, revoked) =
        (lists.parts.clients.client("alice")?, lists.parts.clients.client("mallory")?);
    lists.revoke(&[&revoked])?;
    let stage = lists.stage("revoked").await?;
    assert_eq!(lists.status(&stage, Some(&own)).await?, 200);
    assert!(lists.status(&stage, Some(&revoked)).await.is_err(), "a revoked certificate connects");
    refused_because(&stage, "it is revoked").await?;
    // Without a certificate a client connects here, and has no more than that.
    assert_eq!(lists.status(&stage, None).await?, 200);
    assert_eq!(stage.reached().len(), 2);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_revoked_while_it_is_connected() -> Result<()> {
    let lists = Lists::new(|clients| clients.revoke(&[], from_now(DAY)))?;
    let (own, other) = (lists.parts.clients.client("alice")?, lists.parts.clients.client("bob")?);
    let stage = lists.stage("revoked-later").await?;
    let (client_of_own, client_of_other) =
        (client(&lists.parts, Some(&own))?, client(&lists.parts, Some(&other))?);
    let mut open = connect(&stage, &client_of_own).await?;
    let mut stays = connect(&stage, &client_of_other).await?;
    for stream in [&mut open, &mut stays] {
        assert_eq!(ask(stream, &stage, "/public/a", &[]).await?.0, 200);
    }
    lists.revoke(&[&own])?;
    // The connection was open before the list changed: 421 has its client connect again.
    let text = wait::until("the end of the certificate", SOON, async || {
        let (status, text) = ask(&mut open, &stage, "/public/a", &[]).await?;
        Ok((status == 421).then_some(text))
    })
    .await?;
    ensure!(text.contains("client certificate of this connection is revoked"), "{text}");
    let reached = stage.reached().len();
    assert!(lists.status(&stage, Some(&own)).await.is_err(), "it connects again");
    let resumed = async {
        let mut stream = connect(&stage, &client_of_own).await?;
        ask(&mut stream, &stage, "/public/b", &[]).await
    };
    assert!(resumed.await.is_err(), "its session is resumed");
    assert_eq!(stage.reached().len(), reached);
    // Certificates that are not on the list go on, on the same connection.
    for _ in 0..2 {
        assert_eq!(ask(&mut stays, &stage, "/public/c", &[]).await?.0, 200);
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_expires_lets_no_certificate_in() -> Result<()> {
    let end = from_now(Duration::from_secs(25));
    let lists = Lists::new(|clients| clients.revoke(&[], end))?;
    let own = lists.parts.clients.client("alice")?;
    let stage = lists.stage("revocations-expired").await?;
    let client_of_own = client(&lists.parts, Some(&own))?;
    let mut open = connect(&stage, &client_of_own).await?;
    assert_eq!(ask(&mut open, &stage, "/public/a", &[]).await?.0, 200);
    wait::until("the expiry in the log", Duration::from_secs(60), async || {
        let lines = stage.gateway.log_lines()?;
        let line = lines.iter().find(|line| line["msg"] == EXPIRED && line["level"] == "error");
        Ok(line.map(|_| ()))
    })
    .await?;
    assert!(lists.status(&stage, Some(&own)).await.is_err(), "a certificate of an unknown status");
    refused_because(&stage, "has expired").await?;
    let mut again = connect(&stage, &client_of_own).await;
    if let Ok(stream) = &mut again {
        ensure!(stream.get_ref().1.handshake_kind() != Some(HandshakeKind::Resumed), "resumed");
        assert!(ask(stream, &stage, "/public/b", &[]).await.is_err());
    }
    assert_eq!(ask(&mut open, &stage, "/public/b", &[]).await?.0, 421);
    assert_eq!(lists.status(&stage, None).await?, 200);
    lists.revoke(&[])?;
    wait::until("the present list", SOON, async || {
        Ok((lists.status(&stage, Some(&own)).await? == 200).then_some(()))
    })
    .await?;
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_list_replaces_no_valid_one() -> Result<()> {
    let past = SystemClock.now() - DAY;
    let lists = Lists::new(|clients| clients.revoke(&[], past))?;
    let (own, revoked) =
        (lists.parts.clients.client("alice")?, lists.parts.clients.client("mallory")?);
    // A gateway starts with a list that has expired, and lets in no certificate.
    let stage = lists.stage("revocations-unusable").await?;
    stage.gateway.logged(EXPIRED).await?;
    assert!(lists.status(&stage, Some(&own)).await.is_err());
    lists.revoke(&[&revoked])?;
    wait::until("the present list", SOON, async || {
        Ok((lists.status(&stage, Some(&own)).await? == 200).then_some(()))
    })
    .await?;
    let clients = &lists.parts.clients;
    let twice = [clients.revoke(&[], from_now(DAY))?, clients.revoke(&[&revoked], from_now(DAY))?];
    for (text, reason) in [
        (clients.revoke(&[], past)?, "expired revocation list"),
        (String::new(), "holds none"),
        (
            "-----BEGIN X509 CRL-----\nMAEH\n-----END X509 CRL-----\n".to_owned(),
            "a block that is no list",
        ),
        (std::fs::read_to_string(clients.certificate())?, "holds none"),
        (twice.concat(), "holds two of"),
    ] {
        lists.replace(&text)?;
        wait::until("the refusal of the file", SOON, async || {
            let lines = stage.gateway.log_lines()?;
            let of_reason = |line: &Value| {
                line["msg"] == "new certificate refused; the old one stays in use"
                    && line["error"].as_str().is_some_and(|error| error.contains(reason))
            };
            Ok(lines.iter().any(of_reason).then_some(()))
        })
        .await?;
        assert_eq!(lists.status(&stage, Some(&own)).await?, 200, "{reason}");
        assert!(lists.status(&stage, Some(&revoked)).await.is_err(), "{reason}");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_without_a_list_is_refused() -> Result<()> {
    let lists = Lists::new(|_| Ok(String::new()))?;
    let impostor = Authority::new(&lists.parts.folder.path().join("impostor"))?;
    let own = lists.parts.clients.client("alice")?;
    // Authorities of one name: a list that another key signed tells nothing.
    lists.replace(&impostor.revoke(&[], from_now(DAY))?)?;
    let stage = lists.stage("revocations-unknown").await?;
    assert!(lists.status(&stage, Some(&own)).await.is_err(), "an impostor's list counts");
    refused_because(&stage, "is not signed by it").await?;
    lists.revoke(&[])?;
    wait::until("the list of its authority", SOON, async || {
        Ok((lists.status(&stage, Some(&own)).await? == 200).then_some(()))
    })
    .await?;
    // The other authority is trusted as well, and has no list.
    let named = Authority::named(&lists.parts.folder.path().join("named"), "another authority")?;
    let both = [lists.parts.clients.certificate(), named.certificate()];
    let both: String = both.iter().map(std::fs::read_to_string).collect::<std::io::Result<_>>()?;
    let fresh = lists.parts.folder.path().join("fresh.pem");
    std::fs::write(&fresh, both)?;
    std::fs::rename(fresh, lists.parts.client_ca())?;
    let unlisted = named.client("bob")?;
    wait::until("the refusal in the log", SOON, async || {
        ensure!(lists.status(&stage, Some(&unlisted)).await.is_err(), "it connects");
        let lines = stage.gateway.log_lines()?;
        let unknown =
            |line: &Value| line["reason"] == "no list in `client_crl` is of its authority";
        Ok(lines.iter().any(unknown).then_some(()))
    })
    .await?;
    assert_eq!(lists.status(&stage, Some(&own)).await?, 200);
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_envoy_gets_no_decision() -> Result<()> {
    let lists = Lists::new(|clients| clients.revoke(&[], from_now(DAY)))?;
    let (server, envoy) = (lists.parts.clients.server()?, lists.parts.clients.client("envoy")?);
    let port = free_port()?;
    let yaml = format!(
        "ext_authz: {{ listen: \"127.0.0.1:{port}\", tls: {{ certificate: {}, key: {}, client_ca: {}, client_crl: {} }} }}",
        server.certificate.display(),
        server.key.display(),
        lists.parts.clients.certificate().display(),
        lists.file().display(),
    );
    let stage = Setup::new("revoked-envoy").with_plan(move |plan| plan.with(&yaml)).start().await?;
    let check = Check::get(&stage.host(), "/public/a");
    let origin = format!("https://localhost:{port}");
    let by = || -> Result<reqwest::Client> {
        let root = std::fs::read(lists.parts.clients.certificate())?;
        let own = [std::fs::read(&envoy.certificate)?, std::fs::read(&envoy.key)?].concat();
        Ok(reqwest::Client::builder()
            .no_proxy()
            .http2_prior_knowledge()
            .timeout(SOON)
            .tls_certs_only([reqwest::Certificate::from_pem(&root)?])
            .identity(reqwest::Identity::from_pem(&own)?)
            .build()?)
    };
    let open = by()?;
    assert!(check.ask_by(&open, &origin).await?.passes());
    lists.revoke(&[&envoy])?;
    let verdict = wait::until("the end of the certificate", SOON, async || {
        let verdict = check.ask_by(&open, &origin).await.context("on the open connection")?;
        Ok((!verdict.passes()).then_some(verdict))
    })
    .await?;
    assert_eq!(verdict.status, 421, "{verdict:?}");
    assert!(check.ask_by(&by()?, &origin).await.is_err(), "it connects again");
    stage.finish(&[])
}
