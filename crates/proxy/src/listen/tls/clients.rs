//! Certificates of clients (mutual TLS), for the hosts whose pair names their CA.
//!
//! Each such pair has a configuration of its own, so that its tickets are its own too: a session that was begun under another CA, or
//! under one that is gone, is not resumed. A certificate is judged by revocation lists too where the pair names them, in the handshake and
//! on connections that are open when the lists change or expire. A connection counts for the hosts that ask for certificates of the same CA, since a client
//! uses one HTTP/2 connection for several hosts ([RFC 9113 §9.1.1]).
//!
//! [RFC 9113 §9.1.1]: https://www.rfc-editor.org/rfc/rfc9113#section-9.1.1

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use http_canonical::{ClientCertificate, Peer};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{Acceptor, ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject as _};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, server::TlsStream};

use super::{CertificateError, Certificates, Pairs, builder, finished};
use crate::config::{ClientCertificates, RevocationLists, Tls};

/// The clients of one pair.
pub(super) struct Clients {
    files: Tls,
    current: ArcSwap<Current>,
}

/// The files of one pair's clients, as they were read.
struct Current {
    config: Arc<ServerConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
    /// The end of the first revocation list.
    lists_until: Option<SystemTime>,
    /// Another one whenever certificates that counted may not count any more.
    generation: usize,
}

