//! Places for connections: a bound on all of them, and one for each address.
//!
//! At the bound on all, none is accepted, and new ones wait in the kernel's queue. A connection beyond the bound of its address is
//! closed at once, so that one client cannot take the places of all others. Both are counted, and logged once in ten seconds.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http_canonical::{Peer, Trust, customer_network};
use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Limits, rarely::Rarely};
use crate::metric;

/// The places of one listener, shared by its sockets.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    limits: Limits,
    trust: Trust,
    taken: Mutex<HashMap<IpNet, usize>>,
    full: Mutex<Rarely>,
    crowded: Mutex<Rarely>,
}

/// The place of one connection under the bound of its address, until dropped.
#[derive(Debug)]
pub(super) struct Seat {
    places: Arc<Places>,
    network: Option<IpNet>,
}

impl Places {
    /// Places for so many connections. Peers that `trust` names may have any number of them.
    pub(super) fn new(limits: Limits, trust: Trust) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.connections)),
            limits,
            trust,
            taken: Mutex::default(),
            full: Mutex::default(),
            crowded: Mutex::default(),
        }
    }

    /// Waits for a place; `None` never comes while the listener runs.
    pub(super) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        if let Some(place) = self.free_now() {
            return Some(place);
        }
        metric::limit_reached("connections");
        if let Some(unreported) = lock(&self.full).due() {
            let limit = self.limits.connections;
            tracing::warn!(limit, unreported, "the limit on connections is reached; new ones wait");
        }
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// A place, if one is free.
    pub(super) fn free_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).try_acquire_owned().ok()
    }

    /// A place for a connection from this peer; `None` when its address has too many.
    pub(super) fn seat(self: &Arc<Self>, peer: Peer) -> Option<Seat> {
        let network = peer.ip().filter(|_| !self.trust.trusts(peer)).map(customer_network);
        if let Some(network) = network {
            let limit = self.limits.per_address;
            let mut taken = lock(&self.taken);
            let count = taken.entry(network).or_default();
            if *count >= limit {
                drop(taken);
                self.refuse(peer.ip());
                return None;
            }
            *count += 1;
        }
        Some(Seat { places: Arc::clone(self), network })
    }

    fn refuse(&self, address: Option<IpAddr>) {
        metric::limit_reached("per_address");
        if let Some(unreported) = lock(&self.crowded).due() {
            tracing::warn!(
                address = address.map(tracing::field::display),
                limit = self.limits.per_address,
                unreported,
                "connection closed: its address has too many; name a proxy in `trusted_proxies`, or raise `limits.per_address`"
            );
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Seat ===

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(network) = self.network else { return };
        if let Entry::Occupied(mut taken) = lock(&self.places.taken).entry(network) {
            match *taken.get() {
                0 | 1 => drop(taken.remove()),
                count => *taken.get_mut() = count - 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(per_address: usize, trusted: &str) -> Arc<Places> {
        let trust = Trust::new(vec![trusted.parse().unwrap()]);
        Arc::new(Places::new(Limits { per_address, ..Limits::default() }, trust))
    }

    fn peer(address: &str) -> Peer {
        Peer::Tcp((address.parse::<IpAddr>().unwrap(), 4000).into())
    }

    #[test]
    fn an_address_has_its_own_bound() {
        let places = places(2, "10.0.0.0/8");
        let first = places.seat(peer("192.0.2.1")).unwrap();
        let _second = places.seat(peer("192.0.2.1")).unwrap();
        assert!(places.seat(peer("192.0.2.1")).is_none());
        assert!(places.seat(peer("::ffff:192.0.2.1")).is_none(), "the same address");
        assert!(places.seat(peer("192.0.2.2")).is_some());
        drop(first);
        assert!(places.seat(peer("192.0.2.1")).is_some());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let places = places(1, "10.0.0.0/8");
        let _one = places.seat(peer("2001:db8::1")).unwrap();
        assert!(places.seat(peer("2001:db8::ffff:1")).is_none());
        assert!(places.seat(peer("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn trusted_proxies_have_no_bound_of_an_address() {
        let places = places(1, "10.0.0.0/8");
        let seats: Vec<_> = (0..5).filter_map(|_| places.seat(peer("10.1.2.3"))).collect();
        assert_eq!(seats.len(), 5);
        assert!(places.seat(Peer::Unix).is_some());
    }

    #[test]
    fn addresses_without_a_connection_are_forgotten() {
        let places = places(2, "10.0.0.0/8");
        for last in 1..100 {
            let seat = places.seat(peer(&format!("192.0.2.{last}"))).unwrap();
            drop(seat);
        }
        assert!(lock(&places.taken).is_empty());
    }
}
