use std::time::SystemTime;

use oidc_core::SystemClock;

use super::*;

/// A clock that never advances.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }
}

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

async fn admitted(throttle: &Throttle, client: Option<IpAddr>, times: usize) -> usize {
    let mut count = 0;
    for _ in 0..times {
        count += usize::from(throttle.login("main", client).await.is_ok());
    }
    count
}

#[tokio::test]
async fn each_address_has_a_bucket_of_its_own() {
    let throttle = Throttle::new(Arc::new(Still));
    assert_eq!(admitted(&throttle, address("192.0.2.1"), 150).await, 100);
    assert_eq!(admitted(&throttle, address("192.0.2.2"), 150).await, 100);
    // Another spelling of the first address.
    assert_eq!(admitted(&throttle, address("::ffff:192.0.2.1"), 10).await, 0);
    // Another host of the same IPv6 network, and a host of another network.
    assert_eq!(admitted(&throttle, address("2001:db8::1"), 150).await, 100);
    assert_eq!(admitted(&throttle, address("2001:db8::ffff:0:0:2"), 10).await, 0);
    assert_eq!(admitted(&throttle, address("2001:db8:0:1::1"), 10).await, 10);
}

#[tokio::test]
async fn other_addresses_do_not_refill_a_bucket() {
    let throttle = Throttle::new(Arc::new(Still));
    assert_eq!(admitted(&throttle, address("192.0.2.1"), 101).await, 100);
    for other in 0..20_000_u32 {
        let other = std::net::Ipv4Addr::from_bits(0x0a00_0000 + other);
        assert_eq!(admitted(&throttle, Some(other.into()), 1).await, 1);
    }
    throttle.logins.buckets.run_pending_tasks();
    assert_eq!(admitted(&throttle, address("192.0.2.1"), 10).await, 0);
}

#[tokio::test]
async fn callers_without_an_address_are_limited_by_concurrency() {
    let throttle = Throttle::new(Arc::new(Still));
    assert_eq!(admitted(&throttle, None, 500).await, 500);
}

#[tokio::test]
async fn a_login_that_succeeds_costs_its_beginning() {
    let throttle = Throttle::new(Arc::new(Still));
    for _ in 0..100 {
        throttle.login("main", address("192.0.2.1")).await.unwrap();
        // The other half of the bucket is for the callback.
        if let Ok(callback) = throttle.login("main", address("192.0.2.1")).await {
            callback.give_back();
        }
    }
    assert!(throttle.login("main", address("192.0.2.1")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_to_an_issuer_are_limited() {
    let throttle = Throttle::new(Arc::new(SystemClock));
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        calls.push(throttle.login("main", None).await.unwrap());
    }
    let began = tokio::time::Instant::now();
    let refusal = throttle.login("main", None).await.unwrap_err();
    assert!(matches!(refusal, Refusal::TooMany { retry_after: BUSY, .. }), "{refusal}");
    assert_eq!(began.elapsed(), PATIENCE);
    assert!(throttle.login("other", None).await.is_ok());
    // A call that ends in time lets the next one in.
    let next = tokio::join!(throttle.login("main", address("192.0.2.1")), async {
        tokio::time::sleep(PATIENCE / 2).await;
        calls.pop();
    });
    assert!(next.0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_failed_wait_costs_nothing_and_a_flood_does_not_wait() {
    let throttle = Throttle::new(Arc::new(Still));
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        calls.push(throttle.login("main", None).await.unwrap());
    }
    for _ in 0..3 {
        assert!(throttle.login("main", address("192.0.2.1")).await.is_err());
    }
    calls.clear();
    assert_eq!(admitted(&throttle, address("192.0.2.1"), 150).await, 100);
    for _ in 0..CALLS {
        calls.push(throttle.login("main", None).await.unwrap());
    }
    let began = tokio::time::Instant::now();
    assert!(throttle.login("main", address("192.0.2.1")).await.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[test]
fn a_login_is_finished_once_unless_forgotten() {
    let finished = Finished::evicting(EvictionPolicy::lru());
    assert!(finished.first_time("a") && finished.first_time("b"));
    assert!(!finished.first_time("a"));
    finished.forget("a");
    assert!(finished.first_time("a") && !finished.first_time("b"));
}
