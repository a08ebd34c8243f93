//! A login by device authorization: the tokens come with an ID token, which is verified.

use std::time::SystemTime;

use url::Url;

use super::{Client, Login};
use crate::client::DeviceAuthorization;
use crate::login::LoginError;
use crate::token::Scope;
use crate::verify::IdTokenExpectations;

/// A login on a device without a browser: show the code, then [`finish`](DeviceLogin::finish).
///
/// ```no_run
/// # async fn run(client: oidc_core::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let waiting = client.begin_device_login(["profile"]).await?;
/// println!("open {} and type {}", waiting.verification_uri(), waiting.user_code());
/// let login = waiting.finish().await?;
/// println!("hello {}", login.id_token.subject());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct DeviceLogin {
    client: Client,
    device: DeviceAuthorization,
}

impl Client {
    /// Begins a login for a device without a browser (RFC 8628 §3.1); `openid` is always among the
    /// scopes.
    ///
    /// # Errors
    /// [`LoginError::Device`]
    pub async fn begin_device_login<S: Into<String>>(
        &self,
        scopes: impl IntoIterator<Item = S>,
    ) -> Result<DeviceLogin, LoginError> {
        let scopes = scopes.into_iter().map(Into::into);
        let scope: Scope = std::iter::once("openid".to_owned()).chain(scopes).collect();
        let device = DeviceAuthorization::begin(self.token_endpoint(), Some(scope))
            .await
            .map_err(LoginError::Device)?;
        Ok(DeviceLogin { client: self.clone(), device })
    }
}

impl DeviceLogin {
    /// The code the person types.
    pub fn user_code(&self) -> &str {
        self.device.user_code()
    }

    /// The page where the person types it.
    pub fn verification_uri(&self) -> &Url {
        self.device.verification_uri()
    }

    /// The page with the code in its URL, for a QR code or a link (RFC 8628 §3.3.1).
    pub fn verification_uri_complete(&self) -> Option<&Url> {
        self.device.verification_uri_complete()
    }

    /// Time the code expires.
    pub fn expires_at(&self) -> SystemTime {
        self.device.expires_at()
    }

    /// Waits until the person has answered, and verifies the ID token. There is no `nonce`: the
    /// device code binds the answer to this device.
    ///
    /// # Errors
    /// [`LoginError::Device`], [`LoginError::NoIdToken`], [`LoginError::IdToken`]
    pub async fn finish(self) -> Result<Login, LoginError> {
        let tokens = self.device.wait().await.map_err(LoginError::Device)?;
        let id_token = tokens.id_token.as_ref().ok_or(LoginError::NoIdToken)?;
        let expected =
            IdTokenExpectations::default().with_access_token(tokens.access_token.clone());
        let id_token = self
            .client
            .verifier()
            .id_token(id_token.expose(), &expected)
            .await
            .map_err(LoginError::IdToken)?;
        Ok(Login { tokens, id_token })
    }
}
