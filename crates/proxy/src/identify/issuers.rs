//! The configured issuers: each with its keys, its rules for tokens, and the gateway's registration as its client.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use access_policy::Known;
use arc_swap::ArcSwap;
use futures_util::{FutureExt, future::BoxFuture};
use oidc_core::client::{TokenEndpointError, TokenSet};
use oidc_core::keys::{KeySource, RemoteKeys};
use oidc_core::login::Login;
use oidc_core::provider::Provider;
use oidc_core::verify::Introspection;
use oidc_core::{AccessToken, Client, Clock, Validation, Verified, Verifier};
use web_sessions::{Record, Renew, RenewError};

use crate::{
    identify::{bearer, claims::ClaimReader},
    metric,
};

/// One issuer, and the gateway as its client.
#[derive(Debug)]
pub struct IssuerClient {
    /// Its name in the configuration.
    pub(crate) name: String,
    /// Its identifier, byte for byte.
    pub(crate) url: String,
    /// Source of its metadata.
    pub(crate) provider: Provider,
    /// Its signing keys.
    pub(crate) keys: Arc<dyn KeySource>,
    /// The same, if they are fetched from the issuer.
    pub(crate) remote_keys: Option<RemoteKeys>,
    /// Whether people may sign in there with a browser.
    pub(crate) offers_login: bool,
    /// The gateway's login client there.
    pub(crate) client: Client,
    /// The rules for bearer tokens; `None` if no audience is configured, and then no token is accepted.
    pub(crate) bearer: Option<Validation>,
    /// Asks about bearer tokens that are not JWTs; `None`: they are refused.
    pub(crate) introspection: Option<Introspection>,
    /// Verifies access tokens that were issued to the gateway itself.
    pub(crate) own: Verifier,
    /// Reads identities from its claims.
    pub(crate) claims: ClaimReader,
    /// Tolerated difference between its clock and the gateway's.
    pub(crate) leeway: Duration,
    /// Scopes asked for at login.
    pub(crate) scopes: Vec<String>,
    /// Whether logins are pushed (RFC 9126).
    pub(crate) pushed_authorization: crate::config::PushedAuthorization,
}

impl IssuerClient {
    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identifier.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether people may sign in there with a browser.
    pub fn offers_login(&self) -> bool {
        self.offers_login
    }

    /// Whether a token with this `iss` is of this issuer or of one of its tenants.
    fn names(&self, iss: &str) -> bool {
        self.url == iss || self.bearer.as_ref().is_some_and(|rules| rules.names_issuer(iss))
    }

    /// Its claim reader.
    pub fn claims(&self) -> &ClaimReader {
        &self.claims
    }

    /// The login client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether its metadata and keys are available, or the reason they are not.
    pub fn ready(&self) -> Result<(), String> {
        self.keys.current().map(|_| ()).map_err(|error| error.to_string())?;
        match self.provider.current() {
            Some(_) => Ok(()),
            // Nothing is fetched from an issuer whose keys are in a file.
            None if self.remote_keys.is_none() => Ok(()),
            None => Err("metadata not discovered yet".to_owned()),
        }
    }

    /// The record of a finished login.
    pub async fn record(&self, login: Login, now: std::time::SystemTime) -> Record {
        let Login { tokens, id_token, .. } = login;
        let known = self.session_identity(&tokens, &id_token).await;
        let expires_at = tokens.expires_at.or_else(|| id_token.expires_at).unwrap_or(now);
        let provider_session = id_token.session_id.clone();
        Record::new(Known::clone(&known), tokens.access_token, expires_at, now)
            .with_refresh_token(tokens.refresh_token)
            .with_id_token(tokens.id_token)
            .with_id_token_algorithm(id_token.algorithm())
            .with_provider_session(provider_session)
    }

    /// Identity in a token set. Roles come from the access token if it is a JWT of this issuer that was issued to this client
    /// about the same subject; any other access token adds nothing.
    async fn session_identity(
        &self,
        tokens: &TokenSet,
        id_token: &oidc_core::Claims,
    ) -> Arc<Known> {
        match self.own.access_token(tokens.access_token.expose()).await {
            Ok(access) if Some(access.subject()) == id_token.subject.as_deref() => {
                self.claims.read_session(id_token, Some(&access))
            }
            Ok(_) => {
                tracing::warn!(
                    issuer = self.name,
                    "access token is about another subject than the ID token; it is not read for roles"
                );
                self.claims.read_session(id_token, None)
            }
            Err(refusal) => {
                tracing::debug!(issuer = self.name, reason = %refusal, "access token is not read for roles");
                self.claims.read_session(id_token, None)
            }
        }
    }

