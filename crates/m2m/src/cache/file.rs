//! Tokens kept in files, so that the processes of one user share them: 1,000 short jobs make one
//! token request.
//!
//! An entry is replaced as a whole (a new file of mode 0600, synced and renamed), and is believed only
//! if it is a plain file of this user that nobody else can open, of this format and for this source,
//! and says nothing impossible. Anything else is reported, taken as absent, and replaced. Whoever asks
//! the issuer holds a lock of the operating system meanwhile, which ends with its process; the others
//! wait for it, and then read what it wrote: the token, or for how long the issuer is not to be
//! asked. Secrets are never in a name.
//!
//! A disk that cannot be written to is reported once, and costs the sharing only.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use oidc_core::Secret;

use crate::cache_key::CacheKey;
use crate::private_file::{FileLock, PrivateFile, PrivateFileError, make_folder};

mod record;
mod seal;
mod sharing;

use record::Record;
use seal::Seal;

/// How long to wait for another process that asks the issuer: 15 s. After that it is taken for
/// stopped, and one of those who waited asks in its place.
const LOCK_WAIT: Duration = Duration::from_secs(15);

/// A directory of kept tokens, for [`CachedTokens::with_file_cache`](crate::CachedTokens::with_file_cache).
/// Cheap to clone.
///
/// Nothing is opened before a token is wanted. The directory is created with mode 0700 if it is
/// absent; one that others may write to is not used.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime_directory = tempfile::tempdir()?;
/// use m2m::FileCache;
///
/// // $XDG_RUNTIME_DIR is in memory, and this user's alone.
/// let files = FileCache::in_directory(runtime_directory.path().join("doorward"));
/// # let _ = files;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FileCache {
    directory: PathBuf,
    seal: Option<Arc<Seal>>,
    lock_wait: Duration,
    /// Whether it was said that the directory cannot be used.
    reported: Arc<AtomicBool>,
}

/// A key is too short to seal with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a sealing key must have at least 32 octets, and has {octets}; `openssl rand -base64 32` makes one"
)]
pub struct ShortSealingKey {
    /// How many it has.
    pub octets: usize,
}

impl FileCache {
    /// Keeps tokens as they are in this directory, which should be the user's runtime directory:
    /// it is in memory, and ends with the user's last session.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        Self { directory, seal: None, lock_wait: LOCK_WAIT, reported: Arc::default() }
    }

    /// Keeps tokens sealed in this directory, for places that outlive the machine's memory or end in a
    /// backup: AES-256-GCM under a key that is derived from `key` by HKDF-SHA-256 (RFC 5869), bound to
    /// the entry's name.
    ///
    /// # Errors
    ///
    /// [`ShortSealingKey`] when `key` has fewer than 32 octets.
    pub fn sealed(directory: impl Into<PathBuf>, key: &Secret) -> Result<Self, ShortSealingKey> {
        let seal = Some(Arc::new(Seal::new(key)?));
        Ok(Self { seal, ..Self::in_directory(directory) })
    }

    /// Waits this long for another process that asks the issuer, before it is taken for stopped. 15 s.
    #[must_use]
    pub fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// The entry of one source.
    pub(crate) fn entry(&self, key: CacheKey) -> Entry {
        Entry { files: self.clone(), key }
    }

    /// Once: what follows is the same every time, and costs the sharing only.
    fn report(&self, error: &FileCacheError) {
        if !self.reported.swap(true, Ordering::Relaxed) {
            let directory = self.directory.display();
            tracing::warn!(%directory, %error, "tokens are not shared with other processes");
        }
    }
}

impl fmt::Debug for FileCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCache")
            .field("directory", &self.directory)
            .field("sealed", &self.seal.is_some())
            .finish_non_exhaustive()
    }
}

/// Whose turn it is to ask the issuer.
enum Turn {
    Ours {
        /// Until this is dropped.
        _lock: FileLock,
    },
    Others,
    /// There is no lock to be had here: everybody asks.
    Nobodys,
}

/// The file of one source.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    files: FileCache,
    key: CacheKey,
}

