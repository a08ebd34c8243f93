//! Files that hold tokens: readable by their owner only, replaced as a whole, and refused when another user may have read
//! or written them.
//!
//! [`FileLock`] lets processes take turns: one refreshes a token, the others wait and read what it wrote.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use oidc_core::Secret;
use rustix::fs::OFlags;

mod lock;

pub use lock::FileLock;

/// Largest file that is read, in bytes; larger than any set of tokens.
const LARGEST: u64 = 1024 * 1024;

/// Reason a private file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateFileError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// It cannot be written; what was there before is unchanged.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The path.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// It is not a regular file, or other users may have access to it, so its content is not used.
    #[error("{} is not used, as {found}; {remedy}", path.display())]
    NotPrivate {
        /// The path.
        path: PathBuf,
        /// The problem.
        found: String,
        /// The fix.
        remedy: &'static str,
    },
    /// It is larger than any set of tokens.
    #[error("{} is larger than {LARGEST} bytes: remove it", path.display())]
    TooLarge {
        /// The path.
        path: PathBuf,
    },
    /// Another process holds the lock.
    #[error("{} is still held by another process after {} s; try again", path.display(), after.as_secs())]
    Locked {
        /// The file that is locked.
        path: PathBuf,
        /// Time that was waited.
        after: std::time::Duration,
    },
}

/// A file for tokens.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// use m2m::private_file::{PrivateFile, make_folder};
/// use oidc_core::Secret;
///
/// let place = folder.path().join("doorward");
/// make_folder(&place)?;
/// let file = PrivateFile::new(place.join("token"));
/// assert!(file.read()?.is_none());
/// file.replace(&Secret::from("hunter2"))?;
/// assert!(file.read()?.is_some_and(|text| text.matches("hunter2")));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateFile {
    path: PathBuf,
}

/// Creates a folder for private files, and the folders above it: mode 0700 unless it exists already.
///
/// # Errors
///
/// [`PrivateFileError::Write`] when it cannot be created, [`PrivateFileError::NotPrivate`] when it is another user's or others
/// may write to it.
pub fn make_folder(path: &Path) -> Result<(), PrivateFileError> {
    let failed = |source| PrivateFileError::Write { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let metadata = std::fs::metadata(path).map_err(failed)?;
    owned(path, metadata.uid())?;
    if metadata.mode() & 0o022 != 0 {
        return Err(PrivateFileError::NotPrivate {
            path: path.to_owned(),
            found: format!("others may write to it (mode {:04o})", metadata.mode() & 0o7777),
            remedy: "run `chmod go-w` on it",
        });
    }
    Ok(())
}

impl PrivateFile {
    /// The file at `path`; nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text; `None` when there is no file.
    ///
    /// # Errors
    ///
    /// [`PrivateFileError::NotPrivate`] when it is a link, another user's, or others may read or write it.
    pub fn read(&self) -> Result<Option<Secret>, PrivateFileError> {
        let failed = |source| PrivateFileError::Read { path: self.path.clone(), source };
        let no_links = i32::try_from(OFlags::NOFOLLOW.bits() | OFlags::NONBLOCK.bits());
        let flags = no_links.map_err(|error| failed(io::Error::other(error)))?;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if is_link(&self.path) => {
                tracing::debug!(%error, path = %self.path.display(), "a link is not followed");
                return Err(self.not_private("it is a symbolic link", "remove it"));
            }
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(self.not_private("it is no regular file", "remove it"));
        }
        owned(&self.path, metadata.uid())?;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            let found = format!("others may read or write it (mode {mode:04o})");
            let remedy = "what it holds may be known to them: remove it, or run `chmod 600` on it if you know better";
            return Err(self.not_private(&found, remedy));
        }
        let mut text = String::new();
        let read = file.take(LARGEST + 1).read_to_string(&mut text);
        let text = Secret::from(text);
        if read.map_err(failed)? as u64 > LARGEST {
            return Err(PrivateFileError::TooLarge { path: self.path.clone() });
        }
        Ok(Some(text))
    }

    /// Replaces the file as a whole, with mode 0600: readers see the old text or the new, never a part. A link in its place is
    /// replaced, not followed.
    ///
    /// # Errors
    ///
    /// [`PrivateFileError::Write`]
    pub fn replace(&self, text: &Secret) -> Result<(), PrivateFileError> {
        let failed = |source| PrivateFileError::Write { path: self.path.clone(), source };
        let name =
            self.path.file_name().ok_or_else(|| failed(io::ErrorKind::IsADirectory.into()))?;
        let mut next = std::ffi::OsString::from(".");
        next.push(name);
        next.push(format!(".{:016x}", rand::random::<u64>()));
        let next = self.path.with_file_name(next);
        let written = write_new(&next, text).and_then(|()| std::fs::rename(&next, &self.path));
        if let Err(error) = written {
            // Ignored: the file may not exist.
            let _ = std::fs::remove_file(&next);
            return Err(failed(error));
        }
        // So that the new name survives a loss of power. Ignored: some file systems cannot sync a folder.
        if let Some(Ok(folder)) = self.path.parent().map(File::open) {
            let _ = folder.sync_all();
        }
        Ok(())
    }

    /// Removes the file; returns false if there was none.
    ///
    /// # Errors
    ///
    /// [`PrivateFileError::Write`]
    pub fn remove(&self) -> Result<bool, PrivateFileError> {
        match std::fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(PrivateFileError::Write { path: self.path.clone(), source }),
        }
    }

    fn not_private(&self, found: &str, remedy: &'static str) -> PrivateFileError {
        PrivateFileError::NotPrivate { path: self.path.clone(), found: found.to_owned(), remedy }
    }
}

