//! Envoy's external authorization: the listener on which Envoy asks.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listener::{ListenAddr, Tls};

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

/// Certificate and key of a listener, and the authority of its clients. Certificate and key are read again when they change, the
/// authority at the start only.
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
}

impl MutualTls {
    /// Certificate and key alone.
    pub(crate) fn pair(&self) -> Tls {
        let Self { certificate, key, .. } = self;
        Tls { certificate: certificate.clone(), key: key.clone(), names: Vec::new() }
    }
}
