//! Loads the certificates, and replaces them without a restart.
//!
//! New handshakes use the newest valid pair. A pair that cannot be read, or whose key does not match the certificate, is
//! refused as a whole and the old one stays. `clients` asks clients for their certificates where a pair names their CA.

mod clients;

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use oidc_core::{Clock, SystemClock};
use rustls::{
    ConfigBuilder, ServerConfig, WantsVerifier,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use crate::{
    config::{RevocationListError, Tls},
    metric,
};

use self::clients::Clients;
pub use self::clients::client_verifier;
pub(super) use self::clients::{ClientsOf, Handshakes, certificate_of, log_revocation};

/// Certificate chains and their keys, from PEM files that may change.
#[derive(Debug)]
pub struct Certificates {
    pairs: Arc<Pairs>,
    /// For each pair, present where clients are asked for certificates.
    clients: Vec<Option<Clients>>,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Pairs(Vec<Pair>);

/// A certificate chain and its key.
#[derive(Debug)]
struct Pair {
    files: Tls,
    /// The state of the files before they were read at the start.
    loaded: Stamp,
    current: ArcSwap<CertifiedKey>,
}

/// Reasons a pair of files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The chain cannot be read.
    #[error(
        "cannot read the certificate chain {path}: {source}; it must hold PEM blocks `CERTIFICATE`"
    )]
    Certificate {
        /// the file
        path: PathBuf,
        /// the cause
        source: pem::Error,
    },
    /// The key cannot be read.
    #[error(
        "cannot read the private key {path}: {source}; it must hold one PEM block `PRIVATE KEY`"
    )]
    Key {
        /// the file
        path: PathBuf,
        /// the cause
        source: pem::Error,
    },
    /// Certificate and key do not match.
    #[error("certificate {certificate} and key {key} cannot be used together: {source}")]
    Pair {
        /// the file of the chain
        certificate: PathBuf,
        /// the file of the key
        key: PathBuf,
        /// the cause
        source: rustls::Error,
    },
    /// The CA certificates of clients cannot be used.
    #[error(
        "cannot use the CA certificates of clients {path}: {reason}; the file must hold PEM blocks `CERTIFICATE`"
    )]
    Clients {
        /// the file
        path: PathBuf,
        /// the cause
        reason: String,
    },
    /// The revocation lists of clients cannot be used.
    #[error(transparent)]
    Revocations(#[from] RevocationListError),
    /// A revocation list that replaces another has expired already.
    #[error("expired revocation list: its `nextUpdate` was {}; {} is not used", humantime::format_rfc3339_seconds(*until), path.display())]
    ExpiredRevocations {
        /// the file
        path: PathBuf,
        /// `nextUpdate`
        until: SystemTime,
    },
    /// The cryptography cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

/// File, modification time and size of each, to notice a change: a copy that keeps the time is another file.
type Stamp = [Option<(u64, SystemTime, u64)>; 4];

impl Certificates {
    /// Reads pairs; at least one.
    ///
    /// # Errors
    ///
    /// See [`CertificateError`].
    pub fn load(pairs: &[Tls]) -> Result<Arc<Self>, CertificateError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let load = |files: &Tls| {
            let loaded = stamp(files);
            let current = ArcSwap::from_pointee(read(files, &provider)?);
            Ok::<_, CertificateError>(Pair { files: files.clone(), loaded, current })
        };
        let pairs = Arc::new(Pairs(pairs.iter().map(load).collect::<Result<_, _>>()?));
        let clients = pairs.0.iter().map(|pair| Clients::of(&pair.files, &pairs, &provider));
        let clients = clients.collect::<Result<_, _>>()?;
        Ok(Arc::new(Self { pairs, clients, provider, clock: Arc::new(SystemClock) }))
    }

    /// Reads all files again.
    ///
    /// # Errors
    ///
    /// See [`CertificateError`]; that pair, and those after it, stay as they are.
    pub fn reload(&self) -> Result<(), CertificateError> {
        (0..self.pairs.0.len()).try_for_each(|number| self.reload_one(number))
    }

    /// Reads the files of one pair again; after an error those in use stay.
    fn reload_one(&self, number: usize) -> Result<(), CertificateError> {
        let Some(pair) = self.pairs.0.get(number) else { return Ok(()) };
        let current = Arc::new(read(&pair.files, &self.provider)?);
        if let Some(Some(clients)) = self.clients.get(number) {
            clients.reload(&self.pairs, &self.provider, self.clock.now())?;
        }
        pair.current.store(current);
        Ok(())
    }

    /// Reads the files of a pair again whenever they have changed, checking at the interval `every`. Never returns.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        let watched =
            (0..self.pairs.0.len()).map(|number| Arc::clone(&self).watch_one(number, every));
        join_all(watched).await;
    }

    async fn watch_one(self: Arc<Self>, number: usize, every: Duration) {
        let Some(pair) = self.pairs.0.get(number) else { return };
        let mut seen = pair.loaded;
        loop {
            if let Some(Some(clients)) = self.clients.get(number) {
                clients.note_expiry(&self.pairs, &self.provider, self.clock.now());
            }
            tokio::time::sleep(every).await;
            let files = pair.files.clone();
            let Ok(stamp) = tokio::task::spawn_blocking(move || stamp(&files)).await else {
                return;
            };
            if stamp == seen {
                continue;
            }
            seen = stamp;
            let own = Arc::clone(&self);
            let reload = move || own.reload_one(number);
            let outcome = match tokio::task::spawn_blocking(reload).await {
                Ok(Ok(())) => {
                    tracing::info!(certificate = %pair.files.certificate.display(), "certificate replaced");
                    "replaced"
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "new certificate refused; the old one stays in use");
                    "refused"
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read the certificate");
                    "failed"
                }
            };
            metric::certificate_reloaded(outcome);
        }
    }

    /// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1 by ALPN, with the newest pairs, without certificates of clients.
    fn server_config(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let config = builder(&self.provider)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.pairs) as Arc<dyn ResolvesServerCert>);
        finished(config)
    }

    /// The number of the pair for a host.
    fn number_of(&self, host: Option<&str>) -> Option<usize> {
        self.pairs.number_of(host)
    }
}

