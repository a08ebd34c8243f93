//! Bounds on what one user may ask of a route: requests in a second, requests and streams at the same time.
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
use web_sessions::{Digest, sha256};

use super::bucket::{Bucket, Rate};
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
}

/// An exchange that counts for its user, for as long as this is held.
#[derive(Debug)]
pub(crate) struct Counted {
    account: Arc<Account>,
    stream: AtomicBool,
    limits: PerUserLimits,
    route: String,
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
        stream: bool,
    ) -> Result<Option<Counted>, Refusal> {
        let (Some(limits), Caller::Known(known)) = (limits, caller) else { return Ok(None) };
        let account = self.count(route, limits, known)?;
        let (open, most, name) = account.open(limits, stream);
        if take_one(open, most) {
            let stream = AtomicBool::new(stream);
            return Ok(Some(Counted { account, stream, limits, route: route.to_owned() }));
        }
        if let Some(rate) = rate(limits) {
            account.asked.give_back(rate);
        }
        Err(reached(route, name, most, BUSY))
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
                reached(route, "requests_per_second", limits.requests_per_second, wait)
            })?;
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
            // One that is held counts something; a full bucket is as a new one.
            part.accounts.retain(|_, one| Arc::strong_count(one) > 1 || !one.asked.is_full(now));
            part.sweep_at = SWEPT.max(part.accounts.len() * 2);
        }
        Arc::clone(part.accounts.entry(name).or_default())
    }
}

impl Account {
    /// The open exchanges of a kind, their bound, and its key.
    fn open(&self, limits: PerUserLimits, stream: bool) -> (&AtomicU32, Option<u32>, &'static str) {
        match stream {
            true => (&self.streams, limits.concurrent_streams, "concurrent_streams"),
            false => (&self.requests, limits.concurrent_requests, "concurrent_requests"),
        }
    }
}

impl Counted {
    /// Moves to the streams: the answer has no end of its own.
    ///
    /// # Errors
    ///
    /// [`Refusal::UserLimitReached`]
    pub(crate) fn become_stream(&self) -> Result<(), Refusal> {
        if self.stream.load(Relaxed) {
            return Ok(());
        }
        let (open, most, name) = self.account.open(self.limits, true);
        if !take_one(open, most) {
            return Err(reached(&self.route, name, most, BUSY));
        }
        self.stream.store(true, Relaxed);
        self.account.requests.fetch_sub(1, Relaxed);
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let (open, ..) = self.account.open(self.limits, self.stream.load(Relaxed));
        open.fetch_sub(1, Relaxed);
    }
}

fn take_one(open: &AtomicU32, most: Option<u32>) -> bool {
    let one_more = |count: u32| most.is_none_or(|most| count < most).then_some(count + 1);
    open.fetch_update(Relaxed, Relaxed, one_more).is_ok()
}

/// A second's requests may come at once.
fn rate(limits: PerUserLimits) -> Option<Rate> {
    limits.requests_per_second.map(|each| Rate::new(each, each))
}

fn reached(route: &str, limit: &'static str, most: Option<u32>, retry_after: Duration) -> Refusal {
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
