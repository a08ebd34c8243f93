//! The folder in which runs share tokens: the user's runtime folder, which is in memory; else one on disk, sealed under a key
//! derived from the client's own credential.

use aws_lc_rs::digest::{SHA256, digest};
use m2m::FileCache;
use oidc_core::Secret;

use crate::credential::Credential;
use crate::environment::{folder, variable};

/// Larger than any key or secret.
const LARGEST: u64 = 64 * 1024;

/// The folder; `None` if there is none.
pub(super) fn files(credential: Option<&Credential>) -> Option<FileCache> {
    if variable("XDG_RUNTIME_DIR").is_some()
        && let Some(runtime) = folder("XDG_RUNTIME_DIR", "")
        && runtime.is_dir()
    {
        return Some(FileCache::in_directory(runtime.join("doorward")));
    }
    let sealed = credential.and_then(sealed);
    if sealed.is_none() {
        tracing::warn!(
            "this token is not shared with other runs, so each run asks the issuer; set XDG_RUNTIME_DIR to a folder that \
             only this user can access, or pass --no-cache to hide this warning"
        );
    }
    sealed
}

/// A cache on disk that only a holder of the credential can read.
fn sealed(credential: &Credential) -> Option<FileCache> {
    let cache = folder("XDG_CACHE_HOME", ".cache")?.join("doorward/tokens");
    let file = std::fs::File::open(credential.file()?).ok()?;
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, LARGEST), &mut content).ok()?;
    let mut key = String::new();
    for byte in digest(&SHA256, &content).as_ref() {
        key.push_str(&format!("{byte:02x}"));
    }
    zeroize::Zeroize::zeroize(&mut content);
    FileCache::sealed(cache, &Secret::from(key)).ok()
}
