//! Trust in the certificates of upstreams.
//!
//! The trusted authorities are those of the system, or those of one file and no others. The check cannot be switched off.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use rustls_platform_verifier::BuilderVerifierExt;

/// Certificate authorities for the certificates of upstreams.
#[derive(Debug, Clone)]
pub struct UpstreamTls {
    /// `None`: the system's, which are read when the first upstream needs them.
    own: Option<Arc<ClientConfig>>,
}

/// Reason certificate authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system's authorities cannot be used.
    #[error(
        "missing certificate authorities: those of the system cannot be used: {source}; set `ca_file`"
    )]
    Platform {
        /// the error from rustls
        #[source]
        source: rustls::Error,
    },
    /// The file cannot be read, or is not PEM.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// the file
        path: PathBuf,
        /// the error
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// A certificate in the file cannot be used as an authority.
    #[error("invalid certificate authority in {}: {source}", path.display())]
    NotAnAuthority {
        /// the file
        path: PathBuf,
        /// the error from rustls
        #[source]
        source: rustls::Error,
    },
    /// The file holds no certificate.
    #[error("invalid file {}: no certificate; `-----BEGIN CERTIFICATE-----` is expected", path.display())]
    Empty {
        /// the file
        path: PathBuf,
    },
}

impl UpstreamTls {
    /// The authorities the system trusts. They are read when an upstream needs them: a machine without any serves plain HTTP.
    #[must_use]
    pub fn platform() -> Self {
        Self { own: None }
    }

    /// The authorities in a PEM file, and no others.
    ///
    /// # Errors
    ///
    /// All variants of [`TlsError`] about a file.
    pub fn with_ca_file(path: &Path) -> Result<Self, TlsError> {
        let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            roots
                .add(certificate.map_err(unreadable)?)
                .map_err(|source| TlsError::NotAnAuthority { path: path.to_owned(), source })?;
        }
        if roots.is_empty() {
            return Err(TlsError::Empty { path: path.to_owned() });
        }
        let config = builder()?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { own: Some(Arc::new(config)) })
    }

    /// The same trust, offering one application protocol.
    pub(super) fn speaking(&self, protocol: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
        let mut config = match &self.own {
            Some(own) => ClientConfig::clone(own),
            None => builder()?
                .with_platform_verifier()
                .map_err(|source| TlsError::Platform { source })?
                .with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config))
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Platform { source })
}
