//! The configured issuers: each with its keys, its rules for tokens, and the gateway's registration as its client.

mod record;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::{FutureExt, future::BoxFuture};
use m2m::ExchangedTokens;
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
    /// The identifiers of its tenants, if `url` is their template.
    pub(crate) tenants: Vec<String>,
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
    /// Tokens that its callers' tokens were exchanged for; `None` if the gateway has no credentials there.
    pub(crate) exchanged: Option<ExchangedTokens>,
    /// The bearer tokens it accepts; `None` if no audience is configured, and then no token is accepted.
    pub(crate) bearer: Option<Accepts>,
    /// The bearer tokens it accepts on routes with an audience of their own, by that.
    pub(crate) by_audience: BTreeMap<Vec<String>, Accepts>,
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

/// Bearer tokens of one issuer for one list of audiences.
#[derive(Debug, Clone)]
pub(crate) struct Accepts {
    /// The rules.
    pub(crate) rules: Validation,
    /// Asks about tokens that are not JWTs; `None`: they are refused.
    pub(crate) introspection: Option<Introspection>,
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

    /// Whether its people have this issuer identifier: its own, or that of a tenant.
    pub(crate) fn is_issuer(&self, iss: &str) -> bool {
        match &*self.tenants {
            [] => self.url == iss,
            tenants => tenants.iter().any(|tenant| tenant == iss),
        }
    }

    /// Whether a session began there.
    pub(crate) fn began(&self, record: &Record) -> bool {
        match &*self.tenants {
            [] => record.is_of(&self.url),
            tenants => tenants.iter().any(|tenant| record.is_of(tenant)),
        }
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
        self.url == iss || self.own.validation().names_issuer(iss)
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
    /// For routes with an audience of their own.
    by_audience: BTreeMap<Vec<String>, Verifier>,
}

impl Issuers {
    /// These issuers. Verified tokens stay remembered of those that are also among the `earlier` ones.
    pub fn new(
        by_name: BTreeMap<String, Arc<IssuerClient>>,
        clock: &Arc<dyn Clock>,
        earlier: Option<&Self>,
    ) -> Self {
        let kept = |issuer: &Issuer| {
            let of = |issuers: &BTreeMap<String, Arc<IssuerClient>>| {
                issuers.values().find(|one| one.url == issuer.as_str()).cloned()
            };
            let (own, other) = (of(&by_name), earlier.and_then(|earlier| of(&earlier.by_name)));
            own.zip(other).is_some_and(|(own, other)| own.is_kept_from(&other))
        };
        // The rules of one audience are never given the memory of another.
        let remembering = |verifier: Verifier, audience: &[String]| match earlier
            .and_then(|earlier| earlier.verifier(audience))
        {
            Some(remembered) => verifier.with_memory_of(remembered, kept),
            None => verifier,
        };
        let bearer = bearer::verifier(&by_name, |issuer| issuer.bearer.as_ref(), clock)
            .map(|verifier| remembering(verifier, &[]));
        let audiences: BTreeSet<&Vec<String>> =
            by_name.values().flat_map(|issuer| issuer.by_audience.keys()).collect();
        let by_audience = audiences.into_iter().filter_map(|audience| {
            let verifier =
                bearer::verifier(&by_name, |issuer| issuer.by_audience.get(audience), clock)?;
            Some((audience.clone(), remembering(verifier, audience)))
        });
        let by_audience = by_audience.collect();
        Self { by_name, bearer, by_audience }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<IssuerClient>> {
        self.by_name.values()
    }

    /// The one of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<IssuerClient>> {
        self.by_name.get(name)
    }

    /// Verifies bearer tokens with one of these `aud`, of all issuers that accept them; with none, by each issuer's own.
    pub fn verifier(&self, audience: &[String]) -> Option<&Verifier> {
        match audience {
            [] => self.bearer.as_ref(),
            audience => self.by_audience.get(audience),
        }
    }

    /// The issuer of a token that a verifier of [`Issuers::verifier`] accepted.
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
        let introspects = |accepts: &Accepts| accepts.introspection.is_some();
        let mut all = self.by_name.values();
        all.any(|issuer| issuer.bearer.iter().chain(issuer.by_audience.values()).any(introspects))
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
        let issuer = issuer.filter(|issuer| issuer.began(&record));
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
        let issuer = issuers.named(&record.known.issuer).filter(|issuer| issuer.began(record));
        issuer.is_some_and(|issuer| issuer.without_refresh == WithoutRefresh::KeepIdentity)
    })
}
