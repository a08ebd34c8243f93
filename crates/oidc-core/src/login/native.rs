//! Login with the browser of this machine, for programs that run on the user's machine (RFC 8252).
//!
//! The browser comes back to an address of this machine that only this login listens on (§7.3),
//! with PKCE (§6), `state`, `nonce` and `iss` as in any other login. Other requests get no
//! information and do not end the login: it waits for the answer that has its `state`. The program
//! opens the browser; nothing here does.

use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::login::callback::CallbackRefusal;
use crate::login::{Client, Login, LoginError, LoginRequest, PendingLogin};

mod browser;
mod page;
mod redirect;

use browser::Callback;
use page::Page;
pub use redirect::{LoopbackRedirect, LoopbackRedirectError};

/// Upper bound of a wait, so that a huge duration does not overflow the clock.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A login that waits for the browser on an address of this machine.
///
/// ```no_run
/// # async fn run(provider: oidc_core::provider::Provider) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use oidc_core::Client;
/// use oidc_core::client::ClientAuth;
/// use oidc_core::keys::RemoteKeys;
/// use oidc_core::login::LoopbackRedirect;
///
/// let keys = Arc::new(RemoteKeys::new(provider.clone()));
/// let client = Client::new(provider, keys, "cli", ClientAuth::None);
///
/// let redirect = LoopbackRedirect::bind().await?;
/// let request = redirect.request().with_scopes(["profile"]);
/// let waiting = redirect.begin(&client, request).await?;
/// println!("open {}", waiting.url());
/// let login = waiting.finish(Duration::from_secs(300)).await?;
/// println!("hello {}", login.id_token.subject());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct LoopbackLogin {
    client: Client,
    redirect: LoopbackRedirect,
    url: Url,
    pending: PendingLogin,
}

/// Reason the login failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoopbackLoginError {
    /// The answer has this login's `state`, but it is refused, or the provider or the person
    /// refused.
    #[error(transparent)]
    Refused(#[from] CallbackRefusal),
    /// The answer was valid, but the code was not exchanged or the ID token was refused.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The browser did not come back in time.
    #[error("no sign-in within {} s; begin the login again", after.as_secs())]
    TimedOut {
        /// Time waited.
        after: Duration,
    },
}

impl LoopbackRedirect {
    /// Begins a login that comes back to this address; the redirect URI of `request` is ignored.
    ///
    /// # Errors
    /// As [`Client::begin_login`].
    pub async fn begin(
        self,
        client: &Client,
        request: LoginRequest,
    ) -> Result<LoopbackLogin, LoginError> {
        let request = request.with_redirect_uri(self.uri().clone());
        let (url, pending) = client.begin_login(request).await?;
        Ok(LoopbackLogin { client: client.clone(), redirect: self, url, pending })
    }
}

impl LoopbackLogin {
    /// The URL for the browser. Show it to the user too: a program cannot know whether a browser
    /// opened.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The redirect URI.
    pub fn redirect_uri(&self) -> &Url {
        self.redirect.uri()
    }

    /// Waits for the browser, exchanges the code and verifies the ID token. The browser gets a page
    /// with the outcome. A request without this login's `state` is refused and does not end the
    /// login.
    ///
    /// # Errors
    /// [`LoopbackLoginError::TimedOut`] when the browser is not back `within` that time;
    /// [`LoopbackLoginError::Refused`] when the provider, or the person, refused, or the answer is
    /// not the provider's; [`LoopbackLoginError::Login`] as [`Client::finish_login`].
    pub async fn finish(self, within: Duration) -> Result<Login, LoopbackLoginError> {
        let within = within.min(LONGEST_WAIT);
        let deadline = Instant::now() + within;
        let mut visitors = self.redirect.listen();
        loop {
            let Ok(Some(callback)) = timeout_at(deadline, visitors.next()).await else {
                return Err(LoopbackLoginError::TimedOut { after: within });
            };
            let Callback { browser, query } = callback;
            let code = match self.client.parse_callback(&query, &self.pending).await {
                Ok(code) => code,
                Err(refusal) if is_of_another_login(&refusal) => {
                    browser.show(&Page::not_this_login(&refusal)).await;
                    continue;
                }
                Err(refusal) => {
                    browser.show(&Page::refused(&refusal)).await;
                    return Err(refusal.into());
                }
            };
            let login = self.client.finish_login(code, &self.pending).await;
            let page = match &login {
                Ok(_) => Page::signed_in(),
                Err(error) => Page::refused(error),
            };
            browser.show(&page).await;
            return Ok(login?);
        }
    }
}

/// Whether an answer fails to show that it belongs to this login. Such an answer does not end the
/// login.
fn is_of_another_login(refusal: &CallbackRefusal) -> bool {
    matches!(
        refusal,
        CallbackRefusal::TooLarge
            | CallbackRefusal::Duplicate { .. }
            | CallbackRefusal::MissingState
            | CallbackRefusal::WrongState
    ) || matches!(refusal, CallbackRefusal::Response(refusal) if !refusal.is_unavailable())
}