fn builder(
    provider: &Arc<CryptoProvider>,
) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, CertificateError> {
    ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(CertificateError::Setup)
}

/// With HTTP/2 and HTTP/1.1, and tickets of its own: no session begun under another configuration is resumed.
fn finished(mut config: ServerConfig) -> Result<Arc<ServerConfig>, CertificateError> {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(CertificateError::Setup)?;
    Ok(Arc::new(config))
}

// === impl Pairs ===

impl Pairs {
    /// The number of the pair for a host.
    fn number_of(&self, host: Option<&str>) -> Option<usize> {
        Tls::for_host(self.0.iter().map(|pair| &pair.files), host)
    }

    fn of(&self, host: Option<&str>) -> Option<&Pair> {
        self.0.get(self.number_of(host)?)
    }
}

impl ResolvesServerCert for Pairs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().map(str::to_ascii_lowercase);
        self.of(host.as_deref()).map(|pair| pair.current.load_full())
    }
}

fn stamp(files: &Tls) -> Stamp {
    let of = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.modified().ok()?, metadata.len()))
    };
    let Tls { certificate, key, client_ca, client_crl, .. } = files;
    let of_clients = |file: &Option<PathBuf>| file.as_deref().and_then(of);
    [of(certificate), of(key), of_clients(client_ca), of_clients(client_crl)]
}

fn read(files: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
    let Tls { certificate, key, .. } = files;
    let bad_chain = |source| CertificateError::Certificate { path: certificate.to_owned(), source };
    let bad_key = |source| CertificateError::Key { path: key.to_owned(), source };
    let chain = contents(certificate).map_err(bad_chain)?;
    let chain =
        CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>().map_err(bad_chain)?;
    if chain.is_empty() {
        return Err(bad_chain(pem::Error::NoItemsFound));
    }
    let own = zeroize::Zeroizing::new(contents(key).map_err(bad_key)?);
    let own = PrivateKeyDer::from_pem_slice(&own).map_err(bad_key)?;
    CertifiedKey::from_der(chain, own, provider).map_err(|source| CertificateError::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

fn contents(path: &Path) -> Result<Vec<u8>, pem::Error> {
    fs::read(path).map_err(|error: io::Error| pem::Error::Io(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientCertificates;

    fn write(folder: &Path, pair: &rcgen::CertifiedKey<rcgen::KeyPair>) -> (PathBuf, PathBuf) {
        let files = (folder.join("tls.crt"), folder.join("tls.key"));
        fs::write(&files.0, pair.cert.pem()).unwrap();
        fs::write(&files.1, pair.signing_key.serialize_pem()).unwrap();
        files
    }

    fn pair(name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed([name.to_owned()]).unwrap()
    }

    #[test]
    fn an_invalid_pair_never_replaces_a_valid_one() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (pair("a.example"), pair("b.example"));
        let (certificate, key) = write(folder.path(), &first);
        let files = Tls {
            certificate: certificate.clone(),
            key: key.clone(),
            names: Vec::new(),
            client_ca: None,
            client_crl: None,
            client_certificates: ClientCertificates::Request,
        };
        let certificates = Certificates::load(&[files]).unwrap();
        let served = || certificates.pairs.0[0].current.load().cert.first().unwrap().to_vec();
        assert_eq!(served(), first.cert.der().to_vec());

        fs::write(&certificate, second.cert.pem()).unwrap();
        assert!(matches!(certificates.reload(), Err(CertificateError::Pair { .. })));
        fs::write(&key, "no key").unwrap();
        assert!(matches!(certificates.reload(), Err(CertificateError::Key { .. })));
        fs::write(&certificate, "").unwrap();
        assert!(matches!(certificates.reload(), Err(CertificateError::Certificate { .. })));
        assert_eq!(served(), first.cert.der().to_vec(), "the old pair stays");

        write(folder.path(), &second);
        certificates.reload().unwrap();
        assert_eq!(served(), second.cert.der().to_vec());
    }

    #[test]
    fn the_most_exact_name_chooses_the_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write(folder.path(), &pair("a.example"));
        let choose = |lists: &[&[&str]], host: Option<&str>| {
            let pairs: Vec<Tls> = lists
                .iter()
                .map(|names| Tls {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    names: names.iter().map(|name| name.parse().unwrap()).collect(),
                    client_ca: None,
                    client_crl: None,
                    client_certificates: ClientCertificates::Request,
                })
                .collect();
            let certificates = Certificates::load(&pairs).unwrap();
            certificates.number_of(host).unwrap()
        };
        let lists: [&[&str]; 4] =
            [&["*.example"], &["a.example", "*.deep.example"], &[], &["b.example"]];
        for (host, expected) in [
            (Some("c.example"), 0),
            (Some("a.example"), 1),
            (Some("x.deep.example"), 1),
            (Some("b.example"), 3),
            (Some("elsewhere.test"), 2),
            (Some("example"), 2),
            (None, 2),
        ] {
            assert_eq!(choose(&lists, host), expected, "{host:?}");
        }
        // Without one for every host, the first serves the rest.
        assert_eq!(choose(&[&["a.example"], &["b.example"]], Some("c.example")), 0);
        assert_eq!(choose(&[&["a.example"], &["b.example"]], None), 0);
    }
}