impl Clients {
    /// Reads the CA of a pair and its revocation lists; `None` if it names none. Lists that have expired are used: they let no client in.
    pub(super) fn of(
        files: &Tls,
        pairs: &Arc<Pairs>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Self>, CertificateError> {
        let Some(judge) = Judge::of(files, provider)? else { return Ok(None) };
        let current = judge.into_current(0, pairs, provider)?;
        Ok(Some(Self { files: files.clone(), current: ArcSwap::from_pointee(current) }))
    }

    /// Reads the files again. Sessions that were begun before are not resumed. Lists that have expired replace no valid ones.
    pub(super) fn reload(
        &self,
        pairs: &Arc<Pairs>,
        provider: &Arc<CryptoProvider>,
        now: SystemTime,
    ) -> Result<(), CertificateError> {
        let Some(judge) = Judge::of(&self.files, provider)? else { return Ok(()) };
        let present = self.current.load_full();
        if let (Some(until), Some(path)) = (judge.lists_until, &self.files.client_crl)
            && until <= now
            && present.lists_until.is_some_and(|until| now < until)
        {
            return Err(CertificateError::ExpiredRevocations { path: path.clone(), until });
        }
        let next = present.generation + 1;
        self.current.store(Arc::new(judge.into_current(next, pairs, provider)?));
        Ok(())
    }

    /// Logs that a list has expired, once, and has no session resumed that was begun before.
    pub(super) fn note_expiry(
        &self,
        pairs: &Arc<Pairs>,
        provider: &Arc<CryptoProvider>,
        now: SystemTime,
    ) {
        let current = self.current.load_full();
        let (Some(until), Some(file)) = (current.lists_until, &self.files.client_crl) else {
            return;
        };
        if now < until {
            return;
        }
        tracing::error!(
            file = %file.display(),
            expired = %humantime::format_rfc3339_seconds(until),
            "a revocation list of client certificates has expired: certificates of its authority are refused until the file is replaced"
        );
        let judge = Judge { verifier: Arc::clone(&current.verifier), lists_until: None };
        match judge.into_current(current.generation + 1, pairs, provider) {
            Ok(next) => self.current.store(Arc::new(next)),
            Err(error) => {
                tracing::error!(%error, "TLS sessions may be resumed that were begun before")
            }
        }
    }
}

/// Judges the certificates of a pair's clients.
struct Judge {
    verifier: Arc<dyn ClientCertVerifier>,
    lists_until: Option<SystemTime>,
}

/// The judge of the certificates of a pair's clients; `None` if they are asked for none.
///
/// # Errors
///
/// [`CertificateError::Clients`], [`CertificateError::Revocations`]
pub fn client_verifier(
    files: &Tls,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, CertificateError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(Judge::of(files, &provider)?.map(|judge| judge.verifier))
}

impl Judge {
    fn of(files: &Tls, provider: &Arc<CryptoProvider>) -> Result<Option<Self>, CertificateError> {
        let Some(file) = &files.client_ca else { return Ok(None) };
        let unusable = |reason: String| CertificateError::Clients { path: file.clone(), reason };
        let mut roots = RootCertStore::empty();
        let contents = super::contents(file).map_err(|error| unusable(error.to_string()))?;
        for certificate in CertificateDer::pem_slice_iter(&contents) {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        if files.client_certificates == ClientCertificates::Request {
            verifier = verifier.allow_unauthenticated();
        }
        let mut lists_until = None;
        if let Some(file) = &files.client_crl {
            // At least one: a builder without lists would check no revocation.
            let lists = RevocationLists::read(file)?;
            lists_until = Some(lists.until());
            // A status that no list tells is a refusal, which is the builder's default.
            verifier = verifier.with_crls(lists.into_lists()).enforce_revocation_expiration();
        }
        // Without a CA this fails.
        let verifier = verifier.build().map_err(|error| unusable(error.to_string()))?;
        Ok(Some(Self { verifier, lists_until }))
    }

    fn into_current(
        self,
        generation: usize,
        pairs: &Arc<Pairs>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Current, CertificateError> {
        let Self { verifier, lists_until } = self;
        let config = builder(provider)?
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_cert_resolver(Arc::clone(pairs) as Arc<dyn ResolvesServerCert>);
        Ok(Current { config: finished(config)?, verifier, lists_until, generation })
    }
}

/// Logs a handshake that fails because of the revocation of a certificate, or because that cannot be known.
pub(in crate::listen) fn log_revocation(error: &io::Error, peer: Peer) {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let reason = match cause {
        Some(rustls::Error::InvalidCertRevocationList(_)) => {
            "the list of its authority in `client_crl` is not signed by it, or of an unsupported form"
        }
        Some(rustls::Error::InvalidCertificate(cause)) => match cause {
            rustls::CertificateError::Revoked => "it is revoked",
            rustls::CertificateError::UnknownRevocationStatus => {
                "no list in `client_crl` is of its authority"
            }
            rustls::CertificateError::ExpiredRevocationList
            | rustls::CertificateError::ExpiredRevocationListContext { .. } => {
                "the list of its authority in `client_crl` has expired"
            }
            _ => return,
        },
        _ => return,
    };
    let address = peer.ip().map(tracing::field::display);
    tracing::warn!(address, reason, "client certificate refused in the handshake");
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
        let (config, generation) = match clients.map(|clients| clients.current.load_full()) {
            Some(current) => (Arc::clone(&current.config), current.generation),
            None => (Arc::clone(self.plain.config()), 0),
        };
        let stream = start.into_stream(config).await?;
        let judged = Arc::new(AtomicUsize::new(generation));
        let certificates = Arc::clone(certificates);
        Ok((stream, Some(ClientsOf { certificates, pair, judged })))
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
    /// The generation of files by which the certificate of the connection was judged.
    judged: Arc<AtomicUsize>,
}

impl ClientsOf {
    /// Whether the certificate of the connection counts by the present revocation lists. It is judged again when they change or expire.
    /// Where a pair has none, a certificate counts as long as its connection.
    pub(in crate::listen) fn count(&self, certificate: &ClientCertificate) -> bool {
        let clients = self.pair.and_then(|number| self.certificates.clients.get(number)?.as_ref());
        let Some(clients) = clients.filter(|clients| clients.files.client_crl.is_some()) else {
            return true;
        };
        let current = clients.current.load();
        if self.judged.load(Ordering::Relaxed) == current.generation {
            return true;
        }
        let own = CertificateDer::from(certificate.der());
        let chain: Vec<_> = certificate.chain().map(CertificateDer::from).collect();
        let now = self.certificates.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(now);
        let counts = current.verifier.verify_client_cert(&own, &chain, now).is_ok();
        if counts {
            self.judged.store(current.generation, Ordering::Relaxed);
        }
        counts
    }

    /// Whether a request for this host may come on the connection: the host asks for no other certificates.
    pub(in crate::listen) fn include(&self, host: &str) -> bool {
        let other = self.certificates.number_of(Some(host));
        let of = |number: Option<usize>| {
            let pair = self.certificates.pairs.0.get(number?)?;
            let Tls { client_ca, client_crl, client_certificates, .. } = &pair.files;
            client_ca.as_ref().map(|file| (file, client_crl, *client_certificates))
        };
        of(self.pair) == of(other)
    }
}

// === impl fmt ===

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("file", &self.files.client_ca).finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientsOf").field("pair", &self.pair).finish_non_exhaustive()
    }
}
