//! A certificate for 127.0.0.1, made for one run.

use std::fs;
use std::path::Path;

/// Writes `key.pem` and `certificate.pem`.
pub(crate) fn write(folder: &Path) -> anyhow::Result<()> {
    let made =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
    fs::write(folder.join("certificate.pem"), made.cert.pem())?;
    Ok(())
}