    /// The `refresh_token` grant for a session (RFC 6749 §6).
    async fn renew(&self, record: &Record) -> Result<Record, RenewError> {
        let Some(refresh_token) = &record.refresh_token else {
            return Err(RenewError::NoRefreshToken);
        };
        let refreshed = self
            .client
            .refresh(refresh_token, &record.known.subject)
            .await
            .map_err(|error| self.renew_error(&error))?;
        let mut next = record.clone();
        if let Some(id_token) = &refreshed.id_token {
            next.id_token_algorithm = id_token.algorithm();
        }
        let tokens = refreshed.tokens;
        next.known = match &refreshed.id_token {
            Some(id_token) => self.session_identity(&tokens, id_token).await,
            None => match self.own.access_token(tokens.access_token.expose()).await {
                Ok(access) if access.subject() == record.known.subject => {
                    let mut known = Known::clone(&self.claims.read(&access));
                    known.name = known.name.or_else(|| record.known.name.clone());
                    Arc::new(known)
                }
                _ => Arc::clone(&record.known),
            },
        };
        if let Some(expires_at) = tokens.expires_at {
            next.access_expires_at = expires_at;
        }
        next.access_token = tokens.access_token;
        if tokens.refresh_token.is_some() {
            next.refresh_token = tokens.refresh_token;
        }
        if tokens.id_token.is_some() {
            next.id_token = tokens.id_token;
        }
        metric::refreshed(&self.name, "ok");
        Ok(next)
    }

    fn renew_error(&self, error: &TokenEndpointError) -> RenewError {
        if error.is_temporary() {
            metric::refreshed(&self.name, "unavailable");
            return RenewError::unavailable(error.to_string());
        }
        match error {
            TokenEndpointError::InvalidGrant { .. } => {
                metric::refreshed(&self.name, "invalid_grant");
                RenewError::refused(error.to_string())
            }
            // OpenID Connect Core 1.0 §12.2: these tokens are not about the person who signed in.
            TokenEndpointError::IdToken(_) => {
                metric::refreshed(&self.name, "bad_id_token");
                RenewError::refused(error.to_string())
            }
            // The operator has to correct a client that is misconfigured at the provider; the session stays.
            _ => {
                metric::refreshed(&self.name, "error");
                RenewError::unavailable(error.to_string())
            }
        }
    }
}

/// All configured issuers.
#[derive(Debug, Default)]
pub struct Issuers {
    by_name: BTreeMap<String, Arc<IssuerClient>>,
    bearer: Option<Verifier>,
}

impl Issuers {
    /// These issuers.
    pub fn new(by_name: BTreeMap<String, Arc<IssuerClient>>, clock: &Arc<dyn Clock>) -> Self {
        let bearer = bearer::verifier(&by_name, clock);
        Self { by_name, bearer }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<IssuerClient>> {
        self.by_name.values()
    }

    /// The one of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<IssuerClient>> {
        self.by_name.get(name)
    }

    /// Verifies bearer tokens of all issuers that accept them.
    pub fn bearer(&self) -> Option<&Verifier> {
        self.bearer.as_ref()
    }

    /// The issuer of a token that [`Issuers::bearer`] accepted.
    pub(crate) fn of(&self, token: &Verified<AccessToken>) -> Option<&IssuerClient> {
        let url = token.confirmed_by().as_str();
        self.by_name.values().map(|issuer| &**issuer).find(|issuer| issuer.url == url)
    }

    /// Whether an issuer of this identifier is configured, for any use.
    pub(crate) fn is_configured(&self, iss: &str) -> bool {
        self.by_name.values().any(|issuer| issuer.names(iss))
    }

    /// Whether an issuer is asked about tokens that are not JWTs.
    pub(crate) fn introspects(&self) -> bool {
        self.by_name.values().any(|issuer| issuer.introspection.is_some())
    }

    /// Whether these are the same issuers, all unchanged.
    pub(crate) fn same(&self, other: &BTreeMap<String, Arc<IssuerClient>>) -> bool {
        self.by_name.len() == other.len()
            && self.by_name.values().zip(other.values()).all(|(own, other)| Arc::ptr_eq(own, other))
    }
}

/// The refresh of a session with the issuer it came from, as configured at that time.
pub fn renew(current: Arc<ArcSwap<Issuers>>) -> Arc<Renew> {
    Arc::new(move |record: Arc<Record>| -> BoxFuture<'static, Result<Record, RenewError>> {
        let issuer = current.load().named(&record.known.issuer).cloned();
        let issuer = issuer.filter(|issuer| record.is_of(&issuer.url));
        async move {
            match issuer {
                Some(issuer) => issuer.renew(&record).await,
                // The session opens nothing until the issuer is configured again.
                None => Err(RenewError::unavailable(format!(
                    "issuer {} is not configured",
                    record.known.issuer
                ))),
            }
        }
        .boxed()
    })
}
