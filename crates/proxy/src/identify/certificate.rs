//! Callers that are known by their client certificate alone: workloads, without a token ([RFC 5280 §6], X509-SVID).
//!
//! A certificate counts if exactly one configured authority issued it and it has exactly one name of the configured kind. Everything
//! else is anonymous, never an error: the certificate may be for a token that is bound to it, or for the application.
//!
//! [RFC 5280 §6]: https://www.rfc-editor.org/rfc/rfc5280#section-6

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use access_policy::Known;
use http_canonical::ClientCertificate;
use moka::{policy::EvictionPolicy, sync::Cache};
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use web_sessions::{Digest, sha256};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::{Credential, Sender};
use crate::config::CertificateSubject;

/// Certificates that are remembered, and the longest time: an authority's own certificate may expire meanwhile.
const REMEMBERED: u64 = 10_000;
const AGE: Duration = Duration::from_secs(60);

/// The authorities whose certificates name callers.
#[derive(Debug, Default)]
pub struct CertificateCallers {
    authorities: Vec<CertificateAuthority>,
}

/// One authority, with the callers it issued certificates to.
pub struct CertificateAuthority {
    name: String,
    verifier: Arc<dyn ClientCertVerifier>,
    subject: CertificateSubject,
    remembered: Cache<Digest, Option<Proven>>,
}

/// Reasons a certificate names no caller of an authority.
#[derive(Debug, thiserror::Error)]
pub enum Nameless {
    /// The authority did not issue it for a client, or it does not count now.
    #[error("it is no valid client certificate of this authority: {0}")]
    Unverified(#[source] rustls::Error),
    /// The certificate cannot be read.
    #[error("it cannot be read")]
    Unreadable,
    /// There is no name of the configured kind.
    #[error("it has no {0} among its alternative names")]
    NoName(&'static str),
    /// There are several names of the configured kind.
    #[error("it has several {0}s, so that none of them is its subject")]
    SeveralNames(&'static str),
    /// The name is empty, too long, or has a wildcard or unprintable characters.
    #[error(
        "its {0} is empty, longer than 2048 bytes, or has a wildcard, a blank or an unprintable character"
    )]
    OddName(&'static str),
}

/// A caller, and the end of its certificate.
#[derive(Debug, Clone)]
pub(super) struct Proven {
    pub(super) known: Arc<Known>,
    until: SystemTime,
}

impl CertificateCallers {
    /// Those of these authorities.
    pub fn new(authorities: Vec<CertificateAuthority>) -> Self {
        Self { authorities }
    }

    /// The sender of a request: the one found before, or the holder of the certificate if the request has no other credential.
    pub(super) fn sender(
        &self,
        sender: Sender,
        certificate: &Arc<ClientCertificate>,
        now: SystemTime,
    ) -> Sender {
        let alone = matches!(sender.credential, Credential::None) && sender.unread.is_none();
        match alone.then(|| self.identify(certificate, now)).flatten() {
            Some(Proven { known, until }) => {
                let certificate = Arc::clone(certificate);
                Sender::known(known, Credential::Certificate { certificate, until })
            }
            None => sender,
        }
    }

    /// The caller that holds a certificate; `None` for one that names no caller.
    pub(super) fn identify(
        &self,
        certificate: &ClientCertificate,
        now: SystemTime,
    ) -> Option<Proven> {
        let mut all = self.authorities.iter();
        let proven = all.by_ref().find_map(|one| one.caller(certificate, now))?;
        if let Some(other) = all.find_map(|one| one.caller(certificate, now)) {
            tracing::warn!(
                one = proven.known.issuer,
                other = other.known.issuer,
                "a client certificate is of two authorities, and so names no caller; keep one of them in `workload_certificates`"
            );
            return None;
        }
        Some(proven)
    }

    /// Each authority by its name, with the caller that it makes of a certificate or the reason that it makes none. A certificate of
    /// several authorities names no caller.
    pub fn explained(
        &self,
        certificate: &ClientCertificate,
        now: SystemTime,
    ) -> Vec<(&str, Result<Arc<Known>, Nameless>)> {
        let each =
            |one: &CertificateAuthority| one.verify(certificate, now).map(|proven| proven.known);
        self.authorities.iter().map(|one| (one.name.as_str(), each(one))).collect()
    }
}

impl CertificateAuthority {
    /// The authority of this name in the configuration.
    pub fn new(
        name: impl Into<String>,
        verifier: Arc<dyn ClientCertVerifier>,
        subject: CertificateSubject,
    ) -> Self {
        let remembered = Cache::builder()
            .max_capacity(REMEMBERED)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(AGE)
            .build();
        Self { name: name.into(), verifier, subject, remembered }
    }

    fn caller(&self, certificate: &ClientCertificate, now: SystemTime) -> Option<Proven> {
        // The lengths are in the certificates themselves.
        let whole: Vec<u8> = std::iter::once(certificate.der())
            .chain(certificate.chain())
            .flat_map(|der| der.iter().copied())
            .collect();
        let place = sha256(&whole);
        let proven = match self.remembered.get(&place) {
            Some(proven) => proven,
            None => {
                let proven = self.verify(certificate, now);
                if let Err(reason) = &proven {
                    tracing::debug!(authority = self.name, %reason, "a client certificate is of no use here");
                }
                let proven = proven.ok();
                self.remembered.insert(place, proven.clone());
                proven
            }
        };
        proven.filter(|proven| now < proven.until)
    }

    fn verify(&self, certificate: &ClientCertificate, now: SystemTime) -> Result<Proven, Nameless> {
        let own = CertificateDer::from(certificate.der());
        let chain: Vec<_> = certificate.chain().map(CertificateDer::from).collect();
        let time = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        self.verifier.verify_client_cert(&own, &chain, time).map_err(Nameless::Unverified)?;
        let (subject, until) = read(certificate.der(), self.subject)?;
        let known = Known {
            issuer: self.name.clone(),
            iss: format!("certificate:{}", self.name),
            subject,
            workload: true,
            ..Known::default()
        };
        Ok(Proven { known: Arc::new(known), until })
    }
}

/// The only name of a kind in a certificate, and the end of its validity.
fn read(der: &[u8], subject: CertificateSubject) -> Result<(String, SystemTime), Nameless> {
    let kind = match subject {
        CertificateSubject::Uri => "URI",
        CertificateSubject::Dns => "DNS name",
    };
    let (rest, certificate) = parse_x509_certificate(der).map_err(|_| Nameless::Unreadable)?;
    if !rest.is_empty() {
        return Err(Nameless::Unreadable);
    }
    let names = certificate.subject_alternative_name().map_err(|_| Nameless::Unreadable)?;
    let names = names.ok_or(Nameless::NoName(kind))?;
    let mut of_kind = names.value.general_names.iter().filter_map(|name| match (subject, name) {
        (CertificateSubject::Uri, GeneralName::URI(uri)) => Some(*uri),
        (CertificateSubject::Dns, GeneralName::DNSName(name)) => Some(*name),
        _ => None,
    });
    let name = of_kind.next().ok_or(Nameless::NoName(kind))?;
    let plain = |name: &str| {
        !name.is_empty()
            && name.len() <= 2048
            && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*')
    };
    if of_kind.next().is_some() {
        return Err(Nameless::SeveralNames(kind));
    }
    if !plain(name) {
        return Err(Nameless::OddName(kind));
    }
    let seconds = u64::try_from(certificate.validity().not_after.timestamp());
    let until = UNIX_EPOCH + Duration::from_secs(seconds.map_err(|_| Nameless::Unreadable)?);
    Ok((name.to_owned(), until))
}

// === impl CertificateAuthority ===

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
        SanType,
    };
    use rustls::{RootCertStore, crypto::aws_lc_rs, server::WebPkiClientVerifier};

