//! The limit on open files: raised at the start, and shared between clients, upstreams and everything else.
//!
//! Each client may need a connection to an upstream, and over HTTP/2 many. If clients or upstreams could use every file
//! descriptor, accepted requests would get 502 for lack of one, and the admin listener, the stores and the providers would fail.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{listen::Limits, upstream::bound_connections};

/// File descriptors for everything but connections of clients and to upstreams: the admin listener with its 64 connections, the
/// other listeners, stores, logs, providers.
const OTHERS: u64 = 128;
/// File descriptors of a worker's runtime, and some to spare.
const FOR_A_WORKER: u64 = 8;

/// Raises the soft limit to the hard one, bounds the clients' connections so that a third of the descriptors is left for
/// upstreams, and bounds the connections to upstreams by what is left. `beside` is the number of connections of other listeners.
pub(super) fn share(limits: Limits, workers: usize, beside: usize) -> Limits {
    let workers = u64::try_from(workers).unwrap_or(u64::MAX).saturating_mul(FOR_A_WORKER);
    let beside = u64::try_from(beside).unwrap_or(u64::MAX);
    let available = raised().saturating_sub(workers).saturating_sub(beside);
    let most = for_clients(available);
    let connections = limits.connections.min(most);
    bound_connections(for_upstreams(available, connections));
    if most < limits.connections {
        tracing::warn!(
            descriptors = available,
            connections = most,
            wanted = limits.connections,
            "the limit on open files is low, so fewer client connections are accepted; raise it with `ulimit -Hn` or `LimitNOFILE=`"
        );
    }
    Limits { connections, ..limits }
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

/// Number of connections to upstreams beside so many clients.
fn for_upstreams(descriptors: u64, clients: usize) -> usize {
    let clients = u64::try_from(clients).unwrap_or(u64::MAX);
    let connections = descriptors.saturating_sub(OTHERS).saturating_sub(clients);
    usize::try_from(connections).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_descriptors_is_left_for_upstreams() {
        for (descriptors, clients, upstreams) in
            [(0, 1, 1), (128, 1, 1), (256, 84, 44), (1024, 596, 300), (65_536, 43_604, 21_804)]
        {
            assert_eq!(for_clients(descriptors), clients, "{descriptors}");
            assert_eq!(for_upstreams(descriptors, clients), upstreams, "{descriptors}");
        }
        assert!(for_clients(u64::MAX) > Limits::default().connections);
        assert_eq!(for_upstreams(65_536, 10_000), 55_408);
    }
}
