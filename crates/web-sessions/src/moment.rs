//! Times as tables and atomics hold them.

use std::time::{Duration, SystemTime};

/// Nanoseconds since 1970, as tables and atomics hold times; 0 for earlier times.
pub(super) fn nanos(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The reverse of [`nanos`].
pub(super) fn from_nanos(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}
