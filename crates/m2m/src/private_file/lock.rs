//! A lock among processes: an advisory lock (`flock`) on a file that is never removed. It ends with its
//! holder, even one that is killed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::time::{Instant, sleep};

use super::PrivateFileError;

/// The first and the longest pause between two attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// A lock that is held until it is dropped, or the process ends. The file itself is never removed: a process that waits for it
/// would then lock a removed file, which no other process opens.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Explicit: a child made by `fork` meanwhile has the file open too, so closing it here does not release the lock.
        let _ = self.file.unlock();
    }
}

impl FileLock {
    /// The lock, if it is free.
    ///
    /// # Errors
    ///
    /// [`PrivateFileError::Write`] when the file cannot be opened or this file system has no locks.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, PrivateFileError> {
        let failed = |source| PrivateFileError::Write { path: path.to_owned(), source };
        let flags =
            i32::try_from(OFlags::NOFOLLOW.bits()).map_err(|e| failed(io::Error::other(e)))?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(flags)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Waits for the lock. Dropping the future ends the wait.
    ///
    /// # Errors
    ///
    /// [`PrivateFileError::Locked`] when it is not free `within` that time; otherwise as
    /// [`try_acquire`](Self::try_acquire).
    pub async fn acquire(path: &Path, within: Duration) -> Result<Self, PrivateFileError> {
        let begun = Instant::now();
        let (mut pause, longest) = PAUSE;
        loop {
            if let Some(lock) = Self::try_acquire(path)? {
                return Ok(lock);
            }
            if begun.elapsed() >= within {
                return Err(PrivateFileError::Locked { path: path.to_owned(), after: within });
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FileLock, PrivateFileError};

    #[tokio::test(start_paused = true)]
    async fn one_holds_it_and_the_others_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = FileLock::try_acquire(&path).unwrap().unwrap();
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        let error = FileLock::acquire(&path, Duration::from_secs(3)).await.unwrap_err();
        assert!(matches!(error, PrivateFileError::Locked { .. }), "{error}");
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { FileLock::acquire(&path, Duration::from_secs(3)).await.map(drop) }
        });
        drop(held);
        waiting.await.unwrap().unwrap();
        assert!(path.exists(), "the file stays");
    }
}
