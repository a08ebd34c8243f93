//! Contents of the files that a configuration names.
//!
//! A reload compares them: a file that was only touched, or written again with the same bytes, has not changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use zeroize::Zeroizing;

use super::{ClientAuth, Config, IssuerConfig, OutboundTarget, RouteConfig, SecretRef};

/// Digests of the files whose contents are part of a configuration, as they were at one time. A file that cannot be read has
/// none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Contents(BTreeMap<PathBuf, Option<[u8; SHA256_OUTPUT_LEN]>>);

impl Contents {
    /// Reads the files that a configuration names.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self(config.files().into_iter().map(|path| (path.clone(), digest_of(&path))).collect())
    }

    /// The files whose contents are not as in `earlier`.
    #[must_use]
    pub fn changed_since(&self, earlier: &Self) -> BTreeSet<PathBuf> {
        let changed = |path: &&PathBuf| self.0.get(*path) != earlier.0.get(*path);
        self.0.keys().chain(earlier.0.keys()).filter(changed).cloned().collect()
    }
}

fn digest_of(path: &Path) -> Option<[u8; SHA256_OUTPUT_LEN]> {
    let bytes = Zeroizing::new(std::fs::read(path).ok()?);
    digest(&SHA256, &bytes).as_ref().try_into().ok()
}

impl Config {
    /// The files whose content is a secret of this configuration or another part of it. They are read when the configuration is
    /// applied, and it is applied again when one of them changes. Files that are read at each use anyway are not among them: an
    /// assertion, the admin token, the keys of an issuer, the password and certificates of the store `redis` (at each connection).
    #[must_use]
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let issuers = self.issuers.values().flat_map(IssuerConfig::files);
        let routes = self.routes.values().flat_map(RouteConfig::files);
        let workloads = self.workload_certificates.values().map(|one| one.ca_file.clone());
        let targets = self.outbound.iter().flat_map(|outbound| outbound.targets.values());
        let targets = targets.flat_map(OutboundTarget::files);
        let named = issuers.chain(routes).chain(targets).chain(workloads);
        self.session_key_files().chain(named).collect()
    }

    /// The files of the session keys.
    pub(crate) fn session_key_files(&self) -> impl Iterator<Item = PathBuf> {
        self.session.key.iter().filter_map(file)
    }
}

impl IssuerConfig {
    /// The files of this issuer.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let fetch = self.fetch.as_ref().and_then(|fetch| fetch.ca_file.clone());
        self.client_auth.files().into_iter().chain(self.ca_file.clone()).chain(fetch)
    }
}

impl ClientAuth {
    /// The files of the client's credentials that are read when the configuration is applied.
    fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Secret(secret) => Vec::from_iter(file(secret)),
            Self::PrivateKeyJwt(key) => Vec::from_iter(file(&key.key)),
            Self::Mtls(own) => vec![own.certificate.clone(), own.key.clone()],
            Self::None | Self::AssertionFile(_) => Vec::new(),
        }
    }
}

impl OutboundTarget {
    /// The files of this target.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let client = self.client.as_ref().map(|client| client.auth.files()).unwrap_or_default();
        client.into_iter().chain(self.tls.files())
    }
}

impl RouteConfig {
    /// The files of this route.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let credentials = self.identity.credentials.as_ref();
        let secret = credentials.and_then(|credentials| file(credentials.secret()));
        self.upstream_tls.files().chain(secret)
    }
}

fn file(secret: &SecretRef) -> Option<PathBuf> {
    match secret {
        SecretRef::File(path) => Some(path.clone()),
        SecretRef::Env(_) => None,
    }
}

/// Shows the paths only: a digest of a short secret would help to guess it.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_written_again_with_the_same_bytes_is_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let (key, secret) = (folder.path().join("key"), folder.path().join("secret"));
        std::fs::write(&key, "k".repeat(32)).unwrap();
        std::fs::write(&secret, "hunter2").unwrap();
        let text = format!(
            "public_url: https://platform.example\n\
             session: {{ key: {{ file: {} }} }}\n\
             issuers: {{ main: {{ url: 'https://id.example', client_id: gateway, \
             client_auth: {{ secret: {{ file: {} }} }}, audience: gateway }} }}\n\
             routes: {{ app: {{ match: {{ path: / }}, upstream: 'http://app:8000', \
             access: [ {{ allow: signed_in }} ] }} }}\n",
            key.display(),
            secret.display(),
        );
        let config = Config::parse("doorward.yaml", &text).unwrap().config;
        let before = Contents::of(&config);
        let changed = || Contents::of(&config).changed_since(&before);
        std::fs::remove_file(&secret).unwrap();
        assert_eq!(changed(), BTreeSet::from([secret.clone()]), "a file that is gone has changed");
        std::fs::write(&secret, "hunter2").unwrap();
        assert!(changed().is_empty());
        std::fs::write(&secret, "hunter3").unwrap();
        assert_eq!(changed(), BTreeSet::from([secret]));
        assert!(!format!("{before:?}").contains("[1"), "no digest is shown");
    }
}
