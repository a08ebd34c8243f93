//! Authorities whose certificates name callers, from the configuration.

use std::sync::Arc;

use rustls::{RootCertStore, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{AssembleError, at};
use crate::{
    config::Config,
    identify::certificate::{CertificateAuthority, CertificateCallers},
};

/// The callers of `workload_certificates`.
pub(crate) fn callers(config: &Config) -> Result<CertificateCallers, AssembleError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let authority = |(name, workloads): (&String, &crate::config::WorkloadCertificates)| {
        let place = || format!("workload_certificates.{name}.ca_file");
        let mut roots = RootCertStore::empty();
        let all = CertificateDer::pem_file_iter(&workloads.ca_file).map_err(at(place()))?;
        for certificate in all {
            roots.add(certificate.map_err(at(place()))?).map_err(at(place()))?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = verifier.build().map_err(at(place()))?;
        Ok(CertificateAuthority::new(name, verifier, workloads.subject))
    };
    let authorities = config.workload_certificates.iter().map(authority).collect::<Result<_, _>>();
    authorities.map(CertificateCallers::new)
}
