//! Loads the certificate, and replaces it without a restart.
//!
//! New handshakes use the newest valid pair. A pair that cannot be read, or whose key does not match the certificate, is
//! refused as a whole and the old one stays.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

use crate::metric;

/// A certificate chain and its key, from two PEM files that may change.
#[derive(Debug)]
pub struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

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
    /// The cryptography cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[source] rustls::Error),
}

/// File, modification time and size of both, to notice a change: a copy that keeps the time is another file.
type Stamp = [Option<(u64, SystemTime, u64)>; 2];

impl Certificates {
    /// Reads a pair.
    ///
    /// # Errors
    ///
    /// See [`CertificateError`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Arc<Self>, CertificateError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pair = read(certificate, key, &provider)?;
        Ok(Arc::new(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            provider,
            current: Arc::new(Current(ArcSwap::from_pointee(pair))),
        }))
    }

    /// Reads the files again.
    ///
    /// # Errors
    ///
    /// See [`CertificateError`]; the pair in use stays.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let pair = read(&self.certificate, &self.key, &self.provider)?;
        self.current.0.store(Arc::new(pair));
        Ok(())
    }

    /// Reads the files again whenever they have changed, checking at the interval `every`. Never returns.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        let mut seen = self.stamp().await;
        loop {
            tokio::time::sleep(every).await;
            let stamp = self.stamp().await;
            if stamp == seen {
                continue;
            }
            seen = stamp;
            let own = Arc::clone(&self);
            let outcome = match tokio::task::spawn_blocking(move || own.reload()).await {
                Ok(Ok(())) => {
                    tracing::info!(certificate = %self.certificate.display(), "certificate replaced");
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

    async fn stamp(&self) -> Stamp {
        let of = async |path: &Path| {
            let metadata = tokio::fs::metadata(path).await.ok()?;
            Some((metadata.ino(), metadata.modified().ok()?, metadata.len()))
        };
        [of(&self.certificate).await, of(&self.key).await]
    }

    /// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1 by ALPN, with the newest pair.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(CertificateError::Setup)?;
        Ok(Arc::new(config))
    }
}

fn read(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CertificateError> {
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

// === impl Current ===

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let certificates = Certificates::load(&certificate, &key).unwrap();
        let served = || certificates.current.0.load().cert.first().unwrap().to_vec();
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
}
