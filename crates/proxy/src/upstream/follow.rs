//! Follows the addresses of a target's name while it has connections, and drains those to addresses that are gone.

use std::sync::{Arc, Weak, atomic::Ordering};

use super::{
    dial::Dialer,
    name::LOOK,
    target::{Connections, Target},
};
use crate::workers::in_background;

impl Target {
    /// Called after a connection was made. One task follows the name.
    pub(super) fn follow_name(&self) {
        if self.dialer.name().is_none() || self.following.swap(true, Ordering::AcqRel) {
            return;
        }
        let following = Arc::clone(&self.following);
        let (dialer, connections) = (Arc::downgrade(&self.dialer), self.connections.clone());
        in_background(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                if !step(&dialer, &connections).await {
                    return;
                }
                if connections.count() > 0 {
                    continue;
                }
                following.store(false, Ordering::Release);
                // A connection made in between found this task still following.
                if connections.count() == 0 || following.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        });
    }
}

/// Looks the name up once. `false` when the target is no longer in use.
pub(super) async fn step(dialer: &Weak<Dialer>, connections: &Connections) -> bool {
    let Some(dialer) = dialer.upgrade() else { return false };
    let Some(name) = dialer.name() else { return false };
    // A resolver that fails changes nothing.
    if name.look().await.is_ok() {
        connections.drain_except(|address| name.has(address));
    }
    true
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use http::Request;
    use http_body_util::BodyExt as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::upstream::{Upload, UpstreamTls};

    /// A server on this address, and the number of requests that it answered.
    async fn server(address: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    let mut head = [0; 1024];
                    while stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                        count.fetch_add(1, Ordering::SeqCst);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        stream.write_all(answer).await.unwrap();
                    }
                });
            }
        });
        (address, served)
    }

    async fn exchange(target: &Target) {
        let mut lease = target.lease(Duration::from_secs(5), false).await.unwrap();
        let request = Request::get("/").header("host", "app.test").body(Upload::Empty).unwrap();
        let answer = lease.send(request).await.map_err(|error| error.into_error()).unwrap();
        answer.into_body().collect().await.unwrap();
        lease.give_back();
        tokio::task::yield_now().await;
    }

    #[tokio::test]
    async fn connections_to_an_address_that_is_gone_are_drained() {
        let (old, at_old) = server("127.0.0.1:0".parse().unwrap()).await;
        // The same port, as the name's port is fixed.
        let (new, at_new) = server(SocketAddr::new("127.0.0.2".parse().unwrap(), old.port())).await;
        let url = format!("http://app.test:{}", old.port()).parse().unwrap();
        let target = Target::new(&url, &UpstreamTls::platform()).unwrap();
        let answer = Arc::new(Mutex::new(old));
        let name = Arc::clone(target.dialer.name().unwrap());
        let now = Arc::clone(&answer);
        name.resolved_by(Box::new(move || {
            let address = *now.lock().unwrap();
            Box::pin(async move { Ok(vec![address]) })
        }));
        for _ in 0..3 {
            exchange(&target).await;
        }
        assert_eq!((at_old.load(Ordering::SeqCst), target.connections.count()), (3, 1));

        // In use while its address goes away: the exchange is finished, and the connection is not used again.
        let in_use = target.lease(Duration::from_secs(5), false).await.unwrap();
        *answer.lock().unwrap() = new;
        let dialer = Arc::downgrade(&target.dialer);
        for _ in 0..2 {
            assert!(step(&dialer, &target.connections).await);
        }
        in_use.give_back();
        for _ in 0..3 {
            exchange(&target).await;
        }
        assert_eq!((at_old.load(Ordering::SeqCst), at_new.load(Ordering::SeqCst)), (3, 3));
        let connections = target.connections.clone();
        drop(target);
        assert!(!step(&dialer, &connections).await, "the task ends with its target");
    }
}
