//! Connects to the first of several addresses that answers ([RFC 8305 §5]).
//!
//! Addresses of the two families take turns. The next attempt begins when the last one failed, or has not answered for a while;
//! the others go on beside it. An address that swallows every packet thus hides no other.
//!
//! [RFC 8305 §5]: https://www.rfc-editor.org/rfc/rfc8305#section-5

use std::{collections::VecDeque, future::pending, io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::sleep;

/// Time after which the next address is tried beside the last one; the RFC's recommended value.
const NEXT: Duration = Duration::from_millis(250);

/// The first connection that is made.
///
/// # Errors
///
/// The last error, when every address has failed.
pub(super) async fn first<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = in_turns(addresses);
    let mut running = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match waiting.pop_front() {
            Some(address) => running.push(connect(address)),
            None if running.is_empty() => return Err(last),
            None => {}
        }
        let more = !waiting.is_empty();
        tokio::select! {
            biased;
            done = running.next() => match done {
                Some(Ok(connection)) => return Ok(connection),
                Some(Err(error)) => last = error,
                None => {}
            },
            () = async { if more { sleep(NEXT).await } else { pending().await } } => {}
        }
    }
}

/// The families in turns, beginning with that of the first address: the resolver sorts by preference.
fn in_turns(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let mut turns = VecDeque::with_capacity(one.len() + other.len());
    while let Some(address) = one.pop_front() {
        turns.push_back(address);
        turns.extend(other.pop_front());
    }
    turns.extend(other);
    turns
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_in_the_resolvers_order() {
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let turns = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(in_turns(given), turns);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_swallows_packets_hides_no_other() {
        let begun = Instant::now();
        let given = addresses(&["[::1]:1", "[::2]:1", "1.1.1.1:1"]);
        let connected = first(given, |address| async move {
            if address.is_ipv6() { pending().await } else { Ok(address) }
        });
        assert_eq!(connected.await.unwrap(), addresses(&["1.1.1.1:1"])[0]);
        assert_eq!(begun.elapsed(), NEXT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_still_wins_when_the_next_fails() {
        let begun = Instant::now();
        let given = addresses(&["[::1]:1", "1.1.1.1:1"]);
        let connected = first(given, |address| async move {
            if address.is_ipv4() {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
            }
            sleep(NEXT * 3).await;
            Ok(address)
        });
        assert!(connected.await.unwrap().is_ipv6());
        assert_eq!(begun.elapsed(), NEXT * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_not_waited_for() {
        let begun = Instant::now();
        let given = addresses(&["[::1]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let refused = first(given, |_| async {
            Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused))
        });
        assert_eq!(refused.await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let none = first(Vec::new(), |_| async { Ok(()) }).await;
        assert_eq!(none.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
