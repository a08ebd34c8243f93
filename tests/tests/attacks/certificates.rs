//! Tokens that are bound to a client certificate (RFC 8705 §3), over TLS with the gateway and behind proxies that end it (RFC 9440).

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use dev_issuer::Mint;
use e2e::{
    authority::{Authority, Certified},
    wait,
    wire::Answer,
};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    stage::{Setup, Stage},
    tokens::code_of,
};

/// Longer than the interval at which the gateway looks at its files.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Authorities of the gateway and of its clients.
pub(crate) struct Parts {
    pub(crate) folder: TempDir,
    server: Authority,
    pub(crate) clients: Authority,
}

impl Parts {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let server = Authority::new(&folder.path().join("server"))?;
        let clients = Authority::new(&folder.path().join("clients"))?;
        Ok(Self { folder, server, clients })
    }

    /// The file that the gateway takes the clients' authority from.
    pub(crate) fn client_ca(&self) -> std::path::PathBuf {
        self.folder.path().join("client-ca.pem")
    }

    pub(crate) fn trust(&self, authority: &Authority) -> Result<()> {
        let fresh = self.folder.path().join("fresh.pem");
        std::fs::copy(authority.certificate(), &fresh)?;
        Ok(std::fs::rename(fresh, self.client_ca())?)
    }

    /// `tls` with one pair that asks for certificates, and one for `plain.example` that does not.
    pub(crate) fn tls(&self, more: &str) -> Result<String> {
        self.trust(&self.clients)?;
        let Certified { certificate, key, .. } = self.server.server()?;
        let pair = format!("certificate: {}, key: {}", certificate.display(), key.display());
        let client_ca = self.client_ca();
        Ok(format!(
            "tls: [ {{ {pair}, client_ca: {}{more} }}, {{ {pair}, names: [plain.example] }} ]",
            client_ca.display()
        ))
    }

    async fn stage(&self, name: &str, more: &str) -> Result<Stage> {
        let tls = self.tls(more)?;
        Setup::new(name).with_plan(move |plan| plan.with(&tls)).start().await
    }
}

pub(crate) fn der(file: &Path) -> Result<Vec<u8>> {
    Ok(CertificateDer::from_pem_file(file)?.to_vec())
}

/// A token of alice that is bound to this certificate.
fn bound(stage: &Stage, certified: &Certified) -> Result<String> {
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &der(&certified.certificate)?));
    let cnf = json!({ "x5t#S256": thumbprint });
    Ok(stage.issuer.mint(Mint::access("alice").client("gateway").claim("cnf", cnf))?)
}

/// A client over TLS; the sessions it may resume are its own.
pub(crate) fn client(parts: &Parts, own: Option<&Certified>) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(parts.server.certificate())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(Arc::new(match own {
        None => config.with_no_client_auth(),
        Some(Certified { certificate, key, .. }) => config.with_client_auth_cert(
            vec![CertificateDer::from_pem_file(certificate)?],
            PrivateKeyDer::from_pem_file(key)?,
        )?,
    }))
}

pub(crate) async fn connect(
    stage: &Stage,
    client: &Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", stage.gateway.port())).await?;
    let name: ServerName<'static> = "localhost".try_into()?;
    Ok(TlsConnector::from(Arc::clone(client)).connect(name, stream).await?)
}

/// Sends a request and returns status and body. The connection stays open.
pub(crate) async fn ask(
    stream: &mut TlsStream<TcpStream>,
    stage: &Stage,
    target: &str,
    fields: &[(&str, &str)],
) -> Result<(u16, String)> {
    ask_host(stream, &stage.host(), target, fields).await
}

