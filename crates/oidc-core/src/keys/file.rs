//! Keys in a file: a JWK Set that another program publishes on this machine, such as the bundle of a SPIFFE trust domain.
//!
//! Readers take a snapshot and never wait. One task reads the file again at intervals, and a token with an unknown `kid` has it
//! read at once, if that is not too often. A file that cannot be read changes nothing, and is logged.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{InvalidJwkSet, JwkSet, KeySource, KeysUnavailable};

/// Time between two reads; a removed key is trusted no longer than this.
const INTERVAL: Duration = Duration::from_secs(30);

/// Shortest time between reads that unknown `kid`s cause.
const PAUSE: Duration = Duration::from_secs(5);

/// Size limit of the file, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// The file has no keys to verify with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeysFileError {
    /// The file cannot be read.
    #[error("the keys in {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is larger than 1 MiB.
    #[error("{} is larger than 1 MiB; name the JWK Set alone", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not a JWK Set.
    #[error("{} is not a JWK Set (RFC 7517 §5)", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: InvalidJwkSet,
    },
    /// No key of the set can be used.
    #[error("{} holds no usable key", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The keys in a JWK Set file, read again when it changes. Clones share the keys.
///
/// ```no_run
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use oidc_core::keys::FileKeys;
/// use oidc_core::verify::Profile;
/// use oidc_core::{Validation, Verifier};
///
/// let keys = FileKeys::open("/run/spire/bundle.json")?;
/// let rules = Validation::new("https://spire.example".parse()?, "churn")
///     .with_profile(Profile::Workload)
///     .with_trust_domain("acme.example");
/// let verifier = Verifier::new(rules, Arc::new(keys));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct FileKeys {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    current: watch::Sender<Arc<JwkSet>>,
    read_at: Mutex<Instant>,
}

impl FileKeys {
    /// Reads the file now. Within a Tokio runtime it is read again every 30 s.
    ///
    /// # Errors
    ///
    /// [`KeysFileError`] if it holds no usable key.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, KeysFileError> {
        let path = path.into();
        let (current, _) = watch::channel(Arc::new(read(&path)?));
        let inner = Arc::new(Inner { path, current, read_at: Mutex::new(Instant::now()) });
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(keep_fresh(Arc::downgrade(&inner)));
        }
        Ok(Self { inner })
    }
}

async fn keep_fresh(keys: Weak<Inner>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Some(keys) = keys.upgrade() else { return };
        keys.read_again().await;
    }
}

impl Inner {
    async fn read_again(&self) {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        match read {
            Ok(Ok(keys)) => {
                // The same keys keep their generation, so that tokens verified with them stay remembered.
                let replaced = self.current.send_if_modified(|current| {
                    let differs = !current.judges_alike(&keys);
                    if differs {
                        *current = Arc::new(keys);
                    }
                    differs
                });
                if replaced {
                    tracing::info!(path = %self.path.display(), "keys changed");
                }
            }
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "the keys known before stay in use");
            }
            Err(error) => tracing::warn!(%error, "the keys known before stay in use"),
        }
    }

    /// Whether an unknown `kid` may cause a read now.
    fn may_read(&self) -> bool {
        let mut read_at = self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        let due = read_at.elapsed() >= PAUSE;
        if due {
            *read_at = Instant::now();
        }
        due
    }
}

fn read(path: &Path) -> Result<JwkSet, KeysFileError> {
    let path = || path.to_owned();
    let failed = |source| KeysFileError::Read { path: path(), source };
    let mut bytes = Vec::new();
    let file = File::open(path()).map_err(failed)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(KeysFileError::TooLarge { path: path() });
    }
    let keys =
        JwkSet::parse(&bytes).map_err(|source| KeysFileError::Invalid { path: path(), source })?;
    if keys.is_empty() { Err(KeysFileError::Empty { path: path() }) } else { Ok(keys) }
}

#[async_trait]
impl KeySource for FileKeys {
    fn current(&self) -> Result<Arc<JwkSet>, KeysUnavailable> {
        Ok(Arc::clone(&self.inner.current.borrow()))
    }

    async fn refreshed(&self, _unknown_kid: Option<&str>) -> Result<Arc<JwkSet>, KeysUnavailable> {
        if self.inner.may_read() {
            self.inner.read_again().await;
        }
        self.current()
    }

    fn generation(&self) -> Option<u64> {
        Some(self.inner.current.borrow().generation())
    }
}
