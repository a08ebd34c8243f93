//! The [`Http`] port over `reqwest` with rustls.
//!
//! Uses the proxy that the environment names (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, but for the
//! hosts of `NO_PROXY`), and none for this machine: `localhost`, `127.0.0.0/8` and `::1` are reached
//! directly. Trusts the platform's certificates, or those of one file; sends a client certificate if it has
//! one (RFC 8705 §2); follows no redirect, decodes no compression (which excludes decompression
//! bombs), and stops reading at the limits.

use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use ::http::{Request, Response};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::{Http, HttpError};
use crate::foreign_text::bounded;
use crate::issuer::is_loopback;

mod tls;

/// Settings of [`ReqwestHttp`].
///
/// ```
/// use std::time::Duration;
/// use oidc_core::http::reqwest::HttpOptions;
/// let options = HttpOptions::default().with_timeout(Duration::from_secs(5));
/// assert_eq!(options.max_body, 1024 * 1024);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpOptions {
    /// PEM file with the only certificates to trust, instead of the platform's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate for servers that ask for one. None unless set.
    pub client_certificate: Option<ClientCertificate>,
    /// From the first byte sent to the last received. 10 s.
    pub timeout: Duration,
    /// For the connection with its TLS handshake. 3 s.
    pub connect_timeout: Duration,
    /// Largest body of an answer, in bytes. 1 MiB.
    pub max_body: usize,
    /// Idle connections kept for each host. 32.
    pub pool_idle_per_host: usize,
}

/// A certificate of this program and its private key, in PEM files.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The certificate, and after it the intermediate ones.
    pub certificate: PathBuf,
    /// The private key: PKCS#8, PKCS#1 or SEC 1.
    pub key: PathBuf,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            ca_file: None,
            client_certificate: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            max_body: 1024 * 1024,
            pool_idle_per_host: 32,
        }
    }
}

impl HttpOptions {
    /// Trusts the certificates of this PEM file only.
    #[must_use]
    pub fn with_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Sends this certificate to servers that ask for one (RFC 8705 §2): PEM files with the
    /// certificate and its intermediate ones, and with the private key (PKCS#8, PKCS#1 or SEC 1; it
    /// may be the same file). They are read when the client is built.
    #[must_use]
    pub fn with_client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        let (certificate, key) = (certificate.into(), key.into());
        self.client_certificate = Some(ClientCertificate { certificate, key });
        self
    }

    /// Limits the whole exchange.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Limits the connection with its TLS handshake.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Limits the body of an answer, in bytes.
    #[must_use]
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }
}

/// Reason the HTTP client could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HttpSetupError {
    /// The file of certificates cannot be read.
    #[error("the CA file {} cannot be read as PEM certificates", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// The reader's error.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The file of certificates holds none.
    #[error("the CA file {} holds no certificate", path.display())]
    EmptyCaFile {
        /// The file.
        path: PathBuf,
    },
    /// The file of certificates holds one that cannot be used.
    #[error("the CA file {} holds a certificate that cannot be used", path.display())]
    CaCertificate {
        /// The file.
        path: PathBuf,
        /// The problem with the certificate.
        #[source]
        source: rustls::Error,
    },
    /// The file with the client's certificate cannot be read.
    #[error("the client certificate {} cannot be read as PEM", path.display())]
    ClientCertificateFile {
        /// The file.
        path: PathBuf,
        /// The reader's error.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The file with the client's certificate holds none.
    #[error("the file {} holds no client certificate", path.display())]
    EmptyClientCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file with the client's private key cannot be read.
    #[error(
        "the client certificate's key {} cannot be read as PEM; give PKCS#8, PKCS#1 or SEC 1 without a passphrase",
        path.display()
    )]
    ClientKeyFile {
        /// The file.
        path: PathBuf,
        /// The reader's error.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The client's certificate and key cannot be used together.
    #[error(
        "the client certificate {} cannot be used with the key {}; give the key it was made for",
        certificate.display(), key.display()
    )]
    ClientCertificate {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// The problem with them.
        #[source]
        source: rustls::Error,
    },
    /// TLS cannot be set up; often because the platform has no trusted certificates.
    #[error("TLS cannot be set up; in an image without certificates, name a CA file")]
    Tls(#[source] rustls::Error),
    /// The client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[source] ::reqwest::Error),
}

