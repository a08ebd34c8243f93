//! State that several requests share: one lock, held for a few lines, never across `.await`.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A value behind a lock. A panic elsewhere does not make it unusable: a request that died half-way
/// leaves nothing worse than a login that has to begin again.
#[derive(Debug, Default)]
pub(crate) struct Shared<T>(Mutex<T>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
