//! Connections with a TLS handshake and one request each, full or resumed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::measured::Measured;

/// A measurement of handshakes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Handshakes {
    /// Address of the proxy
    address: SocketAddr,
    /// Path of the request
    path: String,
    /// The proxy's certificate
    #[arg(long)]
    certificate: PathBuf,
    /// Connections at once
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Duration
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Resume the session of the connection before
    #[arg(long)]
    resume: bool,
    /// Offer the exchange X25519MLKEM768; without it X25519 alone
    #[arg(long)]
    post_quantum: bool,
}

impl Handshakes {
    /// Counts connections from connect to the end of the answer.
    pub(crate) async fn measure(self) -> anyhow::Result<Measured> {
        let mut tasks = JoinSet::new();
        let began = Instant::now();
        let end = began + Duration::from_secs_f64(self.seconds);
        for _ in 0..self.connections {
            let connections = Connections {
                tls: TlsConnector::from(Arc::new(self.client()?)),
                address: self.address,
                request: format!(
                    "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                    self.path, self.address
                ),
            };
            let expected = if self.resume { HandshakeKind::Resumed } else { HandshakeKind::Full };
            tasks.spawn_local(async move {
                if expected == HandshakeKind::Resumed {
                    connections.open().await?;
                }
                let mut latencies = Vec::new();
                let mut connected = Instant::now();
                while connected < end {
                    let kind = connections.open().await?;
                    anyhow::ensure!(kind == expected, "a handshake was {kind:?}");
                    let now = Instant::now();
                    latencies.push(now - connected);
                    connected = now;
                }
                anyhow::Ok(latencies)
            });
        }
        let mut latencies = Vec::new();
        while let Some(done) = tasks.join_next().await {
            latencies.extend(done??);
        }
        Ok(Measured { took: began.elapsed(), latencies })
    }

    /// A client of its own for each task, so that no task uses up the tickets of another.
    fn client(&self) -> anyhow::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.certificate)?)?;
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![if self.post_quantum {
            aws_lc_rs::kx_group::X25519MLKEM768
        } else {
            aws_lc_rs::kx_group::X25519
        }];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption =
            if self.resume { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
        Ok(config)
    }
}

/// Connections of one task, one after another.
struct Connections {
    tls: TlsConnector,
    address: SocketAddr,
    request: String,
}

impl Connections {
    async fn open(&self) -> anyhow::Result<HandshakeKind> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(self.address.ip());
        let mut stream = self.tls.connect(name, stream).await?;
        stream.write_all(self.request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(2048);
        match stream.read_to_end(&mut answer).await {
            // Some servers close without close_notify; the head tells a good answer from a broken one.
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error)?,
            _ => {
                anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200"), "the proxy did not answer 200")
            }
        }
        let (_, connection) = stream.get_ref();
        connection.handshake_kind().context("the handshake did not end")
    }
}
