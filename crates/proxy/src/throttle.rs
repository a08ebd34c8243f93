//! Limits the load that unknown callers can cause at an issuer, and that one user can cause at an upstream.
//!
//! Two kinds of request reach an issuer before the caller is known: a login (`start` and `callback`), and a token that only the
//! issuer can read (RFC 7662). Each kind has a token bucket for each client address, and a limit on concurrent calls to one
//! issuer. API keys that are not in memory have the same limits at the store. A request beyond either is refused ([`Refusal::TooMany`]) before the issuer is asked. A successful request costs
//! nothing, and a token that was valid before passes without being counted. Sessions and JWTs are never counted.
//!
//! The buckets belong to this process: with several replicas the limits multiply by their number. Budgets of tokens are shared by
//! the store.

mod bucket;
mod finished;
mod rate_limit;
mod tokens;
mod users;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_canonical::customer_network;
use ipnet::IpNet;
use moka::{policy::EvictionPolicy, sync::Cache};
use oidc_core::Clock;
use oidc_core::verify::{Introspection, PresentationRefusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use self::bucket::{Bucket, Rate};
pub(crate) use self::{
    finished::Finished,
    rate_limit::{reached_fields, tokens_left_fields},
    users::{Counted, Users},
};
use crate::{metric, refusal::Refusal};
use web_sessions::{Digest, SessionStore, sha256};

/// Requests of one address.
const PER_ADDRESS: Rate = Rate::new(100, 10);
/// Number of concurrent calls of one kind at one issuer.
const CALLS: usize = 32;
/// The longest time that a request waits for such a call.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time to wait before trying again after that.
const BUSY: Duration = Duration::from_secs(2);
/// The store, which is asked about keys as an issuer is about tokens.
const STORE: &str = "";
/// Number of addresses that are remembered. The least recently used one is forgotten, which is never the one that is asking.
const ADDRESSES: u64 = 100_000;
/// An address without requests for this long has a full bucket and can be forgotten.
const QUIET: Duration = Duration::from_secs(60);
/// Interval at which tokens of users are shared.
const SHARED_EACH: Duration = Duration::from_secs(2);
/// Number of valid tokens that are remembered, and of refused ones.
const TOKENS: u64 = 50_000;
/// Time for which a token that was valid once passes without being counted.
const GOOD: Duration = Duration::from_secs(60 * 60);
/// Time for which `oidc-core` answers for a refused token from its cache; asking again in that time costs the issuer nothing.
const REFUSED: Duration = Duration::from_secs(10);

/// The limits of this process; they outlive a reload.
#[derive(Debug)]
pub struct Throttle {
    clock: Arc<dyn Clock>,
    logins: Lane,
    tokens: Lane,
    keys: Lane,
    good: Cache<Digest, ()>,
    refused: Cache<Digest, ()>,
    finished: Finished,
    users: Users,
}

/// Permission for one call to an issuer, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Admitted {
    _call: OwnedSemaphorePermit,
    bucket: Option<Arc<Bucket>>,
}

impl Throttle {
    /// Full buckets, by this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            users: Users::new(Arc::clone(&clock)),
            clock,
            logins: Lane::new("sign-ins"),
            tokens: Lane::new("unknown tokens"),
            keys: Lane::new("wrong API keys"),
            good: tokens().time_to_idle(GOOD).build(),
            refused: tokens().time_to_live(REFUSED).build(),
            finished: Finished::evicting(EvictionPolicy::lru()),
        }
    }

    /// Admits one step of a login at an issuer.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooMany`]
    pub(crate) async fn login(
        &self,
        issuer: &str,
        client: Option<IpAddr>,
    ) -> Result<Admitted, Refusal> {
        let admitted = self.logins.admit(issuer, client, &*self.clock).await;
        admitted.inspect_err(|_| metric::login(issuer, "too_many_requests"))
    }

    /// Finds an API key that is not in memory, or does not count. Only a wrong one costs its address something.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooMany`], and the refusal of the key.
    pub(crate) async fn key<T>(
        &self,
        client: Option<IpAddr>,
        find: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let admitted = self.keys.admit(STORE, client, &*self.clock).await?;
        let outcome = find.await;
        if !matches!(outcome, Err(Refusal::InvalidKey(_))) {
            admitted.give_back();
        }
        outcome
    }

    /// The logins that were finished here.
    pub(crate) fn finished(&self) -> &Finished {
        &self.finished
    }

    /// Shares the tokens of users with the other processes that use the store, until `stop`, and once more then.
    pub(crate) async fn share_tokens(
        self: Arc<Self>,
        store: Arc<dyn SessionStore>,
        stop: CancellationToken,
    ) {
        let mut away = false;
        loop {
            let stopped = tokio::time::timeout(SHARED_EACH, stop.cancelled()).await.is_ok();
            let shared = self.users.share_tokens(&*store).await;
            match &shared {
                Ok(()) if away => tracing::info!("budgets of tokens are shared again"),
                Err(error) if !away => tracing::warn!(
                    %error,
                    "budgets of tokens count this process only until the store answers"
                ),
                _ => {}
            }
            away = shared.is_err();
            if stopped {
                return;
            }
        }
    }

    /// The bounds of each user on a route.
    pub(crate) fn users(&self) -> &Users {
        &self.users
    }

    /// Verifies a token that is not remembered. A token that an issuer must introspect is counted until it is found valid.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooMany`], and the refusal of the token.
    pub(crate) async fn token<T>(
        &self,
        token: &str,
        asked: Option<&Introspection>,
        client: Option<IpAddr>,
        verify: impl Future<Output = Result<T, PresentationRefusal>>,
    ) -> Result<T, Refusal> {
        let Some(rules) = asked.map(Introspection::validation) else {
            return Ok(verify.await?);
        };
        let issuer = rules.issuer();
        // A token is asked about once for each list of audiences. A token holds no NUL.
        let asked_for = std::iter::once(token).chain(rules.audiences().iter().map(String::as_str));
        let token = sha256(asked_for.collect::<Vec<_>>().join("\0").as_bytes());
        if self.good.contains_key(&token) || self.refused.contains_key(&token) {
            return Ok(verify.await?);
        }
        let admitted = self.tokens.admit(issuer.as_str(), client, &*self.clock).await;
        let admitted =
            admitted.inspect_err(|_| metric::token_verified("unknown", "too_many_requests"))?;
        let outcome = verify.await;
        match &outcome {
            Ok(_) => {
                self.good.insert(token, ());
                admitted.give_back();
            }
            Err(refusal) if refusal.is_unavailable() => {}
            Err(_) => self.refused.insert(token, ()),
        }
        Ok(outcome?)
    }
}

