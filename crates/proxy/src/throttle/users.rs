//! Bounds on what one user may ask of a route: requests in a second, requests and streams at the same time, tokens of a model in
//! a day.
//!
//! A user is a subject of an issuer: the browsers and the jobs of a person count together, and a program is a user of its own.
//! Callers without an identity are bounded by their address only. A route without such bounds is not looked at.
//!
//! The counts belong to this process and outlive a reload; with several replicas the bounds multiply by their number.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use access_policy::{Caller, Known};
use oidc_core::Clock;
use web_sessions::{Digest, SessionStore, StoreError, sha256};

use super::{
    bucket::{Bucket, Rate},
    rate_limit::TOKENS_PER_DAY,
    tokens::{Budget, Tokens},
};
use crate::{config::PerUserLimits, metric, refusal::Refusal};

/// Parts of the accounts, each with a lock of its own.
const PARTS: usize = 256;
/// Number of accounts in a part before it is swept.
const SWEPT: usize = 128;
/// Time to wait until another request or stream of the user has ended; when that is, the gateway cannot know.
const BUSY: Duration = Duration::from_secs(1);

/// Counts the requests and streams of each user on each route.
#[derive(Debug)]
pub(crate) struct Users {
    clock: Arc<dyn Clock>,
    parts: [Mutex<Part>; PARTS],
}

#[derive(Debug, Default)]
struct Part {
    accounts: HashMap<Digest, Arc<Account>>,
    /// Number of accounts at which those that count nothing are removed.
    sweep_at: usize,
}

/// One user on one route.
#[derive(Debug, Default)]
struct Account {
    asked: Bucket,
    requests: AtomicU32,
    streams: AtomicU32,
    tokens: Tokens,
}

/// An exchange that counts for its user, for as long as this is held.
#[derive(Debug)]
pub(crate) struct Counted {
    account: Arc<Account>,
    stream: AtomicBool,
    clock: Arc<dyn Clock>,
}

impl Users {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, parts: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Counts a request that passes through, and its exchange. `None` for a caller without an identity, and without bounds.
    ///
    /// # Errors
    ///
    /// [`Refusal::UserLimitReached`]; the request then counts as none.
    pub(crate) fn admit(
        &self,
        route: &str,
        limits: Option<PerUserLimits>,
        caller: &Caller,
        is_stream: impl FnOnce() -> bool,
    ) -> Result<Option<Counted>, Refusal> {
        let (Some(limits), Caller::Known(known)) = (limits, caller) else { return Ok(None) };
        let account = self.count(route, limits, known)?;
        let stream = is_stream();
        account.enter(route, limits, stream).inspect_err(|_| {
            if let Some(rate) = rate(limits) {
                account.asked.give_back(rate);
            }
        })?;
        let clock = Arc::clone(&self.clock);
        Ok(Some(Counted { account, stream: AtomicBool::new(stream), clock }))
    }

    /// Counts a request that a proxy holds; its exchange is not counted, because its end is not seen here.
    ///
    /// # Errors
    ///
    /// [`Refusal::UserLimitReached`]
    pub(crate) fn asked(
        &self,
        route: &str,
        limits: Option<PerUserLimits>,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        let (Some(limits), Caller::Known(known)) = (limits, caller) else { return Ok(()) };
        self.count(route, limits, known).map(drop)
    }

