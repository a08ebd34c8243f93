//! Credentials in files: small, text, read whole, not kept after the request.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::ClientAuthError;
use crate::secret::Secret;

/// Largest file that is read, in bytes.
const LARGEST: u64 = 64 * 1024;

/// Reads the file on a blocking thread, because it may be on a slow mount.
pub(super) async fn read(path: &Path) -> Result<Secret, ClientAuthError> {
    let owned = path.to_owned();
    match tokio::task::spawn_blocking(move || read_now(&owned)).await {
        Ok(read) => read,
        Err(error) => Err(unreadable(path, io::Error::other(error))),
    }
}

/// Reads the file on this thread; one newline at the end is not part of the credential.
pub(super) fn read_now(path: &Path) -> Result<Secret, ClientAuthError> {
    let failed = |error| unreadable(path, error);
    let mut octets = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST + 1).read_to_end(&mut octets).map_err(failed)?;
    let refuse = |problem| Err(ClientAuthError::FileContent { path: path.to_owned(), problem });
    if octets.len() as u64 > LARGEST {
        return refuse("is larger than 64 KiB; name the file with the credential alone");
    }
    let Ok(text) = std::str::from_utf8(&octets) else {
        return refuse("is not UTF-8 text; write the credential as text");
    };
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return refuse("is empty; write the credential into it");
    }
    Ok(Secret::from(text))
}

fn unreadable(path: &Path, error: io::Error) -> ClientAuthError {
    ClientAuthError::File { path: path.to_owned(), source: Arc::new(error) }
}
