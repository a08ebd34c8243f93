use http::StatusCode;

use super::*;

/// A clock that the test moves.
#[derive(Debug)]
struct MovableClock(Mutex<SystemTime>);

impl MovableClock {
    fn new() -> Arc<Self> {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Arc::new(Self(Mutex::new(start)))
    }

    fn advance(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for MovableClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

const LIMITS: Option<PerUserLimits> = limits(Some(5), Some(3));

const fn limits(each_second: Option<u32>, requests: Option<u32>) -> Option<PerUserLimits> {
    Some(PerUserLimits {
        requests_per_second: each_second,
        concurrent_requests: requests,
        concurrent_streams: Some(2),
        tokens_per_day: None,
    })
}

fn user(issuer: &str, subject: &str) -> Caller {
    let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
    Caller::Known(Arc::new(Known { issuer, subject, ..Known::default() }))
}

fn limit<T: std::fmt::Debug>(refused: Result<T, Refusal>) -> (&'static str, Duration) {
    match refused {
        Err(refusal @ Refusal::UserLimitReached { limit, retry_after, .. }) => {
            assert_eq!(refusal.status(), StatusCode::TOO_MANY_REQUESTS);
            (limit, retry_after)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_users_requests_in_a_second_are_bounded() {
    let clock = MovableClock::new();
    let users = Users::new(clock.clone());
    let (alice, bob) = (user("main", "alice"), user("main", "bob"));
    for _ in 0..5 {
        users.asked("lab", LIMITS, &alice).unwrap();
    }
    let (name, wait) = limit(users.admit("lab", LIMITS, &alice, || false));
    assert_eq!((name, wait), ("requests_per_second", Duration::from_millis(200)));
    users.asked("lab", LIMITS, &bob).unwrap();
    users.asked("lab", LIMITS, &user("other", "alice")).unwrap();
    users.asked("wiki", LIMITS, &alice).unwrap();
    clock.advance(Duration::from_millis(200));
    users.asked("lab", LIMITS, &alice).unwrap();
    limit(users.admit("lab", LIMITS, &alice, || false));
}

#[test]
fn open_requests_and_streams_are_bounded_apart() {
    let clock = MovableClock::new();
    let users = Users::new(clock.clone());
    let alice = user("main", "alice");
    let limits = limits(None, Some(3));
    let ask = |stream| users.admit("lab", limits, &alice, || stream).map(Option::unwrap);
    let requests: Vec<_> = (0..3).map(|_| ask(false).unwrap()).collect();
    assert_eq!(limit(ask(false)), ("concurrent_requests", BUSY));
    let stream = ask(true).unwrap();
    // An answer turns out to be a stream: it counts as one from then on.
    requests[0].become_stream("lab", limits.unwrap()).unwrap();
    requests[0].become_stream("lab", limits.unwrap()).unwrap();
    assert_eq!(limit(ask(true)).0, "concurrent_streams");
    let fourth = ask(false).unwrap();
    assert_eq!(
        fourth.become_stream("lab", limits.unwrap()).unwrap_err().code(),
        "user_limit_reached"
    );
    drop((requests, stream));
    let again: Vec<_> = (0..2).map(|_| ask(true).unwrap()).collect();
    assert_eq!(limit(ask(true)).0, "concurrent_streams");
    drop((again, fourth));
    assert!((0..3).map(|_| ask(false)).collect::<Vec<_>>().iter().all(Result::is_ok));
}

#[test]
fn a_request_refused_for_another_bound_costs_no_rate() {
    let users = Users::new(MovableClock::new());
    let alice = user("main", "alice");
    let limits = limits(Some(5), Some(1));
    let open = users.admit("lab", limits, &alice, || false).unwrap();
    for _ in 0..50 {
        assert_eq!(limit(users.admit("lab", limits, &alice, || false)).0, "concurrent_requests");
    }
    drop(open);
    for _ in 0..4 {
        users.asked("lab", limits, &alice).unwrap();
    }
}

#[test]
fn accounts_that_count_nothing_are_forgotten() {
    let clock = MovableClock::new();
    let users = Users::new(clock.clone());
    let open = users.admit("lab", LIMITS, &user("main", "open"), || true).unwrap();
    for number in 0..100_000 {
        clock.advance(Duration::from_millis(10));
        users.asked("lab", LIMITS, &user("main", &number.to_string())).unwrap();
    }
    let kept: usize = users.parts.iter().map(|part| part.lock().unwrap().accounts.len()).sum();
    assert!(kept <= PARTS * (SWEPT + 1), "{kept}");
    let second = users.admit("lab", LIMITS, &user("main", "open"), || true).unwrap();
    assert_eq!(
        limit(users.admit("lab", LIMITS, &user("main", "open"), || true)).0,
        "concurrent_streams"
    );
    drop((open, second));
}

#[test]
fn only_known_callers_on_bounded_routes_are_counted() {
    let users = Users::new(MovableClock::new());
    for _ in 0..100 {
        assert!(users.admit("lab", LIMITS, &Caller::Anonymous, || false).unwrap().is_none());
        assert!(users.admit("lab", None, &user("main", "alice"), || true).unwrap().is_none());
        users.asked("lab", LIMITS, &Caller::Anonymous).unwrap();
    }
    assert!(users.parts.iter().all(|part| part.lock().unwrap().accounts.is_empty()));
}

#[test]
fn threads_share_the_bounds_of_a_user() {
    let users = Users::new(MovableClock::new());
    let limits = limits(Some(100), None);
    let admitted: usize = std::thread::scope(|scope| {
        let count = || {
            let alice = user("main", "alice");
            (0..50).filter(|_| users.asked("lab", limits, &alice).is_ok()).count()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 100);
}

const BUDGET: Option<PerUserLimits> = Some(PerUserLimits {
    requests_per_second: None,
    concurrent_requests: None,
    concurrent_streams: None,
    tokens_per_day: Some(100),
});

/// Counts an exchange with so many tokens.
fn exchange(users: &Users, caller: &Caller, tokens: u64) {
    let counted = users.admit("lab", BUDGET, caller, || false).unwrap().unwrap();
    counted.used_tokens(tokens);
}

#[tokio::test]
async fn processes_share_the_budgets_of_users() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Arc::new(web_sessions::Keys::new(&[[7u8; 32]]).unwrap());
    let store = web_sessions::EmbeddedStore::open(&folder.path().join("store.redb"), keys).unwrap();
    let clock = MovableClock::new();
    let (here, there) = (Users::new(clock.clone()), Users::new(clock.clone()));
    let (alice, bob) = (user("main", "alice"), user("main", "bob"));
    exchange(&here, &alice, 60);
    exchange(&there, &alice, 60);
    exchange(&there, &bob, 10);
    // Each knows its own tokens only.
    here.asked("lab", BUDGET, &alice).unwrap();
    here.share_tokens(&store).await.unwrap();
    there.share_tokens(&store).await.unwrap();
    let (name, wait) = limit(there.asked("lab", BUDGET, &alice));
    assert_eq!(name, "tokens_per_day");
    here.asked("lab", BUDGET, &alice).unwrap();
    here.share_tokens(&store).await.unwrap();
    assert_eq!(limit(here.asked("lab", BUDGET, &alice)), (name, wait));
    here.asked("lab", BUDGET, &bob).unwrap();
    // A process that starts again learns what was used before.
    let again = Users::new(clock.clone());
    again.asked("lab", BUDGET, &alice).unwrap();
    again.share_tokens(&store).await.unwrap();
    limit(again.asked("lab", BUDGET, &alice));
    clock.advance(wait);
    for users in [&here, &there, &again] {
        users.asked("lab", BUDGET, &alice).unwrap();
        users.share_tokens(&store).await.unwrap();
        users.asked("lab", BUDGET, &alice).unwrap();
    }
    // Without the store each counts on, and tells it later.
    store.release().await.unwrap();
    exchange(&here, &alice, 99);
    here.share_tokens(&store).await.unwrap_err();
    exchange(&here, &alice, 1);
    limit(here.asked("lab", BUDGET, &alice));
    here.asked("lab", BUDGET, &bob).unwrap();
}
