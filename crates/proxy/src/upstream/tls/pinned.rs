//! Trusts listed public keys and nothing else ([RFC 7469 §2.4] has the form of a pin).
//!
//! The key identifies the upstream: names and dates of the certificate, which may be self-signed, do not count. The handshake
//! still proves that the upstream has the private key.
//!
//! [RFC 7469 §2.4]: https://www.rfc-editor.org/rfc/rfc7469#section-2.4

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{self, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Trusts certificates with one of these public keys.
#[derive(Debug)]
pub(super) struct Pinned {
    keys: Vec<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The certificate's key is not pinned.
#[derive(Debug, thiserror::Error)]
#[error("its public key is not the pinned one but sha256/{}", base64(.0))]
struct OtherKey([u8; 32]);

impl Pinned {
    /// Trusts the keys with these SHA-256 digests.
    pub(super) fn new(keys: Vec<[u8; 32]>) -> Self {
        Self {
            keys,
            algorithms: crypto::aws_lc_rs::default_provider().signature_verification_algorithms,
        }
    }
}

fn base64(digest: &[u8; 32]) -> String {
    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, digest)
}

// === impl Pinned ===

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let mut found = [0; 32];
        found.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key).as_ref());
        // Public keys are public: there is no secret that the time of the comparison could show.
        if self.keys.contains(&found) {
            return Ok(ServerCertVerified::assertion());
        }
        let other = OtherError(std::sync::Arc::new(OtherKey(found)));
        Err(Error::InvalidCertificate(CertificateError::Other(other)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
