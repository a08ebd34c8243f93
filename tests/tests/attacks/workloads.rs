//! Tokens of jobs, whose platform shows its keys to service accounts only, and subjects of odd forms.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use dev_issuer::{DevIssuer, Job, Mint};
use e2e::{authority::Authority, visitor::plain_client, wait};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::stage::{Setup, Stage};

const PATIENCE: Duration = Duration::from_secs(30);

/// The API server of a cluster, before an issuer: TLS by an authority of its own, and 401 without the token in force.
struct ApiServer {
    address: SocketAddr,
    accepted: Arc<Mutex<String>>,
    refused: Arc<AtomicUsize>,
    task: Option<JoinHandle<()>>,
}

impl ApiServer {
    /// Takes an address; [`ApiServer::serve`] answers there.
    async fn listen(accepted: &str) -> Result<(Self, TcpListener)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = Self {
            address: listener.local_addr()?,
            accepted: Arc::new(Mutex::new(accepted.to_owned())),
            refused: Arc::default(),
            task: None,
        };
        Ok((server, listener))
    }

    fn origin(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    fn accept(&self, token: &str) {
        token.clone_into(&mut self.accepted.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    fn serve(
        &mut self,
        listener: TcpListener,
        issuer: SocketAddr,
        authority: &Authority,
    ) -> Result<()> {
        let files = authority.server()?;
        let chain = CertificateDer::pem_file_iter(&files.certificate)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&files.key)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (accepted, refused) = (Arc::clone(&self.accepted), Arc::clone(&self.refused));
        self.task = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, accepted, refused) =
                    (acceptor.clone(), Arc::clone(&accepted), Arc::clone(&refused));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let token = accepted.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let _ = answer(stream, issuer, &token, &refused).await;
                });
            }
        }));
        Ok(())
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn answer(
    mut stream: TlsStream<TcpStream>,
    issuer: SocketAddr,
    token: &str,
    refused: &AtomicUsize,
) -> Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        anyhow::ensure!(stream.read_buf(&mut head).await? > 0, "the client left");
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).context("a target")?;
    let expected = format!("authorization: Bearer {token}");
    let (status, body) = if head.lines().any(|line| line == expected) {
        let answer = plain_client()?.get(format!("http://{issuer}{path}")).send().await?;
        (answer.status().as_u16(), answer.text().await?)
    } else {
        refused.fetch_add(1, Ordering::Relaxed);
        (401, String::new())
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// A cluster whose pods call `/run`, by the files in `folder`.
async fn cluster(name: &str, folder: &Path) -> Result<(ApiServer, DevIssuer, Stage)> {
    let authority = Authority::new(folder)?;
    std::fs::write(folder.join("token"), "first-token\n")?;
    let (mut server, listener) = ApiServer::listen("first-token").await?;
    let issuer = DevIssuer::builder().public_url(server.origin()).start("127.0.0.1:0").await?;
    server.serve(listener, issuer.addr(), &authority)?;
    let settings = format!(
        "url: {}\nprofile: workload\naudience: [doorward]\nfetch: {{ ca_file: {}, token_file: {} }}\n",
        issuer.url(),
        authority.certificate().display(),
        folder.join("token").display(),
    );
    let routes = "\
run:
  match: { path: /run }
  upstream: UPSTREAM
  sign_in: challenge
  access: [{ allow: { subjects: ['system:serviceaccount:run:*'], issuers: [cluster] } }]
";
    let stage = Setup::new(name)
        .with_routes(routes)
        .with_plan(move |plan| plan.with_issuer_of_programs("cluster", &settings))
        .start()
        .await?;
    Ok((server, issuer, stage))
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_keys_are_fetched_with_the_token_in_force() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("doorward-cluster-{}", std::process::id()));
    let (server, issuer, stage) = cluster("attack-workload-cluster", &folder).await?;
    let call = async |namespace: &str| -> Result<u16> {
        let pod = Job::service_account(namespace, "trainer");
        let token = issuer.mint(Mint::job(pod).audience(["doorward"]))?;
        Ok(stage.get("/run/x").bearer(&token).send().await?.status)
    };
    assert_eq!(call("run").await?, 200);
    assert_eq!(call("lab").await?, 403);
    assert_eq!(server.refused(), 0, "every request had the token");

    // The kubelet replaces the token, and the cluster its keys.
    std::fs::write(folder.join("new"), "second-token\n")?;
    std::fs::rename(folder.join("new"), folder.join("token"))?;
    server.accept("second-token");
    issuer.rotate_keys().await?;
    wait::until("the new keys", PATIENCE, async || {
        anyhow::ensure!(call("run").await? == 200, "refused");
        Ok(Some(()))
    })
    .await?;
    assert_eq!(server.refused(), 0, "the new token was sent");
    std::fs::remove_dir_all(folder)?;
    stage.finish(&["pod=first-token", "pod=second-token"])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_subject_reaches_no_header_as_syntax() -> Result<()> {
    let platform = DevIssuer::builder().start("127.0.0.1:0").await?;
    let settings = format!("url: {}\nprofile: workload\naudience: [doorward]\n", platform.url());
    let routes = "\
run:
  match: { path: /run }
  upstream: UPSTREAM
  sign_in: challenge
  access: [{ allow: { subjects: ['repo:corp/*:environment:*'], issuers: [actions] } }]
";
    let stage = Setup::new("attack-workload-subjects")
        .with_routes(routes)
        .with_plan(move |plan| plan.with_issuer_of_programs("actions", &settings))
        .start()
        .await?;
    let call = async |subject: &str| -> Result<u16> {
        let job = Job::github("corp/churn", "main").with_subject(subject);
        let token = platform.mint(Mint::job(job).audience(["doorward"]))?;
        Ok(stage.get("/run/x").bearer(&token).send().await?.status)
    };
    // Text of one part stays in one part, in the token's spelling.
    for (subject, sent) in [
        ("repo:corp/churn:environment:run", "repo:corp/churn:environment:run"),
        ("repo:corp/churn:environment:a%3Aref", "repo:corp/churn:environment:a%253Aref"),
        ("repo:corp/churn:environment:a,b", "repo:corp/churn:environment:a%2Cb"),
        ("repo:corp/churn:environment:é", "repo:corp/churn:environment:%C3%A9"),
        ("repo:corp/churn:environment:a\r\nX-Forwarded-Roles: admin", ""),
        ("repo:corp/churn:environment:a\0", ""),
    ] {
        let status = call(subject).await?;
        if sent.is_empty() {
            assert!(matches!(status, 401 | 403), "{subject:?}: {status}");
            continue;
        }
        assert_eq!(status, 200, "{subject:?}");
        let seen = stage.upstream.last("/run/x")?;
        assert_eq!(seen.value("x-forwarded-user").as_deref(), Some(sent));
        assert_eq!(seen.values("x-forwarded-roles"), [""; 0]);
    }
    for refused in [
        "repo:corp/churn:environment:",
        "repo:corp/churn:environment:a:ref",
        "repo:corp/churn:environment:a/b",
        "repo:corp/a/b:environment:run",
        "repo:Corp/churn:environment:run",
        "repo:corp/churn:pull_request",
        "repo:corp/churn:environment",
    ] {
        assert_eq!(call(refused).await?, 403, "{refused}");
    }
    stage.finish(&[])
}
