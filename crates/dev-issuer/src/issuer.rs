//! A running provider, and the operations that tests perform on it outside its endpoints.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use url::Url;

use crate::authorization;
use crate::client::DevClient;
use crate::dialect::Dialect;
use crate::faults::{Endpoint, Faults};
use crate::grant::Grant;
use crate::keys::KeyError;
use crate::listener::Running;
use crate::params::Params;
use crate::path;
use crate::provider::Provider;
use crate::server::router;
use crate::shared::Shared;
use crate::token_response::TokenResponse;
use crate::tokens::Entitlement;
use crate::user::User;

/// A provider that listens until it is stopped or dropped.
#[derive(Debug)]
pub struct DevIssuer {
    pub(crate) provider: Arc<Provider>,
    addr: SocketAddr,
    running: Shared<Option<Running>>,
}

/// Reason a provider did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is not on loopback. The login page shows every password, so the provider must not be
    /// reachable from other machines.
    #[error(
        "invalid address {0}: not on loopback; use 127.0.0.1 or [::1], as this provider is for development"
    )]
    NotLoopback(SocketAddr),
    /// The address is taken or invalid.
    #[error("cannot listen on {addr}")]
    Bind {
        /// Requested address.
        addr: String,
        /// Cause.
        source: io::Error,
    },
    /// The realm's name does not fit into the issuer's URL.
    #[error("invalid realm {0:?}: use letters, digits, `-`, `_` and `.` only")]
    Realm(String),
    /// Logout tokens cannot be sent to this URI.
    #[error(
        "client {client:?}: invalid backchannel_logout_uri {uri:?}; use an http URL on loopback"
    )]
    BackchannelLogoutUri {
        /// The client's id.
        client: String,
        /// Its logout URI.
        uri: String,
    },
    /// No signing key.
    #[error("missing signing key")]
    Keys(#[source] KeyError),
}