impl Admitted {
    /// The call succeeded and costs the caller nothing.
    pub(crate) fn give_back(self) {
        if let Some(bucket) = &self.bucket {
            bucket.give_back(PER_ADDRESS);
        }
    }
}

/// One kind of request.
#[derive(Debug)]
struct Lane {
    /// Its name in the log.
    what: &'static str,
    buckets: Cache<IpNet, Arc<Bucket>>,
    /// For log lines about callers without an address.
    elsewhere: Bucket,
    /// By issuer; the configuration names few.
    calls: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Lane {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            // Least recently used, not least frequently: the cache must never reject a new address, or each of its requests
            // would find a full bucket.
            buckets: Cache::builder()
                .max_capacity(ADDRESSES)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(QUIET)
                .build(),
            elsewhere: Bucket::default(),
            calls: Mutex::default(),
        }
    }

    /// Waits for a call at the issuer and takes from the bucket of the client's address; callers without an address are only
    /// limited by the number of calls. Checks the bucket first, so that a flood from one address does not wait in line. Takes
    /// from it last, so that a waiting request has paid nothing.
    async fn admit(
        &self,
        issuer: &str,
        client: Option<IpAddr>,
        clock: &dyn Clock,
    ) -> Result<Admitted, Refusal> {
        let address = client.map(customer_network);
        let bucket = address.map(|address| self.buckets.get_with(address, Arc::default));
        let refuse = |retry_after: Duration, bound: &'static str| {
            let noted = bucket.as_deref().unwrap_or(&self.elsewhere);
            if noted.logs(clock.now()) {
                let address = address.map(tracing::field::display);
                tracing::warn!(
                    address,
                    what = self.what,
                    bound,
                    "refusing requests beyond the limit"
                );
            }
            Refusal::TooMany { what: self.what, retry_after }
        };
        let per_address = |retry_after| refuse(retry_after, "per address");
        if let Some(bucket) = &bucket {
            bucket.check(PER_ADDRESS, clock.now()).map_err(per_address)?;
        }
        let turn = self.calls(issuer).acquire_owned();
        let Ok(Ok(call)) = tokio::time::timeout(PATIENCE, turn).await else {
            return Err(refuse(BUSY, "calls to the issuer at once"));
        };
        if let Some(bucket) = &bucket {
            bucket.take(PER_ADDRESS, clock.now()).map_err(per_address)?;
        }
        Ok(Admitted { _call: call, bucket })
    }

    fn calls(&self, issuer: &str) -> Arc<Semaphore> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match calls.get(issuer) {
            Some(calls) => Arc::clone(calls),
            None => {
                let fresh = Arc::new(Semaphore::new(CALLS));
                calls.insert(issuer.to_owned(), Arc::clone(&fresh));
                fresh
            }
        }
    }
}

fn tokens() -> moka::sync::CacheBuilder<Digest, (), Cache<Digest, ()>> {
    Cache::builder().max_capacity(TOKENS).eviction_policy(EvictionPolicy::lru())
}

#[cfg(test)]
mod tests;