async fn ask_host(
    stream: &mut TlsStream<TcpStream>,
    host: &str,
    target: &str,
    fields: &[(&str, &str)],
) -> Result<(u16, String)> {
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            let whole = match length {
                Some(length) => body.len() >= length,
                None => body.ends_with("0\r\n\r\n"),
            };
            if whole {
                let status = head.split(' ').nth(1).context("a status")?.parse()?;
                return Ok((status, body.to_owned()));
            }
        }
        let read = tokio::time::timeout(SOON, stream.read_buf(&mut received)).await??;
        ensure!(read > 0, "closed after: {text}");
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_bound_to_a_certificate_needs_it() -> Result<()> {
    let parts = Parts::new()?;
    let stage = parts.stage("certificate-bound", "").await?;
    let (own, other) = (parts.clients.client("alice")?, parts.clients.client("mallory")?);
    let authorization = bearer(&bound(&stage, &own)?);
    let token = [("Authorization", authorization.as_str())];
    let mut stream = connect(&stage, &client(&parts, Some(&own))?).await?;
    for target in ["/echo/a", "/admin/a", "/echo/a", "/oauth2/userinfo"] {
        let (status, body) = ask(&mut stream, &stage, target, &token).await?;
        assert_eq!(status, 200, "{target}: {body}");
    }
    let own_header = format!(":{}:", STANDARD.encode(der(&own.certificate)?));
    let forged = [token[0], ("Client-Cert", own_header.as_str())];
    for (client, fields, code) in [
        (client(&parts, None)?, &token[..], "certificate_missing"),
        (client(&parts, None)?, &forged[..], "certificate_missing"),
        (client(&parts, Some(&other))?, &token[..], "wrong_certificate"),
        (client(&parts, Some(&other))?, &forged[..], "wrong_certificate"),
    ] {
        let mut stream = connect(&stage, &client).await?;
        for target in ["/echo/b", "/public/b", "/oauth2/userinfo"] {
            let (status, body) = ask(&mut stream, &stage, target, fields).await?;
            assert_eq!(status, 401, "{target}: {body}");
            assert!(body.contains(code), "{target}: {body}");
        }
    }
    // A certificate of another authority does not connect; the error may come with the first bytes.
    let stranger = Authority::new(&parts.folder.path().join("stranger"))?.client("alice")?;
    let refused = async {
        let mut stream = connect(&stage, &client(&parts, Some(&stranger))?).await?;
        ask(&mut stream, &stage, "/public/c", &[]).await
    };
    assert!(refused.await.is_err());
    // The certificate alone is no identity.
    let (status, _) = ask(&mut stream, &stage, "/echo/c", &[]).await?;
    assert_eq!(status, 401);
    let reached = stage.reached();
    assert!(!reached.iter().any(|target| target.ends_with("/b")), "{reached:?}");
    stage.finish(&[&format!("token={}", &authorization[7..])])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_session_keeps_its_certificate() -> Result<()> {
    let parts = Parts::new()?;
    let stage = parts.stage("certificate-resumed", "").await?;
    let (own, other) = (parts.clients.client("alice")?, parts.clients.client("mallory")?);
    let authorization = bearer(&bound(&stage, &own)?);
    let token = [("Authorization", authorization.as_str())];
    for (certified, expected) in [(&own, 200), (&other, 401)] {
        let client = client(&parts, Some(certified))?;
        let mut resumed = 0;
        for _ in 0..4 {
            let mut stream = connect(&stage, &client).await?;
            resumed +=
                usize::from(stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed));
            let (status, body) = ask(&mut stream, &stage, "/echo/a", &token).await?;
            assert_eq!(status, expected, "{body}");
        }
        assert!(resumed > 0, "no session was resumed");
    }
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_authority_counts_for_new_connections_at_once() -> Result<()> {
    let parts = Parts::new()?;
    let stage = parts.stage("certificate-authority", ", client_certificates: require").await?;
    let old = parts.clients.client("alice")?;
    let client_of_old = client(&parts, Some(&old))?;
    let mut before = connect(&stage, &client_of_old).await?;
    assert_eq!(ask(&mut before, &stage, "/public/a", &[]).await?.0, 200);
    let anonymous = async {
        let mut stream = connect(&stage, &client(&parts, None)?).await?;
        ask(&mut stream, &stage, "/public/b", &[]).await
    };
    assert!(anonymous.await.is_err(), "a certificate is required");

    let next = Authority::new(&parts.folder.path().join("next"))?;
    let new = next.client("alice")?;
    parts.trust(&next)?;
    wait::until("the new authority", SOON, async || {
        let mut stream = connect(&stage, &client(&parts, Some(&new))?).await?;
        Ok((ask(&mut stream, &stage, "/public/c", &[]).await?.0 == 200).then_some(()))
    })
    .await?;
    let resumed = async {
        let mut stream = connect(&stage, &client_of_old).await?;
        ask(&mut stream, &stage, "/public/d", &[]).await
    };
    assert!(resumed.await.is_err(), "a session of the old authority is not resumed");
    assert_eq!(ask(&mut before, &stage, "/public/e", &[]).await?.0, 200, "connections stay");
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_for_hosts_with_the_same_clients() -> Result<()> {
    let parts = Parts::new()?;
    let tls = parts.tls("")?;
    let routes = "elsewhere:\n  match: { host: plain.example }\n  upstream: UPSTREAM\n  access: [{ allow: anyone }]\n\
                  same:\n  match: { host: same.example }\n  upstream: UPSTREAM\n  access: [{ allow: anyone }]\n";
    let setup = Setup::new("certificate-hosts").with_routes(routes);
    let stage = setup.with_plan(move |plan| plan.with(&tls)).start().await?;
    let own = parts.clients.client("alice")?;
    let mut stream = connect(&stage, &client(&parts, Some(&own))?).await?;
    let port = stage.world.public_port();
    let same = format!("same.example:{port}");
    assert_eq!(ask_host(&mut stream, &same, "/a", &[]).await?.0, 200);
    let other = format!("plain.example:{port}");
    let (status, body) = ask_host(&mut stream, &other, "/b", &[]).await?;
    assert_eq!(status, 421, "{body}");
    assert!(!stage.reached().contains(&"/b".to_owned()));
    stage.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_states_the_certificate_only_where_configured() -> Result<()> {
    let parts = Parts::new()?;
    let (own, other) = (parts.clients.client("alice")?, parts.clients.client("mallory")?);
    let field = |certified: &Certified| {
        anyhow::Ok(format!(":{}:", STANDARD.encode(der(&certified.certificate)?)))
    };
    let (mine, others) = (field(&own)?, field(&other)?);
    let setup = Setup::new("certificate-proxy").trusting_proxies();
    let stage = setup.with_plan(|plan| plan.with("client_cert_header: true")).start().await?;
    let token = bound(&stage, &own)?;
    let answer = stage.get("/echo/a").bearer(&token).header("Client-Cert", &mine).send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = stage.upstream.last("/echo/a")?;
    assert!(seen.values("client-cert").is_empty(), "the field is not passed on");
    let refused = |answer: &Answer| (answer.status, code_of(answer));
    let answer = stage.get("/echo/b").bearer(&token).send().await?;
    assert_eq!(refused(&answer), (401, "certificate_missing".to_owned()));
    let answer = stage.get("/echo/b").bearer(&token).header("Client-Cert", &others).send().await?;
    assert_eq!(refused(&answer), (401, "wrong_certificate".to_owned()));
    let list = format!("{others}, {mine}");
    let with_parameter = format!("{mine};x=1");
    for lines in [
        vec![mine.as_str(), &mine],
        vec![others.as_str(), &mine],
        vec![list.as_str()],
        vec![with_parameter.as_str()],
        vec![mine.trim_end_matches(':')],
        vec![""],
    ] {
        let ask = stage.get("/echo/b").bearer(&token);
        let ask = lines.iter().fold(ask, |ask, line| ask.header("Client-Cert", line));
        let answer = ask.send().await?;
        assert_eq!(refused(&answer), (400, "malformed_request".to_owned()), "{lines:?}");
    }
    let ask = stage.get("/public/b").header("Client_Cert", &mine);
    assert_eq!(ask.send().await?.status, 400, "a name that servers fold onto it");
    assert!(!stage.reached().iter().any(|target| target.ends_with("/b")), "{:?}", stage.reached());
    stage.finish(&[])?;

    let stage = Setup::new("certificate-proxy-unset").trusting_proxies().start().await?;
    let token = bound(&stage, &own)?;
    let answer = stage.get("/echo/a").bearer(&token).header("Client-Cert", &mine).send().await?;
    assert_eq!(refused(&answer), (401, "certificate_missing".to_owned()));
    stage.get("/public/a").header("Client-Cert", &mine).send().await?;
    let seen = stage.upstream.last("/public/a")?;
    assert!(seen.values("client-cert").is_empty(), "the field is removed");
    stage.finish(&[])
}
