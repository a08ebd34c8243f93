//! The certificate of a client: from its TLS handshake with the gateway, or with a trusted proxy. Nothing here judges it.

use std::fmt;

/// A certificate whose key the client proved to hold, in DER, and the certificates that it sent with it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    der: Vec<u8>,
    chain: Vec<Vec<u8>>,
}

impl ClientCertificate {
    /// The client's own certificate, and those between it and an authority.
    pub fn new(der: Vec<u8>, chain: Vec<Vec<u8>>) -> Self {
        Self { der, chain }
    }

    /// The client's own certificate, in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificates between it and an authority, in DER, as the client sent them.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.chain.iter().map(Vec::as_slice)
    }
}

// === impl ClientCertificate ===

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("bytes", &self.der.len())
            .field("chain", &self.chain.len())
            .finish()
    }
}
