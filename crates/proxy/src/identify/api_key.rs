//! API keys: finds the identity of a key's owner.
//!
//! A key that is in memory and counts costs a hash and two look-ups. Every other one is counted against the address it came from
//! before the store is asked, so that guessing gets nowhere. The caller learns only that a key does not count; the log learns why.

mod making;

pub(crate) use self::making::{NoKey, Wish};

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::SystemTime};

use api_keys::{ApiKey, KeyRefusal, KeyRules};
use oidc_core::Clock;
use web_sessions::{ApiKeys, Found, LiveKey};

use crate::{
    config::ApiKeysConfig,
    identify::{Credential, Sender, authorization::Carrier, issuers::Issuers},
    metric,
    refusal::Refusal,
    throttle::Throttle,
};

/// Accepts API keys by the rules of a configuration.
#[derive(Debug, Clone)]
pub struct KeyGate {
    keys: Arc<ApiKeys>,
    rules: KeyRules,
    /// The routes that take keys.
    routes: BTreeSet<String>,
}

/// A presented key, and the place that it came to.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) token: &'a str,
    pub(super) carrier: Carrier,
    pub(super) client: Option<IpAddr>,
    /// The route's name; `None` for the gateway's own URLs.
    pub(super) route: Option<&'a str>,
}

impl KeyGate {
    /// Accepts these keys as configured.
    pub fn new(keys: Arc<ApiKeys>, config: &ApiKeysConfig) -> Self {
        let rules = KeyRules { max_age: config.max_age, suspend_after: config.suspend_after };
        Self { keys, rules, routes: config.routes.iter().cloned().collect() }
    }

    /// The bounds on keys.
    pub(crate) fn rules(&self) -> &KeyRules {
        &self.rules
    }

    /// The routes that take keys, by their names.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(String::as_str)
    }

    /// The owner of a presented key.
    ///
    /// # Errors
    ///
    /// [`Refusal::InvalidKey`], [`Refusal::KeyElsewhere`] for a valid key of other routes, [`Refusal::TooMany`] for too many wrong
    /// keys of one address, [`Refusal::StoreUnavailable`].
    pub(super) async fn identify(
        &self,
        attempt: Attempt<'_>,
        issuers: &Issuers,
        throttle: &Throttle,
        clock: &dyn Clock,
    ) -> Result<Sender, Refusal> {
        let outcome = match attempt.route {
            Some(route) => self.owner_of(attempt, route, issuers, throttle, clock).await,
            None => Err(KeyRefusal::NotHere.into()),
        };
        outcome.inspect_err(count)
    }

    async fn owner_of(
        &self,
        attempt: Attempt<'_>,
        route: &str,
        issuers: &Issuers,
        throttle: &Throttle,
        clock: &dyn Clock,
    ) -> Result<Sender, Refusal> {
        let key = ApiKey::parse(attempt.token);
        if let Ok(key) = &key
            && let Some(found) = self.keys.remembered(key.id())
            && found.key.record().check(key).is_ok()
            && let Ok(sender) = self.judge(&found, route, attempt.carrier, issuers, clock.now())
        {
            self.keys.used(&found.key);
            return Ok(sender);
        }
        let find = async {
            let key = key?;
            let unknown = || KeyRefusal::Unknown { id: key.id().clone() };
            let found = self.keys.find(key.id()).await?.ok_or_else(unknown)?;
            found.key.record().check(&key)?;
            let sender = self.judge(&found, route, attempt.carrier, issuers, clock.now())?;
            self.keys.used(&found.key);
            Ok::<_, Refusal>(sender)
        };
        throttle.key(attempt.client, find).await
    }

    /// The owner of a key that has opened a stream, as it is now.
    ///
    /// # Errors
    ///
    /// Those of [`KeyGate::identify`].
    pub(super) async fn again(
        &self,
        key: &LiveKey,
        carrier: Carrier,
        route: Option<&str>,
        issuers: &Issuers,
        now: SystemTime,
    ) -> Result<Sender, Refusal> {
        let route = route.ok_or(KeyRefusal::NotHere)?;
        let id = &key.record().id;
        let unknown = || KeyRefusal::Unknown { id: id.clone() };
        let found = self.keys.find(id).await?.ok_or_else(unknown)?;
        self.judge(&found, route, carrier, issuers, now)
    }

    fn judge(
        &self,
        found: &Found,
        route: &str,
        carrier: Carrier,
        issuers: &Issuers,
        now: SystemTime,
    ) -> Result<Sender, Refusal> {
        let record = found.key.record();
        self.rules.check(record, now)?;
        let mut good_until = record.ends_at(self.rules.max_age);
        let known = match (found.key.client(), &found.owner) {
            (Some(client), _) => client,
            (None, Some(owner)) => {
                let owner = owner.record();
                self.rules.check_owner(record, owner, now)?;
                let end = self.rules.suspended_at(owner);
                good_until = end.map_or(good_until, |end| end.min(good_until));
                &owner.known
            }
            (None, None) => {
                return Err(KeyRefusal::OwnerUnknown { id: record.id.clone() }.into());
            }
        };
        // The same subject of another issuer is another person, also if that issuer has taken the name.
        let issuer = issuers.named(&known.issuer);
        if !issuer.is_some_and(|issuer| issuer.is_issuer(&known.iss)) {
            return Err(KeyRefusal::IssuerGone { id: record.id.clone() }.into());
        }
        if !self.routes.contains(route) || !record.routes.iter().any(|own| own == route) {
            let (id, route) = (record.id.to_string(), route.to_owned());
            return Err(Refusal::KeyElsewhere { id, route });
        }
        let key = Arc::clone(&found.key);
        let credential = Credential::Key { key, good_until, carrier };
        Ok(Sender::known(Arc::clone(known), credential))
    }
}

/// Counts a key that was not accepted.
fn count(refusal: &Refusal) {
    match refusal {
        Refusal::InvalidKey(refusal) => metric::api_key_refused(refusal.code()),
        Refusal::KeyElsewhere { .. } => metric::api_key_refused("other_route"),
        Refusal::TooMany { .. } => metric::api_key_refused("too_many_requests"),
        // The store is away: nothing is known about the key.
        _ => {}
    }
}
