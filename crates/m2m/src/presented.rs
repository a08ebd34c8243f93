//! A token that is presented to the issuer to get another one.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oidc_core::Secret;

use crate::source::{TokenError, TokenSource};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 64 * 1024;

/// Origin of the token to present: the subject or actor of a token exchange (RFC 8693 §2.1), or the
/// assertion of a JWT bearer grant (RFC 7523 §2.1).
///
/// ```
/// use m2m::PresentedToken;
/// use oidc_core::Secret;
///
/// // A projected service account token of Kubernetes, read again for each request.
/// let mounted = PresentedToken::file("/var/run/secrets/tokens/issuer");
/// let given = PresentedToken::from(Secret::from("eyJ…"));
/// assert_eq!(format!("{given:?}"), "PresentedToken(..)");
/// # let _ = mounted;
/// ```
#[derive(Clone)]
pub struct PresentedToken(Origin);

#[derive(Clone)]
enum Origin {
    Given(Secret),
    File(PathBuf),
    Source(Arc<dyn TokenSource>),
}

impl PresentedToken {
    /// The text of a file, read again for each request, without the newlines at its end; 64 KiB at most.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Origin::File(path.into()))
    }

    /// The tokens of a source, such as the workload's own.
    pub fn from_source(source: impl TokenSource + 'static) -> Self {
        Self(Origin::Source(Arc::new(source)))
    }

    pub(crate) async fn secret(&self) -> Result<Secret, TokenError> {
        match &self.0 {
            Origin::Given(secret) => Ok(secret.clone()),
            Origin::Source(source) => Ok(source.token().await?.secret().clone()),
            Origin::File(path) => {
                let read = path.clone();
                let text = tokio::task::spawn_blocking(move || text(&read)).await;
                text.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|source| {
                    TokenError::Unreadable { path: path.clone(), source: Arc::new(source) }
                })
            }
        }
    }

    /// Identifies the token without revealing it; `None` for a token that is given as a value.
    pub(crate) fn cache_key(&self) -> Option<String> {
        match &self.0 {
            Origin::Given(_) => None,
            Origin::File(path) => Some(format!("file {}", path.display())),
            Origin::Source(source) => source.cache_key().map(|key| format!("source {key}")),
        }
    }
}

fn text(path: &Path) -> io::Result<Secret> {
    let mut text = String::new();
    let read = File::open(path)?.take(LARGEST + 1).read_to_string(&mut text);
    let text = Secret::from(text);
    let problem = match read? as u64 {
        0 => "it is empty",
        length if length > LARGEST => "it is larger than 64 KiB",
        _ => return Ok(Secret::from(text.expose().trim_end_matches(['\r', '\n']))),
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, problem))
}

impl From<Secret> for PresentedToken {
    fn from(token: Secret) -> Self {
        Self(Origin::Given(token))
    }
}

impl fmt::Debug for PresentedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Origin::Given(_) => f.write_str("PresentedToken(..)"),
            Origin::File(path) => write!(f, "PresentedToken({})", path.display()),
            Origin::Source(source) => write!(f, "PresentedToken({source:?})"),
        }
    }
}
