//! The limit on open files: raised at the start, and shared between clients and upstreams.
//!
//! Each client may need a connection to an upstream. If clients could use every file descriptor, those of accepted requests would
//! get 502 for lack of one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::listen::Limits;

/// File descriptors for everything but connections: listeners, stores, logs, providers.
const OTHERS: u64 = 64;

/// Raises the soft limit to the hard one, and bounds the clients' connections so that a third of the descriptors is left for
/// upstreams.
pub(super) fn share(limits: Limits) -> Limits {
    let available = raised();
    let most = for_clients(available);
    if most >= limits.connections {
        return limits;
    }
    tracing::warn!(
        descriptors = available,
        connections = most,
        wanted = limits.connections,
        "the limit on open files is low, so fewer client connections are accepted; raise it with `ulimit -Hn` or `LimitNOFILE=`"
    );
    Limits { connections: most, ..limits }
}

/// The soft limit after it was raised; the largest number where there is none.
fn raised() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(before) = current else { return u64::MAX };
    if maximum == Some(before) {
        return before;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => {
            tracing::info!(before, now = maximum, "the limit on open files is raised");
            maximum.unwrap_or(u64::MAX)
        }
        Err(error) => {
            tracing::warn!(%error, limit = before, "the limit on open files cannot be raised");
            before
        }
    }
}

/// Number of client connections that leave enough descriptors for upstreams.
fn for_clients(descriptors: u64) -> usize {
    let connections = descriptors.saturating_sub(OTHERS) / 3 * 2;
    usize::try_from(connections).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_descriptors_is_left_for_upstreams() {
        for (descriptors, clients) in [(0, 1), (64, 1), (256, 128), (1024, 640), (65_536, 43_648)] {
            assert_eq!(for_clients(descriptors), clients, "{descriptors}");
        }
        assert!(for_clients(u64::MAX) > Limits::default().connections);
    }
}
