//! TLS of the adapter: the trusted certificates, the client certificate, and what a failed handshake
//! shows.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ConfigBuilder, InvalidMessage, RootCertStore, WantsVerifier};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::{ClientCertificate, HttpSetupError};
use crate::foreign_text::bounded;

type Trusting = ConfigBuilder<ClientConfig, WantsClientCert>;

/// A failed handshake that fails again until a configuration is corrected.
pub(super) enum Failure {
    /// The answer is not TLS, as from a port for plain HTTP.
    NotTls,
    /// The server's certificate is refused, for this reason.
    Certificate(String),
}

/// The lasting reason for which a handshake failed, if this error has one among its causes.
pub(super) fn failure(error: &(dyn Error + 'static)) -> Option<Failure> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            )) => return Some(Failure::NotTls),
            Some(rustls::Error::InvalidCertificate(refused)) => {
                return Some(Failure::Certificate(bounded(&refused.to_string())));
            }
            _ => {}
        }
        // An I/O error shows the causes of the error inside it, and not that error.
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inside.map(|inside| inside as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

/// Reads the files.
pub(super) fn config(
    ca_file: Option<PathBuf>,
    own: Option<ClientCertificate>,
) -> Result<ClientConfig, HttpSetupError> {
    let trusting = match ca_file {
        Some(path) => trusting_file(path)?,
        None => builder()?.with_platform_verifier().map_err(HttpSetupError::Tls)?,
    };
    match own {
        Some(own) => showing(trusting, own),
        None => Ok(trusting.with_no_client_auth()),
    }
}

fn trusting_file(path: PathBuf) -> Result<Trusting, HttpSetupError> {
    let unreadable = |source| HttpSetupError::CaFile { path: path.clone(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&path).map_err(unreadable)? {
        let unusable = |source| HttpSetupError::CaCertificate { path: path.clone(), source };
        roots.add(certificate.map_err(unreadable)?).map_err(unusable)?;
    }
    if roots.is_empty() {
        return Err(HttpSetupError::EmptyCaFile { path });
    }
    Ok(builder()?.with_root_certificates(roots))
}

/// A builder with the process's provider, if it chose one.
fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, HttpSetupError> {
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(HttpSetupError::Tls)
}

fn showing(trusting: Trusting, own: ClientCertificate) -> Result<ClientConfig, HttpSetupError> {
    let ClientCertificate { certificate, key } = own;
    let unreadable =
        |source| HttpSetupError::ClientCertificateFile { path: certificate.clone(), source };
    let chain = CertificateDer::pem_file_iter(&certificate)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    if chain.is_empty() {
        return Err(HttpSetupError::EmptyClientCertificate { path: certificate });
    }
    let private = PrivateKeyDer::from_pem_file(&key)
        .map_err(|source| HttpSetupError::ClientKeyFile { path: key.clone(), source })?;
    // Refuses a key that does not belong to the certificate.
    trusting
        .with_client_auth_cert(chain, private)
        .map_err(|source| HttpSetupError::ClientCertificate { certificate, key, source })
}
