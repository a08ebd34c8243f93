//! The configured issuers: each with its keys, its rules for tokens, and the gateway's registration as its client.

mod record;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::{FutureExt, future::BoxFuture};
use oidc_core::keys::{KeySource, RemoteKeys};
use oidc_core::login::LoginRequest;
use oidc_core::provider::Provider;
use oidc_core::verify::Introspection;
use oidc_core::{AccessToken, Client, Clock, Issuer, Validation, Verified, Verifier};
use web_sessions::{KeepsIdentity, Record, Renew, RenewError};

use crate::{
    config::{PushedAuthorization, UserInfo, WithoutRefresh},
    identify::{
        bearer,
        claims::{ClaimReader, Wanted},
    },
};

/// One issuer, and the gateway as its client.
#[derive(Debug, Clone)]
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
    /// More parameters of the authorization request.
    pub(crate) authorization: Vec<(String, String)>,
    /// Whether logins are pushed (RFC 9126).
    pub(crate) pushed_authorization: PushedAuthorization,
    /// Use of the UserInfo endpoint.
    pub(crate) user_info: UserInfo,
    /// Claims that rules read.
    pub(crate) wanted: Wanted,
    /// End of a session without a refresh token.
    pub(crate) without_refresh: WithoutRefresh,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
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

    /// Whether this is the same issuer with the same rules and keys, kept from an earlier configuration.
    fn is_kept_from(&self, earlier: &Self) -> bool {
        // An issuer that is made again has a key source of its own.
        self.name == earlier.name && Arc::ptr_eq(&self.keys, &earlier.keys)
    }

    /// Whether a token with this `iss` is of this issuer or of one of its tenants.
    fn names(&self, iss: &str) -> bool {
        self.url == iss || self.bearer.as_ref().is_some_and(|rules| rules.names_issuer(iss))
    }

    /// Its claim reader.
    pub fn claims(&self) -> &ClaimReader {
        &self.claims
    }

    /// A login request with the configured parameters.
    pub(crate) fn with_own_parameters(&self, request: LoginRequest) -> LoginRequest {
        self.authorization.iter().fold(request, |request, (name, value)| {
            // The age is part of the answer's checks, and not only a parameter.
            match value.parse() {
                Ok(seconds) if name == "max_age" => {
                    request.with_max_age(Duration::from_secs(seconds))
                }
                _ => request.with_parameter(name, value),
            }
        })
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
}

/// All configured issuers.
#[derive(Debug, Default)]
pub struct Issuers {
    by_name: BTreeMap<String, Arc<IssuerClient>>,
    bearer: Option<Verifier>,
}

impl Issuers {
    /// These issuers. Verified tokens stay remembered of those that are also among the `earlier` ones.
    pub fn new(
        by_name: BTreeMap<String, Arc<IssuerClient>>,
        clock: &Arc<dyn Clock>,
        earlier: Option<&Self>,
    ) -> Self {
        let bearer = bearer::verifier(&by_name, clock);
        let remembered = earlier.and_then(|earlier| Some((earlier, earlier.bearer.as_ref()?)));
        let bearer = match (bearer, remembered) {
            (Some(bearer), Some((earlier, remembered))) => {
                let kept = |issuer: &Issuer| {
                    let of = |issuers: &BTreeMap<String, Arc<IssuerClient>>| {
                        issuers.values().find(|one| one.url == issuer.as_str()).cloned()
                    };
                    let (own, other) = (of(&by_name), of(&earlier.by_name));
                    own.zip(other).is_some_and(|(own, other)| own.is_kept_from(&other))
                };
                Some(bearer.with_memory_of(remembered, kept))
            }
            (bearer, _) => bearer,
        };
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

/// Whether a session without a refresh token keeps its identity after its access token has expired, by the configuration of
/// its issuer at that time.
pub fn keeps_identity(current: Arc<ArcSwap<Issuers>>) -> Arc<KeepsIdentity> {
    Arc::new(move |record: &Record| {
        let issuers = current.load();
        let issuer = issuers.named(&record.known.issuer).filter(|issuer| record.is_of(&issuer.url));
        issuer.is_some_and(|issuer| issuer.without_refresh == WithoutRefresh::KeepIdentity)
    })
}