fn write_new(path: &Path, text: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.expose().as_bytes())?;
    file.sync_all()
}

fn owned(path: &Path, owner: u32) -> Result<(), PrivateFileError> {
    if owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(PrivateFileError::NotPrivate {
        path: path.to_owned(),
        found: format!("it belongs to another user (uid {owner})"),
        remedy: "remove it, or choose another folder",
    })
}

fn is_link(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::{PrivateFile, PrivateFileError, make_folder};

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn folders_and_files_are_their_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("state/doorward");
        make_folder(&place).unwrap();
        make_folder(&place).unwrap();
        let file = PrivateFile::new(place.join("login"));
        file.replace(&"one".into()).unwrap();
        file.replace(&"two".into()).unwrap();
        assert_eq!((mode(&place), mode(file.path())), (0o700, 0o600));
        assert!(file.read().unwrap().unwrap().matches("two"));
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1, "nothing is left over");
        assert!(file.remove().unwrap() && !file.remove().unwrap());
    }

    #[test]
    fn what_others_can_reach_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = PrivateFile::new(folder.path().join("login"));
        file.replace(&"secret".into()).unwrap();
        for bits in [0o640, 0o604, 0o620] {
            fs::set_permissions(file.path(), Permissions::from_mode(bits)).unwrap();
            let error = file.read().unwrap_err();
            assert!(matches!(error, PrivateFileError::NotPrivate { .. }), "{error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(make_folder(folder.path()).is_err());
    }

    #[test]
    fn a_link_is_neither_followed_nor_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = PrivateFile::new(folder.path().join("elsewhere"));
        elsewhere.replace(&"theirs".into()).unwrap();
        let file = PrivateFile::new(folder.path().join("login"));
        symlink(elsewhere.path(), file.path()).unwrap();
        let error = file.read().unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        file.replace(&"ours".into()).unwrap();
        assert!(elsewhere.read().unwrap().unwrap().matches("theirs"));
        assert!(file.read().unwrap().unwrap().matches("ours"));
        assert!(PrivateFile::new(folder.path()).read().is_err(), "a folder is no file");
    }
}
