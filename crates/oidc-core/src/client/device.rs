//! Authorization of a device without a browser of its own (RFC 8628): the person enters a code on
//! another device while this one polls for the answer.
//!
//! It polls no faster than the provider allows (§3.5), slows down on `slow_down` or when the
//! provider does not answer, and stops when the code expires. If the provider supports PKCE S256,
//! it is used here too, so that a leaked device code is useless.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use oauth2::PkceCodeChallenge;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::token_set::seconds;
use crate::client::{ClientEndpoint, Form, Grant, TokenEndpoint, TokenEndpointError, TokenSet};
use crate::foreign_text::quoted;
use crate::provider::ProviderMetadata;
use crate::secret::Secret;
use crate::token::Scope;

/// Wait between two polls when the provider does not name one (§3.2).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// Increase of the wait by `slow_down` (§3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// Longest wait between two polls while the provider does not answer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// Limit on the lifetime of a device code.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest code that a person can be asked to type, in characters.
const MAX_USER_CODE: usize = 64;

/// A device that waits for its person to approve it.
///
/// ```no_run
/// # async fn run(endpoint: oidc_core::client::TokenEndpoint) -> Result<(), Box<dyn std::error::Error>> {
/// use oidc_core::client::DeviceAuthorization;
///
/// let device = DeviceAuthorization::begin(&endpoint, Some("models:read".into())).await?;
/// println!("open {} and type {}", device.verification_uri(), device.user_code());
/// let tokens = device.wait().await?;
/// # Ok(()) }
/// ```
pub struct DeviceAuthorization {
    endpoint: TokenEndpoint,
    device_code: Secret,
    code_verifier: Option<Secret>,
    user_code: Secret,
    verification_uri: Url,
    verification_uri_complete: Option<Url>,
    expires_at: SystemTime,
    interval: Duration,
    deadline: Instant,
}

/// Reason a device got no tokens.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// `access_denied`: the person refused.
    #[error("the person did not allow this device")]
    Denied,
    /// `expired_token`, or the code expired.
    #[error("the device code expired before the user answered; begin again")]
    Expired,
    /// The provider refused, or its answer is invalid.
    #[error(transparent)]
    Endpoint(#[from] TokenEndpointError),
}

impl DeviceAuthorization {
    /// Requests a code (§3.1) with this `scope`.
    ///
    /// # Errors
    /// [`DeviceError::Endpoint`]; [`TokenEndpointError::NotSupported`] among them when the provider
    /// has no `device_authorization_endpoint`.
    pub async fn begin(
        endpoint: &TokenEndpoint,
        scope: Option<Scope>,
    ) -> Result<Self, DeviceError> {
        let metadata = endpoint.provider().metadata().await.map_err(TokenEndpointError::from)?;
        let mut form: Form = Vec::new();
        if let Some(scope) = scope {
            form.push(("scope".into(), scope.to_string().into()));
        }
        let mut code_verifier = None;
        if speaks_pkce(&metadata) {
            let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
            form.push(("code_challenge".into(), challenge.as_str().into()));
            form.push(("code_challenge_method".into(), challenge.method().as_str().into()));
            code_verifier = Some(Secret::from(verifier.into_secret()));
        }
        let began = Instant::now();
        let answer =
            endpoint.post(ClientEndpoint::DeviceAuthorization, form, StatusCode::OK).await?;
        let (answer, verification_uri) = Answer::parse(answer.body(), endpoint)?;
        let life = seconds(&answer.expires_in).unwrap_or(LONGEST_LIFE).min(LONGEST_LIFE);
        Ok(Self {
            verification_uri_complete: answer.complete(),
            device_code: answer.device_code,
            code_verifier,
            user_code: answer.user_code,
            verification_uri,
            expires_at: endpoint.now() + life,
            interval: seconds(&answer.interval).unwrap_or(DEFAULT_INTERVAL).min(life),
            deadline: began + life,
            endpoint: endpoint.clone(),
        })
    }

    /// The code the person types. Show it unchanged; it has no control characters.
    pub fn user_code(&self) -> &str {
        self.user_code.expose()
    }

    /// The page where the person types it.
    pub fn verification_uri(&self) -> &Url {
        &self.verification_uri
    }

