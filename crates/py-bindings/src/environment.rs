//! Trust settings of the environment as Python sees it (`os.environ`), read once when an `Issuer` is made.
//!
//! The HTTP client reads the proxies (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`) itself.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::errors;

/// In this order: OpenSSL's variable, which httpx and the standard library honour too, then that of `requests`.
pub(crate) const CA_FILES: [&str; 2] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];

/// The file of certificates to trust, if the environment names one.
///
/// # Errors
/// `ConfigurationError` if it names something that is not a file.
pub(crate) fn ca_file(py: Python<'_>) -> PyResult<Option<PathBuf>> {
    let environ = py.import("os")?.getattr("environ")?;
    for name in CA_FILES {
        let named: Option<PathBuf> = environ.call_method1("get", (name,))?.extract()?;
        let Some(path) = named.filter(|path| !path.as_os_str().is_empty()) else { continue };
        if !path.is_file() {
            let message = format!("{name} names {}, which is no file", path.display());
            let remedy = format!("let {name} name a PEM file, unset it, or pass ca_file=");
            return Err(errors::configuration(py, "ca_file", message, remedy));
        }
        return Ok(Some(path));
    }
    Ok(None)
}
