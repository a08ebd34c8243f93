//! Values that each worker has for itself.

use super::THIS;

/// A value for each worker, and one for all other threads. Threads share a value without harm, so that a worker of other workers,
/// which a test may have, is no error.
pub(crate) struct PerWorker<T> {
    others: T,
    workers: Box<[T]>,
}

impl<T> PerWorker<T> {
    /// Makes the values for so many workers.
    pub(crate) fn new(workers: usize, make: impl Fn() -> T) -> Self {
        Self { others: make(), workers: (0..workers).map(|_| make()).collect() }
    }

    /// The value of this thread.
    pub(crate) fn own(&self) -> &T {
        let number = THIS.with(|this| this.get().map(|this| this.number));
        number.and_then(|number| self.workers.get(number)).unwrap_or(&self.others)
    }

    /// All values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.others).chain(&self.workers)
    }
}