    /// Exchanges tokens of today with the other processes that use the store, for users whose requests were admitted since the
    /// last time. The store is never asked while a request waits.
    ///
    /// # Errors
    ///
    /// The store is away; what it does not know yet is kept for the next time.
    pub(super) async fn share_tokens(&self, store: &dyn SessionStore) -> Result<(), StoreError> {
        for part in &self.parts {
            let waiting = part.lock().unwrap_or_else(PoisonError::into_inner).unshared();
            let mut waiting = waiting.into_iter();
            while let Some((name, account)) = waiting.next() {
                let unstored = account.tokens.unstored(self.clock.now());
                let counter = sha256([&name[..], &unstored.day.to_be_bytes()].concat().as_slice());
                let until = unstored.ends();
                match store.add(&counter, unstored.tokens, until).await {
                    Ok(Some(all)) => account.tokens.stored(unstored, all, self.clock.now()),
                    // This store keeps no counters.
                    Ok(None) => return Ok(()),
                    Err(error) => {
                        account.tokens.share_again();
                        waiting.for_each(|(_, account)| account.tokens.share_again());
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn count(
        &self,
        route: &str,
        limits: PerUserLimits,
        known: &Known,
    ) -> Result<Arc<Account>, Refusal> {
        let now = self.clock.now();
        let account = self.account(route, known, now);
        if let Some(rate) = rate(limits) {
            account.asked.take(rate, now).map_err(|wait| {
                reached(
                    route,
                    "requests_per_second",
                    limits.requests_per_second.map(u64::from),
                    wait,
                )
            })?;
        }
        if let Some(most) = limits.tokens_per_day {
            let budget = account.tokens.budget(most, now);
            if budget.left == 0 {
                return Err(reached(route, TOKENS_PER_DAY, Some(most), budget.renewed));
            }
        }
        Ok(account)
    }

    fn account(&self, route: &str, known: &Known, now: SystemTime) -> Arc<Account> {
        // Names of routes and issuers hold no NUL, so no two users have the same text.
        let name = sha256(format!("{route}\0{}\0{}", known.issuer, known.subject).as_bytes());
        let [first, ..] = name;
        #[expect(clippy::indexing_slicing, reason = "each byte has a part")]
        let mut part =
            self.parts[usize::from(first)].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = part.accounts.get(&name) {
            return Arc::clone(account);
        }
        if part.accounts.len() >= part.sweep_at {
            // One that is held counts something.
            part.accounts.retain(|_, one| Arc::strong_count(one) > 1 || !one.counts_nothing(now));
            part.sweep_at = SWEPT.max(part.accounts.len() * 2);
        }
        Arc::clone(part.accounts.entry(name).or_default())
    }
}

impl Part {
    /// Accounts that the store has to be asked about, which are then not among them until they are used again.
    fn unshared(&self) -> Vec<(Digest, Arc<Account>)> {
        let due = |(name, account): (&Digest, &Arc<Account>)| {
            account.tokens.take_unshared().then(|| (*name, Arc::clone(account)))
        };
        self.accounts.iter().filter_map(due).collect()
    }
}

impl Account {
    /// Whether it is as a new one, unless it is held.
    fn counts_nothing(&self, now: SystemTime) -> bool {
        self.asked.is_full(now) && self.tokens.is_empty(now)
    }

    /// The open exchanges of a kind.
    fn open(&self, stream: bool) -> &AtomicU32 {
        if stream { &self.streams } else { &self.requests }
    }

    /// Counts one more of a kind.
    fn enter(&self, route: &str, limits: PerUserLimits, stream: bool) -> Result<(), Refusal> {
        let (most, name) = match stream {
            true => (limits.concurrent_streams, "concurrent_streams"),
            false => (limits.concurrent_requests, "concurrent_requests"),
        };
        let one_more = |count: u32| most.is_none_or(|most| count < most).then_some(count + 1);
        match self.open(stream).fetch_update(Relaxed, Relaxed, one_more) {
            Ok(_) => Ok(()),
            Err(_) => Err(reached(route, name, most.map(u64::from), BUSY)),
        }
    }
}

impl Counted {
    /// Moves to the streams of the route: the answer has no end of its own.
    ///
    /// # Errors
    ///
    /// [`Refusal::UserLimitReached`]
    pub(crate) fn become_stream(&self, route: &str, limits: PerUserLimits) -> Result<(), Refusal> {
        if self.stream.load(Relaxed) {
            return Ok(());
        }
        self.account.enter(route, limits, true)?;
        self.stream.store(true, Relaxed);
        self.account.requests.fetch_sub(1, Relaxed);
        Ok(())
    }

    /// Counts tokens of the exchange.
    pub(crate) fn used_tokens(&self, tokens: u64) {
        self.account.tokens.used(tokens, self.clock.now());
    }

    /// State of the user's budget of tokens.
    pub(crate) fn budget(&self, limits: PerUserLimits) -> Option<Budget> {
        limits.tokens_per_day.map(|most| self.account.tokens.budget(most, self.clock.now()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.account.open(self.stream.load(Relaxed)).fetch_sub(1, Relaxed);
    }
}

/// A second's requests may come at once.
fn rate(limits: PerUserLimits) -> Option<Rate> {
    limits.requests_per_second.map(|each| Rate::new(each, each))
}

fn reached(route: &str, limit: &'static str, most: Option<u64>, retry_after: Duration) -> Refusal {
    metric::user_limit_reached(limit);
    Refusal::UserLimitReached {
        route: route.to_owned(),
        limit,
        most: most.unwrap_or_default(),
        retry_after,
    }
}

#[cfg(test)]
mod tests;
