//! A client's secret: a value, or a file that is read again at each use (RFC 6749 §2.3.1).

use std::fmt;
use std::path::PathBuf;

use super::{ClientAuthError, file};
use crate::secret::Secret;

/// A client's secret.
///
/// ```
/// use oidc_core::Secret;
/// use oidc_core::client::ClientSecret;
/// let secret = ClientSecret::from(Secret::from("hunter2"));
/// assert_eq!(format!("{secret:?}"), "ClientSecret(..)");
/// // Read at each use: a new file needs no restart of the program.
/// let secret = ClientSecret::file("/run/secrets/gateway");
/// assert_eq!(format!("{secret:?}"), "ClientSecret(/run/secrets/gateway)");
/// ```
#[derive(Clone)]
pub struct ClientSecret(Place);

#[derive(Clone)]
enum Place {
    Value(Secret),
    File(PathBuf),
}

impl ClientSecret {
    /// A secret in a file: UTF-8, 64 KiB at most, one newline at the end is not part of it. It is
    /// read at each use; [`ClientAuthError::File`] is returned then if that fails.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::File(path.into()))
    }

    pub(super) async fn read(&self) -> Result<Secret, ClientAuthError> {
        match &self.0 {
            Place::Value(secret) => Ok(secret.clone()),
            Place::File(path) => file::read(path).await,
        }
    }
}

impl From<Secret> for ClientSecret {
    fn from(secret: Secret) -> Self {
        Self(Place::Value(secret))
    }
}

impl From<String> for ClientSecret {
    fn from(secret: String) -> Self {
        Secret::from(secret).into()
    }
}

impl From<&str> for ClientSecret {
    fn from(secret: &str) -> Self {
        Secret::from(secret).into()
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Value(_) => f.write_str("ClientSecret(..)"),
            Place::File(path) => write!(f, "ClientSecret({})", path.display()),
        }
    }
}
