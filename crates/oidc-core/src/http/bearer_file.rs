//! Requests with a bearer token from a file, for issuers whose metadata and keys are not public.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::http::{HeaderValue, Method, Request, Response, header};
use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

use super::{Http, HttpError};
use crate::issuer::is_loopback;
use crate::secret::Secret;

/// Size limit of the file, in bytes.
const LARGEST: u64 = 64 * 1024;

/// Sends each request with the token in a file, read at each request: a Kubernetes API server shows its metadata and keys to
/// service accounts only.
///
/// The token goes wherever the metadata says that the keys are, so use this for metadata and keys alone. Only `GET` requests over
/// `https`, or to this machine, are sent.
///
/// ```no_run
/// # fn run(http: oidc_core::http::reqwest::ReqwestHttp) {
/// use std::sync::Arc;
/// use oidc_core::http::BearerFile;
///
/// let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// let http = BearerFile::new(Arc::new(http), token);
/// # }
/// ```
#[derive(Debug)]
pub struct BearerFile {
    inner: Arc<dyn Http>,
    path: PathBuf,
}

impl BearerFile {
    /// Sends through `inner`, with the token in the file.
    pub fn new(inner: Arc<dyn Http>, path: impl Into<PathBuf>) -> Self {
        Self { inner, path: path.into() }
    }
}

#[async_trait]
impl Http for BearerFile {
    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let refused = |reason: String| HttpError::Exchange { host, reason, source: None };
        let secure = Url::parse(&request.uri().to_string())
            .is_ok_and(|url| url.scheme() == "https" || is_loopback(&url));
        if request.method() != Method::GET || !secure {
            let reason = "the token in the file is sent with GET over https only";
            return Err(refused(reason.to_owned()));
        }
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let token = read.map_err(|error| error.to_string()).and_then(|read| read);
        let token = token.map_err(|reason| {
            refused(format!("the token in {} cannot be sent: {reason}", self.path.display()))
        })?;
        request.headers_mut().insert(header::AUTHORIZATION, token);
        self.inner.send(request).await
    }
}

fn read(path: &Path) -> Result<HeaderValue, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > LARGEST {
        return Err("the file is larger than 64 KiB".to_owned());
    }
    let token =
        std::fs::read_to_string(path).map(Secret::from).map_err(|error| error.to_string())?;
    let token = Secret::from(format!("Bearer {}", token.expose().trim_end()));
    let mut value = HeaderValue::from_str(token.expose())
        .map_err(|_| "the file holds characters that no token has".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