impl Entry {
    fn name(&self, what: &str) -> String {
        format!("{}.{what}", self.key)
    }

    fn file_name(&self) -> String {
        self.name(if self.files.seal.is_some() { "sealed" } else { "json" })
    }

    /// What is written there; an empty record if that is nothing, or cannot be believed.
    async fn read(&self, now: SystemTime) -> Record {
        let entry = self.clone();
        let record = on_a_thread(move || {
            let Some(text) = entry.file()?.read()? else { return Ok(Record::default()) };
            match &entry.files.seal {
                Some(seal) => Record::parse(&seal.open(&text, &entry.key)?, &entry.key, now),
                None => Record::parse(&text, &entry.key, now),
            }
        });
        match record.await {
            Ok(record) => record,
            Err(error) if error.is_of_the_entry() => {
                let file = self.files.directory.join(self.file_name());
                tracing::warn!(file = %file.display(), %error, "a kept token is not used");
                Record::default()
            }
            Err(error) => {
                self.files.report(&error);
                Record::default()
            }
        }
    }

    async fn write(&self, record: Record) {
        let entry = self.clone();
        let written = on_a_thread(move || {
            let plain = record.to_text(&entry.key)?;
            let text = match &entry.files.seal {
                Some(seal) => seal.close(&plain, &entry.key)?,
                None => plain,
            };
            entry.sweep();
            Ok(entry.file()?.replace(&text)?)
        });
        if let Err(error) = written.await {
            self.files.report(&error);
        }
    }

    fn lock(&self, name: &str) -> Turn {
        let path = self.files.directory.join(self.name(name));
        let taken = self.file().and_then(|_| Ok(FileLock::try_acquire(&path)?));
        match taken {
            Ok(Some(lock)) => Turn::Ours { _lock: lock },
            Ok(None) => Turn::Others,
            Err(error) => {
                self.files.report(&error);
                Turn::Nobodys
            }
        }
    }

    /// The file, in a folder that is this user's.
    fn file(&self) -> Result<PrivateFile, FileCacheError> {
        make_folder(&self.files.directory).map_err(FileCacheError::Folder)?;
        Ok(PrivateFile::new(self.files.directory.join(self.file_name())))
    }

    /// Removes what writers left that were killed while they wrote. Only who holds the lock writes.
    fn sweep(&self) {
        let Ok(listing) = std::fs::read_dir(&self.files.directory) else { return };
        let begun = format!(".{}.", self.file_name());
        for file in listing.flatten() {
            if file.file_name().to_str().is_some_and(|name| name.starts_with(&begun)) {
                // If it stays, it is in nobody's way.
                let _ = std::fs::remove_file(file.path());
            }
        }
    }
}

/// Why an entry is not read or not written. Reported, never returned: the cache goes on in memory.
#[derive(Debug, thiserror::Error)]
enum FileCacheError {
    #[error("the folder: {0}")]
    Folder(#[source] PrivateFileError),
    #[error(transparent)]
    File(#[from] PrivateFileError),
    #[error("it is cut short or of another format")]
    Malformed,
    #[error("it is of another version or another source")]
    Foreign,
    #[error("it was sealed with another key, or altered")]
    Sealed,
    #[error("it says something impossible: {what}")]
    Impossible { what: &'static str },
    #[error("interrupted")]
    Interrupted,
}

impl FileCacheError {
    /// Whether the file itself is at fault, so that it helps to replace it.
    fn is_of_the_entry(&self) -> bool {
        match self {
            Self::File(PrivateFileError::Read { source, .. }) => {
                source.kind() == io::ErrorKind::InvalidData
            }
            Self::File(PrivateFileError::NotPrivate { .. } | PrivateFileError::TooLarge { .. }) => {
                true
            }
            Self::Folder(_) | Self::File(_) | Self::Interrupted => false,
            Self::Malformed | Self::Foreign | Self::Sealed | Self::Impossible { .. } => true,
        }
    }
}

/// Files may be slow, and must not hold up the other tasks of a runtime.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileCacheError> + Send + 'static,
) -> Result<T, FileCacheError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(FileCacheError::Interrupted))
}
