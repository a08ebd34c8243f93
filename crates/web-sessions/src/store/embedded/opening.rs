//! Opens the session file, which only its owner may read.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use redb::{Database, DatabaseError, StorageError};

use super::{EmbeddedError, entries, tables::writing};

/// Memory for pages of the file.
const PAGE_CACHE: usize = 16 * 1024 * 1024;

pub(super) fn open(path: &Path) -> Result<Database, EmbeddedError> {
    let in_directory = |source| EmbeddedError::Directory { path: path.to_owned(), source };
    let in_file = |source| EmbeddedError::File { path: path.to_owned(), source };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(in_directory)?;
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(in_file)?;
    if file.metadata().map_err(in_file)?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(in_file)?;
    }
    let opened = Database::builder().set_cache_size(PAGE_CACHE).create_file(file);
    let database = opened.map_err(|error| refused(path, error))?;
    // Creates all tables, and makes sure that the file's directory entry is on disk.
    entries::create(&database)
        .and_then(|()| writing(&database, |_| Ok(())))
        .map_err(|source| EmbeddedError::Damaged { path: path.to_owned(), source })?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(in_directory)?;
    Ok(database)
}

fn refused(path: &Path, error: DatabaseError) -> EmbeddedError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => EmbeddedError::InUse { path },
        // redb reports "invalid data" for a file that is not its own.
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() != io::ErrorKind::InvalidData =>
        {
            EmbeddedError::File { path, source }
        }
        other => EmbeddedError::Damaged { path, source: other.into() },
    }
}
