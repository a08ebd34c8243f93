//! Trust in the certificates of upstreams, and the gateway's own certificate for them.
//!
//! The trusted authorities are those of the system, or those of one file and no others; or only listed public keys are trusted.
//! The check cannot be switched off.

mod pinned;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls_platform_verifier::BuilderVerifierExt;

use self::pinned::Pinned;
use crate::config::UpstreamTlsConfig;

/// TLS to the targets of an upstream.
#[derive(Debug, Clone)]
pub struct UpstreamTls {
    trust: Trust,
    own: Option<Arc<OwnCertificate>>,
    server_name: Option<ServerName<'static>>,
}

#[derive(Debug, Clone)]
enum Trust {
    /// The system's authorities, which are read when the first upstream needs them.
    Platform,
    Authorities(Arc<RootCertStore>),
    Pinned(Arc<Pinned>),
}

/// The gateway's own certificate for upstreams.
#[derive(Debug)]
struct OwnCertificate {
    file: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Reason TLS to an upstream cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system's authorities cannot be used.
    #[error(
        "missing certificate authorities: those of the system cannot be used: {source}; set `upstream_tls.ca_file`"
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
    /// The gateway's own certificate and key cannot be used together.
    #[error("invalid client certificate {}: {source}; its key must belong to it", path.display())]
    OwnCertificate {
        /// the file of the certificate
        path: PathBuf,
        /// the error from rustls
        #[source]
        source: rustls::Error,
    },
    /// The configured name is not one that a certificate can have.
    #[error("invalid server name `{name}`: no certificate can have it; write a host name")]
    ServerName {
        /// the name
        name: String,
    },
}

impl UpstreamTls {
    /// The authorities the system trusts. They are read when an upstream needs them: a machine without any serves plain HTTP.
    #[must_use]
    pub fn platform() -> Self {
        Self { trust: Trust::Platform, own: None, server_name: None }
    }

    /// The authorities in a PEM file, and no others.
    ///
    /// # Errors
    ///
    /// All variants of [`TlsError`] about a file of authorities.
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
        Ok(Self { trust: Trust::Authorities(Arc::new(roots)), ..Self::platform() })
    }

    /// TLS as a route configures it. Pinned keys take the place of authorities.
    ///
    /// # Errors
    ///
    /// See [`TlsError`].
    pub fn configured(config: &UpstreamTlsConfig) -> Result<Self, TlsError> {
        let mut tls = match &config.ca_file {
            _ if !config.pin.is_empty() => {
                let pinned = Pinned::new(config.pin.iter().map(|pin| pin.0).collect());
                Self { trust: Trust::Pinned(Arc::new(pinned)), ..Self::platform() }
            }
            Some(file) => Self::with_ca_file(file)?,
            None => Self::platform(),
        };
        if let (Some(certificate), Some(key)) = (&config.client_certificate, &config.client_key) {
            tls.own = Some(Arc::new(OwnCertificate::read(certificate, key)?));
        }
        if let Some(name) = &config.server_name {
            let parsed = ServerName::try_from(name.clone());
            tls.server_name =
                Some(parsed.map_err(|_| TlsError::ServerName { name: name.clone() })?);
        }
        Ok(tls)
    }

    /// The name that the certificate must have, if it is not the target's own.
    pub(super) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }

    /// The same trust, offering one application protocol.
    pub(super) fn speaking(&self, protocol: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
        let platform = |source| TlsError::Platform { source };
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(platform)?;
        let builder = match &self.trust {
            Trust::Platform => builder.with_platform_verifier().map_err(platform)?,
            Trust::Authorities(roots) => builder.with_root_certificates(Arc::clone(roots)),
            Trust::Pinned(pinned) => {
                // `dangerous` is rustls's name for any verifier of one's own; this one accepts less, not more.
                builder.dangerous().with_custom_certificate_verifier(Arc::clone(pinned) as _)
            }
        };
        let mut config = match &self.own {
            Some(own) => {
                let chain = own.chain.clone();
                builder
                    .with_client_auth_cert(chain, own.key.clone_key())
                    .map_err(|source| TlsError::OwnCertificate { path: own.file.clone(), source })?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config))
    }
}

impl OwnCertificate {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Unreadable { path, source }
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(unreadable(certificate))?;
        if chain.is_empty() {
            return Err(TlsError::Empty { path: certificate.to_owned() });
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
        Ok(Self { file: certificate.to_owned(), chain, key })
    }
}
