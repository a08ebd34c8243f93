//! Lists of revoked client certificates (CRL, [RFC 5280 §5]), out of a PEM file.
//!
//! A file without a list is an error: a verifier without lists checks no revocation. So are two lists of one authority, of which a
//! verifier would read one.
//!
//! [RFC 5280 §5]: https://www.rfc-editor.org/rfc/rfc5280#section-5

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls_pki_types::{CertificateRevocationListDer, pem, pem::PemObject as _};
use x509_parser::{
    oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT, parse_x509_crl,
    revocation_list::CertificateRevocationList,
};

/// Lists of one file.
#[derive(Debug)]
pub struct RevocationLists {
    lists: Vec<CertificateRevocationListDer<'static>>,
    until: SystemTime,
}

/// Reasons a file of revocation lists cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RevocationListError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Io {
        /// the file
        path: PathBuf,
        /// the cause
        source: io::Error,
    },
    /// The file holds no list, or a broken one.
    #[error("invalid revocation list: `{}` {reason}; write PEM blocks `X509 CRL`, one for each authority", path.display())]
    Invalid {
        /// the file
        path: PathBuf,
        /// the cause
        reason: &'static str,
    },
    /// Two lists are of one authority, and for the same certificates.
    #[error("invalid revocation list: `{}` holds two of `{issuer}`; keep the newer one", path.display())]
    Twice {
        /// the file
        path: PathBuf,
        /// the authority
        issuer: String,
    },
}

impl RevocationLists {
    /// Reads a file; it must hold one list or more.
    ///
    /// # Errors
    ///
    /// See [`RevocationListError`]. That a list has expired is none.
    pub fn read(path: &Path) -> Result<Self, RevocationListError> {
        let invalid = |reason| RevocationListError::Invalid { path: path.to_owned(), reason };
        let bytes = fs::read(path)
            .map_err(|source| RevocationListError::Io { path: path.to_owned(), source })?;
        let lists = CertificateRevocationListDer::pem_slice_iter(&bytes)
            .collect::<Result<Vec<_>, pem::Error>>()
            .map_err(|_| invalid("is broken PEM"))?;
        let mut authorities = BTreeSet::new();
        let mut first_end = None;
        for der in &lists {
            let parsed = parse_x509_crl(der).ok().filter(|(rest, _)| rest.is_empty());
            let (_, list) = parsed.ok_or_else(|| invalid("has a block that is no list"))?;
            let end = end(&list).ok_or_else(|| invalid("has a list without `nextUpdate`"))?;
            first_end = Some(first_end.map_or(end, |earlier: SystemTime| earlier.min(end)));
            if !authorities.insert(scope(&list)) {
                let issuer = list.issuer().to_string();
                return Err(RevocationListError::Twice { path: path.to_owned(), issuer });
            }
        }
        let until = first_end.ok_or_else(|| invalid("holds none"))?;
        Ok(Self { lists, until })
    }

    /// The lists, in DER.
    pub fn into_lists(self) -> Vec<CertificateRevocationListDer<'static>> {
        self.lists
    }

    /// The time at which the first of them expires.
    pub fn until(&self) -> SystemTime {
        self.until
    }
}

/// `nextUpdate`, which [RFC 5280 §5.1.2.5] requires.
///
/// [RFC 5280 §5.1.2.5]: https://www.rfc-editor.org/rfc/rfc5280#section-5.1.2.5
fn end(list: &CertificateRevocationList<'_>) -> Option<SystemTime> {
    let seconds = u64::try_from(list.next_update()?.timestamp()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// The certificates that a list is about: those of its issuer, or the part that the list names.
fn scope(list: &CertificateRevocationList<'_>) -> (Vec<u8>, Vec<u8>) {
    let part = list
        .extensions()
        .iter()
        .find(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT)
        .map_or_else(Vec::new, |extension| extension.value.to_vec());
    (list.issuer().as_raw().to_vec(), part)
}
