//! Memory of sign-outs by the provider, for sessions that no store lists.

use std::time::{Duration, SystemTime};

use moka::sync::Cache;
use oidc_core::token::Algorithm;

use crate::{
    memory::remembered,
    record::{Record, Which},
};

/// Number of sign-outs that are remembered.
const MOST: u64 = 200_000;

/// Sessions that began no later than a sign-out that names them are over; with an algorithm, only those whose ID token is signed
/// with it.
pub(crate) struct Logouts(Cache<(Which, Option<Algorithm>), SystemTime>);

impl Logouts {
    /// Remembers each sign-out for this long.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self(remembered(MOST, lifetime))
    }

    pub(crate) fn note(&self, which: &Which, signed_with: Option<Algorithm>, now: SystemTime) {
        self.0.insert((which.clone(), signed_with), now);
    }

    /// Whether a session is over that began at this time.
    pub(crate) fn end(&self, record: &Record, began: SystemTime) -> bool {
        let algorithms = Algorithm::ALL.into_iter().map(Some).chain([None]);
        let algorithms: Vec<_> = algorithms.filter(|one| record.ended_by(*one)).collect();
        Which::of(record).any(|which| {
            algorithms.iter().any(|algorithm| {
                let ended_at = self.0.get(&(which.clone(), *algorithm));
                ended_at.is_some_and(|ended_at| began <= ended_at)
            })
        })
    }
}
