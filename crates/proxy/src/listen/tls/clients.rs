//! Certificates of clients (mutual TLS), for the hosts whose pair names their CA.
//!
//! Each such pair has a configuration of its own, so that its tickets are its own too: a session that was begun under another CA, or
//! under one that is gone, is not resumed. A connection counts for the hosts that ask for certificates of the same CA, since a client
//! uses one HTTP/2 connection for several hosts ([RFC 9113 §9.1.1]).
//!
//! [RFC 9113 §9.1.1]: https://www.rfc-editor.org/rfc/rfc9113#section-9.1.1

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use http_canonical::ClientCertificate;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{Acceptor, ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, server::TlsStream};

use super::{CertificateError, Certificates, Pairs, builder, finished};
use crate::config::{ClientCertificates, Tls};

/// The clients of one pair.
pub(super) struct Clients {
    file: PathBuf,
    required: bool,
    current: ArcSwap<ServerConfig>,
}

impl Clients {
    /// Reads the CA of a pair; `None` if it names none.
    pub(super) fn of(
        files: &Tls,
        pairs: &Arc<Pairs>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Self>, CertificateError> {
        let Some(file) = &files.client_ca else { return Ok(None) };
        let required = files.client_certificates == ClientCertificates::Require;
        let config = read(file, required, pairs, provider)?;
        Ok(Some(Self { file: file.clone(), required, current: ArcSwap::new(config) }))
    }

    /// Reads the CA again. Sessions that were begun before are not resumed.
    pub(super) fn reload(
        &self,
        pairs: &Arc<Pairs>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(), CertificateError> {
        self.current.store(read(&self.file, self.required, pairs, provider)?);
        Ok(())
    }
}

/// The judge of the certificates of a pair's clients; `None` if they are asked for none.
///
/// # Errors
///
/// [`CertificateError::Clients`]
pub fn client_verifier(
    files: &Tls,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, CertificateError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let required = files.client_certificates == ClientCertificates::Require;
    let Some(file) = &files.client_ca else { return Ok(None) };
    verifier(file, required, &provider).map(Some)
}

fn verifier(
    file: &Path,
    required: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
    let unusable = |reason: String| CertificateError::Clients { path: file.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    let contents = super::contents(file).map_err(|error| unusable(error.to_string()))?;
    for certificate in CertificateDer::pem_slice_iter(&contents) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let verifier = match required {
        true => verifier,
        false => verifier.allow_unauthenticated(),
    };
    // Without a CA this fails.
    verifier.build().map_err(|error| unusable(error.to_string()))
}

fn read(
    file: &Path,
    required: bool,
    pairs: &Arc<Pairs>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let config = builder(provider)?
        .with_client_cert_verifier(verifier(file, required, provider)?)
        .with_cert_resolver(Arc::clone(pairs) as Arc<dyn ResolvesServerCert>);
    finished(config)
}

/// Makes TLS of accepted connections.
#[derive(Clone)]
pub(in crate::listen) struct Handshakes {
    plain: TlsAcceptor,
    /// Present where some pair asks for certificates of clients.
    certificates: Option<Arc<Certificates>>,
}

impl Handshakes {
    pub(in crate::listen) fn new(
        certificates: &Arc<Certificates>,
    ) -> Result<Self, CertificateError> {
        let plain = TlsAcceptor::from(certificates.server_config()?);
        let asks = certificates.clients.iter().any(Option::is_some);
        Ok(Self { plain, certificates: asks.then(|| Arc::clone(certificates)) })
    }

    /// The handshake of a connection, and the clients that it is for where some host asks for certificates.
    pub(in crate::listen) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<ClientsOf>)> {
        match &self.certificates {
            None => Ok((self.plain.accept(stream).await?, None)),
            Some(certificates) => Box::pin(self.accept_clients(stream, certificates)).await,
        }
    }

    async fn accept_clients(
        &self,
        stream: TcpStream,
        certificates: &Arc<Certificates>,
    ) -> io::Result<(TlsStream<TcpStream>, Option<ClientsOf>)> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let host = start.client_hello().server_name().map(str::to_ascii_lowercase);
        let pair = certificates.number_of(host.as_deref());
        let clients = pair.and_then(|number| certificates.clients.get(number)?.as_ref());
        let config = match clients {
            Some(clients) => clients.current.load_full(),
            None => Arc::clone(self.plain.config()),
        };
        let stream = start.into_stream(config).await?;
        Ok((stream, Some(ClientsOf { certificates: Arc::clone(certificates), pair })))
    }
}

/// The certificate whose key the client proved to hold.
pub(in crate::listen) fn certificate_of(
    stream: &TlsStream<TcpStream>,
) -> Option<Arc<ClientCertificate>> {
    let (own, chain) = stream.get_ref().1.peer_certificates()?.split_first()?;
    let chain = chain.iter().map(|certificate| certificate.to_vec()).collect();
    Some(Arc::new(ClientCertificate::new(own.to_vec(), chain)))
}

/// The clients that a connection was made for: those of one pair.
#[derive(Clone)]
pub(in crate::listen) struct ClientsOf {
    certificates: Arc<Certificates>,
    pair: Option<usize>,
}

impl ClientsOf {
    /// Whether a request for this host may come on the connection: the host asks for no other certificates.
    pub(in crate::listen) fn include(&self, host: &str) -> bool {
        let other = self.certificates.number_of(Some(host));
        let of = |number: Option<usize>| {
            let pair = self.certificates.pairs.0.get(number?)?;
            pair.files.client_ca.as_ref().map(|file| (file, pair.files.client_certificates))
        };
        of(self.pair) == of(other)
    }
}

// === impl fmt ===

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("file", &self.file).finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientsOf").field("pair", &self.pair).finish_non_exhaustive()
    }
}
