//! Callers that are known by their client certificate alone.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Workloads that are known by their client certificate: those of one authority. Rules name them by `subjects`, and the authority by its
/// name here in `issuers`. They have no roles, groups, scopes or user name. A token or a session on the same request decides instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadCertificates {
    /// CA certificates (PEM) of these workloads; applied again when the file changes, and streams are then judged again. Clients are asked for
    /// certificates by `tls.client_ca`, which must hold this authority too. Example: `/run/spire/bundle.pem`.
    pub ca_file: PathBuf,
    /// The name in a certificate that is the subject; a certificate must have exactly one of this kind. Example: `uri`.
    #[serde(default)]
    pub subject: CertificateSubject,
}

/// The name in a certificate that rules know its holder by (RFC 5280 §4.2.1.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateSubject {
    /// The URI, such as a SPIFFE ID: `spiffe://acme.example/run/etl`.
    #[default]
    Uri,
    /// The DNS name, such as `etl.run.acme.example`.
    Dns,
}
