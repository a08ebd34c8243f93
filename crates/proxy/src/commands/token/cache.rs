//! Where runs share tokens: the user's runtime directory, which is in memory; else a folder on disk, sealed under a key that only
//! holders of the client's own credential can make; else nowhere.

use aws_lc_rs::digest::{SHA256, digest};
use m2m::FileCache;
use oidc_core::Secret;

use crate::commands::credential::Credential;
use crate::commands::environment::{folder, variable};

/// Larger than any key or secret.
const LARGEST: u64 = 64 * 1024;

/// The place, if there is one.
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
            "this token is not shared with other runs, so each asks the issuer: set XDG_RUNTIME_DIR to a folder of \
             this user alone (a session of systemd does), or pass --no-cache to mean it"
        );
    }
    sealed
}

/// On disk, for whoever has the credential: who reads the disk alone learns nothing.
fn sealed(credential: &Credential) -> Option<FileCache> {
    let cache = folder("XDG_CACHE_HOME", ".cache")?.join("doorward/tokens");
    let file = std::fs::File::open(credential.file()?).ok()?;
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, LARGEST), &mut content).ok()?;
    let mut key = String::new();
    for octet in digest(&SHA256, &content).as_ref() {
        key.push_str(&format!("{octet:02x}"));
    }
    zeroize::Zeroize::zeroize(&mut content);
    FileCache::sealed(cache, &Secret::from(key)).ok()
}
