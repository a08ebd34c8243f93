//! State that several requests share: one lock, held for a few lines, never across `.await`.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A value behind a lock. Poisoning is ignored: after a panic in another request, at worst a login has
/// to begin again.
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
