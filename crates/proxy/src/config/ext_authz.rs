//! Envoy's external authorization: the listener on which Envoy asks.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listener::{ClientCertificates, ListenAddr, Tls};

/// The listener on which Envoy asks about each request by gRPC (`envoy.service.auth.v3.Authorization`). Its peer chooses the
/// request that the rules see, and the client's address: so it is loopback, a unix socket, or for holders of a client certificate.
/// A change takes effect after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtAuthz {
    /// Address on which Envoy asks. Example: `127.0.0.1:9191`.
    pub listen: ListenAddr,
    /// Mutual TLS, required where other machines reach the address. Example:
    /// `{ certificate: /etc/tls/tls.crt, key: /etc/tls/tls.key, client_ca: /etc/tls/envoy-ca.crt }`.
    #[serde(default)]
    pub tls: Option<MutualTls>,
}

/// Certificate and key of a listener, and the authority of its clients. All are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MutualTls {
    /// The certificate chain, the server's own first. Example: `/etc/tls/tls.crt`.
    pub certificate: PathBuf,
    /// Its private key. Example: `/etc/tls/tls.key`.
    pub key: PathBuf,
    /// The authority whose certificates Envoy shows. Every holder of one may ask about any request, so it certifies nothing else.
    /// Example: `/etc/tls/envoy-ca.crt`.
    pub client_ca: PathBuf,
    /// Lists of revoked certificates (CRL, PEM), as `tls.client_crl`. Example: `/etc/tls/envoy.crl`.
    #[serde(default)]
    pub client_crl: Option<PathBuf>,
}

impl MutualTls {
    /// The same as the certificate of a listener for every host, whose clients must have one.
    pub(crate) fn listener(&self) -> Tls {
        let Self { certificate, key, client_ca, client_crl } = self.clone();
        Tls {
            certificate,
            key,
            names: Vec::new(),
            client_ca: Some(client_ca),
            client_crl,
            client_certificates: ClientCertificates::Require,
        }
    }
}