    /// The page with the code in its URL, for a QR code or a link (§3.3.1). Show the code beside
    /// it, so that the person can compare.
    pub fn verification_uri_complete(&self) -> Option<&Url> {
        self.verification_uri_complete.as_ref()
    }

    /// Time the code expires.
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Wait between two polls.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Waits until the person has answered, and returns the tokens. Keeps polling while the
    /// provider is unavailable or answers that the person has not decided (§3.5).
    ///
    /// # Errors
    /// [`DeviceError`]
    pub async fn wait(self) -> Result<TokenSet, DeviceError> {
        let mut interval = self.interval.max(Duration::from_secs(1));
        let mut pause = interval;
        loop {
            let next = Instant::now() + pause;
            if next >= self.deadline {
                sleep_until(self.deadline).await;
                return Err(DeviceError::Expired);
            }
            sleep_until(next).await;
            let error = match self.poll().await {
                Ok(tokens) => return Ok(tokens),
                Err(error) => error,
            };
            pause = match &error {
                TokenEndpointError::OAuth { error: code, .. } => match code.as_str() {
                    "authorization_pending" => interval,
                    "slow_down" => {
                        interval += SLOW_DOWN;
                        interval
                    }
                    "access_denied" => return Err(DeviceError::Denied),
                    "expired_token" => return Err(DeviceError::Expired),
                    _ => return Err(error.into()),
                },
                TokenEndpointError::Unavailable { retry_after, .. } => {
                    let longer = (pause * 2).min(LONGEST_BACKOFF.max(interval));
                    longer.max(retry_after.unwrap_or_default())
                }
                _ => return Err(error.into()),
            };
        }
    }

    async fn poll(&self) -> Result<TokenSet, TokenEndpointError> {
        let grant = Grant::DeviceCode {
            device_code: self.device_code.clone(),
            code_verifier: self.code_verifier.clone(),
        };
        self.endpoint.request(grant).await
    }
}

fn speaks_pkce(metadata: &ProviderMetadata) -> bool {
    metadata.code_challenge_methods_supported.iter().any(|method| method == "S256")
}

/// §3.2
#[derive(Deserialize)]
struct Answer {
    device_code: Secret,
    user_code: Secret,
    verification_uri: Option<Url>,
    // The name in the first drafts; some providers still send it, or both.
    verification_url: Option<Url>,
    #[serde(default)]
    verification_uri_complete: Value,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    interval: Value,
}

impl Answer {
    /// The page with the code in its URL; a text that is no URL is left out.
    fn complete(&self) -> Option<Url> {
        self.verification_uri_complete.as_str()?.parse().ok()
    }

    /// The answer and its page. The answer is shown to a person, so it must be safe for a terminal
    /// and name a web page.
    fn parse(body: &[u8], endpoint: &TokenEndpoint) -> Result<(Self, Url), TokenEndpointError> {
        let invalid = |reason: String| TokenEndpointError::InvalidResponse { reason };
        let answer: Self = serde_json::from_slice(body).map_err(|error| {
            // The parser quotes values, which may be codes; report the position only.
            let (line, column) = (error.line(), error.column());
            invalid(format!(
                "it is not a device authorization response (line {line}, column {column})"
            ))
        })?;
        let code = answer.user_code.expose();
        if code.is_empty()
            || code.chars().count() > MAX_USER_CODE
            || code.chars().any(char::is_control)
            || answer.device_code.is_empty()
        {
            return Err(invalid("its codes cannot be used".to_owned()));
        }
        let page = answer.verification_uri.as_ref().or(answer.verification_url.as_ref());
        let Some(page) = page.cloned() else {
            return Err(invalid("it holds no verification_uri".to_owned()));
        };
        let is_page = |url: &Url| endpoint.provider().accepts(url);
        if !is_page(&page) || !answer.complete().as_ref().is_none_or(is_page) {
            let found = quoted(page.as_str());
            return Err(invalid(format!("its verification_uri {found} does not use https")));
        }
        Ok((answer, page))
    }
}

impl fmt::Debug for DeviceAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceAuthorization")
            .field("verification_uri", &self.verification_uri.as_str())
            .field("expires_at", &self.expires_at)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