    use super::*;

    struct Ca(Issuer<'static, KeyPair>, CertificateDer<'static>);

    fn ca() -> Ca {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap().der().clone();
        Ca(Issuer::new(params, key), own)
    }

    impl Ca {
        fn certify(&self, names: Vec<SanType>) -> ClientCertificate {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.subject_alt_names = names;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let certificate = params.signed_by(&key, &self.0).unwrap();
            ClientCertificate::new(certificate.der().to_vec(), Vec::new())
        }

        fn authority(&self, name: &str, subject: CertificateSubject) -> CertificateAuthority {
            let mut roots = RootCertStore::empty();
            roots.add(self.1.clone()).unwrap();
            let provider = Arc::new(aws_lc_rs::default_provider());
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            CertificateAuthority::new(name, verifier.unwrap(), subject)
        }
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    /// The certificates of rcgen are valid from 1975 to 4096.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn subject(callers: &CertificateCallers, certificate: &ClientCertificate) -> Option<String> {
        callers.identify(certificate, now()).map(|proven| proven.known.subject.clone())
    }

    const ETL: &str = "spiffe://acme.example/run/etl";

    #[test]
    fn a_certificate_with_one_name_names_its_caller() {
        let (ca, other) = (ca(), ca());
        let by_uri = CertificateCallers::new(vec![ca.authority("mesh", CertificateSubject::Uri)]);
        let certificate = ca.certify(vec![uri(ETL), dns("etl.acme.example")]);
        for _ in 0..2 {
            let known = by_uri.identify(&certificate, now()).unwrap().known;
            assert_eq!((known.subject.as_str(), known.issuer.as_str()), (ETL, "mesh"));
            assert!(known.workload && known.roles.is_empty());
        }
        let by_dns = CertificateCallers::new(vec![ca.authority("mesh", CertificateSubject::Dns)]);
        assert_eq!(subject(&by_dns, &certificate).as_deref(), Some("etl.acme.example"));
        for names in [
            vec![],
            vec![dns("etl.acme.example")],
            vec![uri(ETL), uri("spiffe://acme.example/admin")],
            vec![uri("spiffe://acme.example/*")],
            vec![uri("spiffe://acme.example/a b")],
        ] {
            assert_eq!(subject(&by_uri, &ca.certify(names.clone())), None, "{names:?}");
        }
        assert_eq!(subject(&by_uri, &other.certify(vec![uri(ETL)])), None, "another authority");
        let odd = ClientCertificate::new(vec![0x30, 1, 7], Vec::new());
        assert_eq!(subject(&by_uri, &odd), None);
    }

    #[test]
    fn a_certificate_counts_until_its_end() {
        let ca = ca();
        let callers = CertificateCallers::new(vec![ca.authority("mesh", CertificateSubject::Uri)]);
        let certificate = ca.certify(vec![uri(ETL)]);
        let until = callers.identify(&certificate, now()).unwrap().until;
        let last = until - Duration::from_secs(1);
        assert!(callers.identify(&certificate, last).is_some());
        assert!(callers.identify(&certificate, until).is_none());
    }

    #[test]
    fn a_certificate_of_two_authorities_names_no_caller() {
        let ca = ca();
        let authority = |name| ca.authority(name, CertificateSubject::Uri);
        let callers = CertificateCallers::new(vec![authority("one"), authority("two")]);
        assert_eq!(subject(&callers, &ca.certify(vec![uri(ETL)])), None);
    }
}