/// The adapter. Cheap to clone; connections are pooled.
///
/// ```no_run
/// use std::sync::Arc;
/// use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
/// let http = Arc::new(ReqwestHttp::new(HttpOptions::default())?);
/// # Ok::<(), oidc_core::http::reqwest::HttpSetupError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReqwestHttp {
    client: ::reqwest::Client,
    /// For this machine: requests to it never leave it through a proxy.
    direct: ::reqwest::Client,
    timeout: Duration,
    max_body: usize,
}

/// Chooses aws-lc-rs for rustls in this process, unless a choice was made before. Idempotent.
///
/// [`ReqwestHttp`] does not need it and never calls it: the choice is the program's. A program calls it
/// for other users of rustls, such as a `reqwest::Client` that is built without a provider.
pub fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the program chose before; its choice is kept.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}

impl ReqwestHttp {
    /// Builds the client; reads the files, opens no connection. Uses the rustls provider that this
    /// process chose, else aws-lc-rs, and chooses none for the process.
    ///
    /// # Errors
    ///
    /// [`HttpSetupError`] names the file that cannot be read or used, or the reason the client
    /// cannot be built.
    pub fn new(options: HttpOptions) -> Result<Self, HttpSetupError> {
        let tls = tls::config(options.ca_file, options.client_certificate)?;
        let builder = || {
            ::reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .redirect(::reqwest::redirect::Policy::none())
                .referer(false)
                .timeout(options.timeout)
                .connect_timeout(options.connect_timeout)
                .pool_max_idle_per_host(options.pool_idle_per_host)
                .pool_idle_timeout(Duration::from_secs(60))
                .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")))
        };
        let client = builder().build().map_err(HttpSetupError::Client)?;
        let direct = builder().no_proxy().build().map_err(HttpSetupError::Client)?;
        Ok(Self { client, direct, timeout: options.timeout, max_body: options.max_body })
    }

    async fn exchange(&self, request: ::reqwest::Request) -> Result<Response<Bytes>, HttpError> {
        let host = host(request.url());
        let failed = |error: ::reqwest::Error| self.error(&host, error);
        let client = if is_loopback(request.url()) { &self.direct } else { &self.client };
        let mut answer = client.execute(request).await.map_err(failed)?;
        let too_large = || HttpError::BodyTooLarge { host: host.clone(), limit: self.max_body };
        if answer.content_length().is_some_and(|length| length > self.max_body as u64) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.max_body {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }

    fn error(&self, host: &str, error: ::reqwest::Error) -> HttpError {
        let host = host.to_owned();
        let error = error.without_url();
        if error.is_timeout() && !error.is_connect() {
            return HttpError::TimedOut { host, after: self.timeout };
        }
        if let Some(failure) = tls::failure(&error) {
            return match failure {
                tls::Failure::NotTls => HttpError::NotTls { host },
                tls::Failure::Certificate(reason) => HttpError::Certificate { host, reason },
            };
        }
        let mut cause: &dyn Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let reason = bounded(&cause.to_string());
        if error.is_connect() {
            HttpError::Connect { host, reason, source: Some(Arc::new(error)) }
        } else {
            HttpError::Exchange { host, reason, source: Some(Arc::new(error)) }
        }
    }
}

#[async_trait]
impl Http for ReqwestHttp {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request =
            ::reqwest::Request::try_from(request).map_err(|error| self.error("", error))?;
        let host = host(request.url());
        // reqwest's own limit restarts nowhere, but the whole exchange is held to it here too.
        tokio::time::timeout(self.timeout, self.exchange(request))
            .await
            .unwrap_or(Err(HttpError::TimedOut { host, after: self.timeout }))
    }
}

fn host(url: &url::Url) -> String {
    let name = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    }
}
