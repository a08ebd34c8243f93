//! Tokens kept in files that the processes of one user share: 1,000 short jobs make one token
//! request.
//!
//! An entry is replaced as a whole (a new file of mode 0600, synced and renamed). It is trusted only
//! if it is a plain file of this user that no other user can open, has this format, is for this source,
//! and has possible values. Any other entry is logged, treated as absent, and replaced.
//!
//! The process that asks the issuer holds an operating system lock, which ends with the process. The
//! others wait until it has written the token, or that the issuer is away (no connection, status 429 or
//! 503) and for how long it is not to be asked. Any other failure, such as a refused secret, is that of
//! one process and is not written. File names hold no secrets.
//!
//! If the disk cannot be written to, this is logged once and the tokens are not shared.

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

/// Longest wait for another process that asks the issuer: 15 s. After that the process counts as
/// stopped, and one of those that waited asks in its place.
const LOCK_WAIT: Duration = Duration::from_secs(15);

/// A directory of kept tokens, for [`CachedTokens::with_file_cache`](crate::CachedTokens::with_file_cache).
/// Cheap to clone.
///
/// No file is opened before the first token is requested. The directory is created with mode 0700 if
/// it is absent; one that other users may write to is not used.
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
    /// True once it was logged that the directory cannot be used.
    reported: Arc<AtomicBool>,
}

/// The sealing key is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a sealing key must have at least 32 octets, and has {octets}; `openssl rand -base64 32` makes one"
)]
pub struct ShortSealingKey {
    /// Length of the key in bytes.
    pub octets: usize,
}

impl FileCache {
    /// Keeps tokens unencrypted in this directory. It should be the user's runtime directory, which
    /// is in memory and is removed with the user's last session.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        Self { directory, seal: None, lock_wait: LOCK_WAIT, reported: Arc::default() }
    }

    /// Keeps tokens encrypted in this directory, for directories on disk or in a backup: AES-256-GCM
    /// under a key that is derived from `key` by HKDF-SHA-256 (RFC 5869), bound to the entry's name.
    ///
    /// # Errors
    ///
    /// [`ShortSealingKey`] when `key` has fewer than 32 bytes.
    pub fn sealed(directory: impl Into<PathBuf>, key: &Secret) -> Result<Self, ShortSealingKey> {
        let seal = Some(Arc::new(Seal::new(key)?));
        Ok(Self { seal, ..Self::in_directory(directory) })
    }

    /// Waits this long for another process that asks the issuer, before it counts as stopped; 15 s
    /// by default.
    #[must_use]
    pub fn with_lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// The entry of one source.
    pub(crate) fn entry(&self, key: CacheKey) -> Entry {
        Entry { files: self.clone(), key }
    }

    /// Logs the first error only: later ones repeat it, and only the sharing is lost.
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

/// Turn of this or another process to ask the issuer.
enum Turn {
    Ours {
        /// Dropping it ends the turn.
        _lock: FileLock,
    },
    Others,
    /// The lock cannot be used here: every process asks for itself.
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

    /// The record in the file; an empty one if there is no file, or it is not trusted.
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

    /// Removes the temporary files of writers that were killed. Only the lock's holder writes.
    fn sweep(&self) {
        let Ok(listing) = std::fs::read_dir(&self.files.directory) else { return };
        let begun = format!(".{}.", self.file_name());
        for file in listing.flatten() {
            if file.file_name().to_str().is_some_and(|name| name.starts_with(&begun)) {
                // A file that stays does no harm.
                let _ = std::fs::remove_file(file.path());
            }
        }
    }
}

/// Reason an entry is not read or not written. Logged, never returned: the cache goes on in memory.
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
    /// True if the file's own state is the cause, so that replacing it helps.
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

/// Runs file access on a blocking thread, so that a slow disk does not delay the runtime's tasks.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileCacheError> + Send + 'static,
) -> Result<T, FileCacheError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(FileCacheError::Interrupted))
}