/// Reason a sign-in failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// No such person at this provider.
    #[error("unknown user {0:?}: add it to the provider first")]
    UnknownUser(String),
    /// No such client at this provider.
    #[error("unknown client {0:?}: add it to the provider first")]
    UnknownClient(String),
    /// The text is not a URL.
    #[error("invalid authorization URL")]
    Url(#[source] url::ParseError),
    /// The provider would show an error page.
    #[error("the authorization request is refused: {0}")]
    Refused(String),
    /// The client would get an error at this URL.
    #[error("the authorization request is refused, and the client gets the error: {0}")]
    SentBack(String),
    /// The client may not ask for this scope.
    #[error("invalid scope {0:?}: the client may not request it; allow it with `DevClient::scope`")]
    Scope(String),
    /// A token could not be signed.
    #[error("a token could not be signed")]
    Signing(#[source] jsonwebtoken::errors::Error),
}

impl DevIssuer {
    pub(crate) fn serving(provider: Arc<Provider>, addr: SocketAddr, socket: TcpListener) -> Self {
        let running = Running::serve(socket, router(Arc::clone(&provider)));
        Self { provider, addr, running: Shared::new(Some(running)) }
    }

    /// The issuer identifier: `http://127.0.0.1:4567/realms/dev`.
    pub fn url(&self) -> &str {
        &self.provider.issuer
    }

    /// Address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// URL of the discovery document.
    pub fn discovery_url(&self) -> String {
        self.provider.at(path::DISCOVERY)
    }

    /// Adds a client, or replaces it from now on.
    pub fn set_client(&self, client: DevClient) {
        self.provider.registry.set_client(client);
    }

    /// Adds a person, or replaces them: tokens have the new data from the next refresh on.
    pub fn set_user(&self, user: User) {
        self.provider.registry.set_user(user);
    }

    /// Answers in this dialect from now on.
    pub fn set_dialect(&self, dialect: Dialect) {
        *self.provider.dialect.lock() = dialect;
    }

    /// Signs this person in without a browser. Returns the URL a browser would be redirected to: the
    /// client's callback with `code`, `state` and `iss`. Nothing is sent over the network.
    ///
    /// # Errors
    /// If the person is unknown, or the request would not return to the client with a code.
    pub fn sign_in(&self, authorization_url: &str, username: &str) -> Result<String, SignInError> {
        let provider = &self.provider;
        if provider.registry.user(username).is_none() {
            return Err(SignInError::UnknownUser(username.to_owned()));
        }
        let url = Url::parse(authorization_url).map_err(SignInError::Url)?;
        let params = Params::parse(url.query().unwrap_or_default().as_bytes());
        let granted = authorization::read(provider, params).and_then(|request| {
            let session = provider.begin_session_for(&request, username);
            authorization::grant(provider, &request, &session)
        });
        let refused = |refusal| match authorization::refusal_url(provider, refusal) {
            Ok(url) => SignInError::SentBack(url.into()),
            Err(why) => SignInError::Refused(why),
        };
        granted.map(Into::into).map_err(refused)
    }

    /// Allows a device as this person, who typed the code it shows; false when no device waits under
    /// this code, or the person is unknown.
    pub fn allow_device(&self, user_code: &str, username: &str) -> bool {
        let provider = &self.provider;
        let now = provider.clock.now();
        let waits = provider.devices.waiting(user_code, now).is_some();
        if !waits || provider.registry.user(username).is_none() {
            return false;
        }
        let session = provider.begin_session(username);
        provider.devices.answer(user_code, Some(session.id), now)
    }

    /// Refuses the device that shows this code; false when none waits under it.
    pub fn deny_device(&self, user_code: &str) -> bool {
        self.provider.devices.answer(user_code, None, self.provider.clock.now())
    }

    /// A whole token set for this person at this client, in a new session. Nothing is sent over the
    /// network.
    ///
    /// # Errors
    /// If the person or client is unknown, the client may not ask for the scope, or signing fails.
    pub fn log_in(
        &self,
        username: &str,
        client_id: &str,
        scope: &str,
    ) -> Result<TokenResponse, SignInError> {
        let provider = &self.provider;
        let user = provider.registry.user(username);
        let user = user.ok_or_else(|| SignInError::UnknownUser(username.to_owned()))?;
        let client = provider.registry.client(client_id);
        let client = client.ok_or_else(|| SignInError::UnknownClient(client_id.to_owned()))?;
        let scope = client.grant_scope(scope).map_err(SignInError::Scope)?;
        let session = provider.begin_session(username);
        let link = provider.sessions.attach(&session.id, client_id);
        let grant = Grant::AuthorizationCode;
        let entitled = Entitlement::of_person(user, client, scope, session.mark(), grant);
        provider.issue(&entitled, link.as_ref()).map_err(SignInError::Signing)
    }

    /// Signs with a new key from now on, and returns its `kid`. The former key stays published, unless
    /// it was withdrawn.
    ///
    /// # Errors
    /// If no key can be generated.
    pub async fn rotate_keys(&self) -> Result<String, KeyError> {
        self.provider.keys.rotate().await
    }

    /// Publishes the current signing key only.
    pub fn remove_old_keys(&self) {
        self.provider.keys.remove_old();
    }

    /// Stops publishing its signing keys. It still signs with the current ones until
    /// [`DevIssuer::rotate_keys`] generates and publishes others.
    pub fn withdraw_keys(&self) {
        self.provider.keys.withdraw();
    }

    /// The `kid` that new tokens carry.
    pub fn signing_key_id(&self) -> String {
        self.provider.keys.current().id.clone()
    }

    /// The faults, to set and clear.
    pub fn faults(&self) -> &Faults {
        &self.provider.faults
    }

    /// Number of requests to this endpoint, including those that failed on purpose.
    pub fn requests(&self, endpoint: Endpoint) -> u64 {
        self.provider.faults.requests(endpoint)
    }

    /// Number of token requests of this grant, granted or refused. Requests that a fault answers before
    /// the endpoint are not counted here; [`DevIssuer::requests`] counts them too.
    pub fn token_requests_by_grant(&self, grant: Grant) -> u64 {
        self.provider.grants.of(grant)
    }

    /// Number of refresh requests with a token that had been used before.
    pub fn refresh_reuse_detected(&self) -> u64 {
        self.provider.sessions.reuse_detected()
    }

    /// Number of active single sign-on sessions.
    pub fn sessions(&self) -> usize {
        self.provider.sessions.count(self.provider.clock.now())
    }

    /// The sessions of this person: the `sid` of their tokens.
    pub fn session_ids(&self, username: &str) -> Vec<String> {
        let sessions = self.provider.sessions.of_user(username);
        sessions.into_iter().map(|session| session.id).collect()
    }

    /// Ends all sessions of this person and notifies their clients by back-channel logout. Returns the
    /// number of messages that were answered with 2xx.
    pub async fn end_session_for(&self, username: &str) -> usize {
        let mut delivered = 0;
        for session in self.provider.sessions.of_user(username) {
            delivered += self.provider.end_session(&session).await;
        }
        delivered
    }

    /// Stops listening and breaks every connection. Sessions, keys and counters stay for
    /// [`DevIssuer::resume`].
    pub async fn stop(&self) {
        let running = self.running.lock().take();
        if let Some(running) = running {
            running.stop().await;
        }
    }

    /// Listens again on the same address, after [`DevIssuer::stop`].
    ///
    /// # Errors
    /// If another process has taken the port meanwhile.
    pub async fn resume(&self) -> Result<(), StartError> {
        if self.running.lock().is_some() {
            return Ok(());
        }
        let socket = TcpListener::bind(self.addr)
            .await
            .map_err(|source| StartError::Bind { addr: self.addr.to_string(), source })?;
        let running = Running::serve(socket, router(Arc::clone(&self.provider)));
        *self.running.lock() = Some(running);
        Ok(())
    }
}
