use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use http::header::COOKIE;
use oidc_core::Clock as _;
use serde::{Deserialize, Serialize};

use super::*;
use crate::fixtures::*;

const HOUR: Duration = Duration::from_secs(3600);

fn cookies() -> Cookies {
    Cookies::new(&"https://platform.example".parse().unwrap(), keys())
}

fn header(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap()
}

fn request(cookie: &str) -> HeaderMap {
    HeaderMap::from_iter([(COOKIE, header(cookie.as_bytes()))])
}

fn ticket(text: &str) -> Ticket {
    Ticket::new(Secret::from(text))
}

fn presented(headers: &HeaderMap) -> Option<String> {
    cookies().session_ticket(headers).map(|ticket| ticket.expose().to_owned())
}

/// A browser's cookie jar.
#[derive(Default)]
struct Jar(BTreeMap<String, String>);

impl Jar {
    fn take(&mut self, set: &SetCookies) {
        for cookie in set.values() {
            let cookie = Cookie::parse(cookie.to_str().unwrap().to_owned()).unwrap();
            let (name, value) = (cookie.name().to_owned(), cookie.value().to_owned());
            assert!(name.len() + value.len() <= 4096, "{name} is too long for browsers");
            if cookie.max_age() == Some(time::Duration::ZERO) {
                self.0.remove(&name);
            } else {
                self.0.insert(name, value);
            }
        }
    }

    fn request(&self) -> HeaderMap {
        let pairs: Vec<String> = self.0.iter().map(|(n, v)| format!("{n}={v}")).collect();
        if pairs.is_empty() { HeaderMap::new() } else { request(&pairs.join("; ")) }
    }

    fn len(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len() + 3).sum()
    }
}

#[test]
fn the_session_cookie_is_bound_to_the_host() {
    let set = cookies().set_session(&HeaderMap::new(), &ticket("abc"), HOUR).unwrap();
    let set = set.values();
    assert_eq!(set.len(), 1);
    let text = set[0].to_str().unwrap();
    assert_eq!(text, "__Host-doorward=abc; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=3600");
    assert!(set[0].is_sensitive());
}

#[test]
fn on_loopback_without_tls_the_cookie_has_no_prefix() {
    let cookies = Cookies::new(&"http://127.0.0.1:8080".parse().unwrap(), keys());
    let set = cookies.set_session(&HeaderMap::new(), &ticket("abc"), HOUR).unwrap();
    let set = set.values();
    assert_eq!(
        set[0].to_str().unwrap(),
        "doorward=abc; HttpOnly; SameSite=Lax; Path=/; Max-Age=3600"
    );
    assert!(cookies.session_ticket(&request("doorward=abc")).is_some());
    assert!(cookies.session_ticket(&request("__Host-doorward=abc")).is_none());
}

#[test]
fn the_ticket_is_found_among_other_cookies() {
    for cookie in [
        "__Host-doorward=abc-_9",
        "a=1; __Host-doorward=abc-_9; b=2",
        "a=1;__Host-doorward=abc-_9;b",
        "a=\"x y\"; \t__Host-doorward=abc-_9 \t; =; ;;",
        "__host-doorward=other; __Host-doorward=abc-_9; doorward=other",
    ] {
        assert_eq!(presented(&request(cookie)).as_deref(), Some("abc-_9"), "{cookie}");
    }
    let mut crumbs = request("a=1");
    crumbs.append(COOKIE, header(b"__Host-doorward=abc"));
    crumbs.append(COOKIE, header(b"b=\xff"));
    assert_eq!(presented(&crumbs).as_deref(), Some("abc"));
}

#[test]
fn lookalikes_of_the_session_cookie_are_ignored() {
    for cookie in [
        "",
        "__Host-doorward",
        "__Host-doorward=",
        "=__Host-doorward=abc",
        "__Host-doorward =abc",
        "\u{2000}__Host-doorward=abc",
        "\u{a0}__Host-doorward=abc",
        "__host-doorward=abc",
        "__Host-Doorward=abc",
        "doorward=abc",
        "__Secure-doorward=abc",
        "$Version=1; $__Host-doorward=abc",
        "$Version=1; __Host-doorward=\"abc\"",
        "a=\"; __Host-doorward=a b\"",
        "__Host-doorward=abc; __Host-doorward=abc",
        "__Host-doorward=abc; x=1; __Host-doorward=def",
        "__Host-doorward=abc%20",
        "__Host%2ddoorward=abc",
        "a,__Host-doorward=abc",
        "__Host-doorward==abc",
    ] {
        assert_eq!(presented(&request(cookie)), None, "{cookie}");
    }
    let mut two = request("__Host-doorward=abc");
    two.append(COOKIE, header(b"__Host-doorward=abc"));
    assert_eq!(presented(&two), None);
}

#[test]
fn a_long_ticket_is_split_into_chunks() {
    for len in [1, 3799, 3800, 3801, 7599, 7600, 11_399, 11_400, MAX_TICKET] {
        let text: String = "abcdefghijklm-_0123456789".chars().cycle().take(len).collect();
        let mut jar = Jar::default();
        jar.take(&cookies().set_session(&HeaderMap::new(), &ticket(&text), HOUR).unwrap());
        assert!(jar.0.len() <= CHUNKS);
        assert_eq!(presented(&jar.request()).as_deref(), Some(text.as_str()), "{len}");
    }
    let long = ticket(&"a".repeat(MAX_TICKET + 1));
    let refused = cookies().set_session(&HeaderMap::new(), &long, HOUR).unwrap_err();
    assert_eq!(refused, CookieError::TooLarge { size: MAX_TICKET + 1, limit: MAX_TICKET });
}

#[test]
fn a_new_ticket_removes_every_chunk_of_the_old_one() {
    let lengths = [100, 15_000, 8000, 100, 4000, 12_000, 100];
    let mut jar = Jar::default();
    for (index, len) in lengths.into_iter().enumerate() {
        let letter = char::from(b'a' + u8::try_from(index).unwrap());
        let text = letter.to_string().repeat(len);
        jar.take(&cookies().set_session(&jar.request(), &ticket(&text), HOUR).unwrap());
        assert_eq!(presented(&jar.request()).as_deref(), Some(text.as_str()));
    }
    assert_eq!(jar.0.len(), 1);
    jar.take(&cookies().clear_session(&jar.request()));
    assert!(jar.0.is_empty());
}

#[test]
fn clearing_removes_every_chunk_and_nothing_else() {
    let headers = request("a=1; __Host-doorward.0=x; __Host-doorward.3=y; __Host-doorward=z");
    let cleared = cookies().clear_session(&headers);
    let names: Vec<String> = cleared
        .values()
        .iter()
        .map(|set| set.to_str().unwrap().split('=').next().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["__Host-doorward", "__Host-doorward.0", "__Host-doorward.3"]);
    assert!(cleared.values().iter().all(|set| set.to_str().unwrap().contains("Max-Age=0")));
    assert!(cookies().clear_session(&request("a=1")).is_empty());
}

#[test]
fn forged_chunk_numbers_are_ignored() {
    for cookie in [
        "__Host-doorward.99999999=abc",
        "__Host-doorward.0=9abc; __Host-doorward.1=def",
        "__Host-doorward.0=99999999",
        "__Host-doorward.0=4abc; __Host-doorward.1=d; __Host-doorward.2=e",
        "__Host-doorward.0=0abc",
        "__Host-doorward.0=1",
        "__Host-doorward.0=1abc",
        "__Host-doorward.0=-1abc",
        "__Host-doorward.0=2abc; __Host-doorward.1=d; __Host-doorward.1=d",
        "__Host-doorward.0=2abc; __Host-doorward.01=d",
        "__Host-doorward.1=abc; __Host-doorward.2=abc",
        "__Host-doorward=abc; __Host-doorward.0=2abc; __Host-doorward.1=d",
    ] {
        assert_eq!(presented(&request(cookie)), None, "{cookie}");
    }
    let stale = "__Host-doorward.0=2abc; __Host-doorward.1=def; __Host-doorward.2=old";
    assert_eq!(presented(&request(stale)).as_deref(), Some("abcdef"));
}

#[test]
fn stripping_removes_every_lookalike_of_our_cookies() {
    for ours in [
        "__Host-doorward=x",
        "__host-DOORWARD=x",
        "doorward=x",
        "__Secure-doorward=x",
        "__Http-doorward=x",
        "__Host-Http-doorward=x",
        "__Host-doorward.0=x",
        "__Host-doorward.99999999=x",
        "__Host-doorward-login-abcdefgh=x",
        "doorward-login-=x",
        "__Host-doorward",
        "=__Host-doorward=x",
        " = __Host-doorward=x",
        "\u{2000}__Host-doorward=x",
        "\u{a0}__Host-doorward =x",
        "$__Host-doorward=x",
        "\"__Host-doorward\"=x",
        "__Host-d%6forward=x",
        "%5F_Host-doorward=x",
    ] {
        let alone = Cookies::strip(&header(ours.as_bytes()));
        assert_eq!(alone, None, "{ours}");
        let among = format!("a=1; {ours}; b=2");
        let left = Cookies::strip(&header(among.as_bytes())).unwrap();
        assert_eq!(left.to_str().unwrap(), "a=1; b=2", "{ours}");
    }
    let latin = Cookies::strip(&header(b"a=1; \xa0__Host-doorward=x")).unwrap();
    assert_eq!(latin.to_str().unwrap(), "a=1");
}

#[test]
fn stripping_keeps_the_applications_bytes() {
    for theirs in [
        &b"a=1"[..],
        b"a=1;b=2 ;  c=\"x; y\"",
        b"session=abc; _xsrf=2|f%3B; \xff=\x80",
        b"doorward-theme=dark; mydoorward=1; doorward.theme=1; doorward_x=1; doorwards=1",
        b"note=__Host-doorward",
        b"a==b=; ;x",
    ] {
        assert_eq!(Cookies::strip(&header(theirs)).unwrap(), header(theirs));
        let with_ours = [theirs, b"; __Host-doorward=secret"].concat();
        assert_eq!(Cookies::strip(&header(&with_ours)).unwrap(), header(theirs));
    }
    let first = header(b"__Host-doorward=x; a=1;b=2;  c=3");
    assert_eq!(Cookies::strip(&first).unwrap(), header(b"a=1;b=2;  c=3"));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Transaction {
    return_to: String,
}

fn to(path: &str) -> Transaction {
    Transaction { return_to: path.to_owned() }
}

fn begin(jar: &mut Jar, state: &str, path: &str, now: SystemTime) {
    jar.take(&cookies().begin_login(&jar.request(), state, &to(path), now).unwrap());
}

fn take(jar: &mut Jar, state: &str, now: SystemTime) -> Option<Transaction> {
    let (transaction, set) = cookies().take_login(&jar.request(), state, now)?;
    jar.take(&set);
    Some(transaction)
}

#[test]
fn tabs_that_log_in_at_once_all_arrive() {
    let (mut jar, now) = (Jar::default(), MovableClock::new().now());
    // Both tabs begin a login before either has the other's cookie.
    let (one, two) = (cookies(), cookies());
    let empty = HeaderMap::new();
    jar.take(&one.begin_login(&empty, "state-one", &to("/one"), now).unwrap());
    jar.take(&two.begin_login(&empty, "state-two", &to("/two"), now).unwrap());
    assert_eq!(take(&mut jar, "state-two", now), Some(to("/two")));
    assert_eq!(take(&mut jar, "state-one", now), Some(to("/one")));
    assert!(jar.0.is_empty());
}

#[test]
fn a_callback_counts_once_and_within_the_hour() {
    let (mut jar, clock) = (Jar::default(), MovableClock::new());
    begin(&mut jar, "state", "/", clock.now());
    let mut late = Jar(jar.0.clone());
    assert_eq!(take(&mut jar, "other state", clock.now()), None);
    clock.advance(Duration::from_secs(600));
    assert_eq!(take(&mut jar, "state", clock.now()), Some(to("/")));
    assert_eq!(take(&mut jar, "state", clock.now()), None);
    clock.advance(HOUR);
    assert_eq!(take(&mut late, "state", clock.now()), None);
}

#[test]
fn a_login_of_another_browser_is_ignored() {
    let (mut theirs, now) = (Jar::default(), MovableClock::new().now());
    begin(&mut theirs, "their-state", "/", now);
    let mut mine = Jar::default();
    begin(&mut mine, "my-state", "/", now);
    assert_eq!(take(&mut mine, "their-state", now), None);
    // Nor under another name.
    let (my_name, their_value) =
        (mine.0.keys().next().unwrap().clone(), theirs.0.values().next().unwrap().clone());
    mine.0.insert(my_name, their_value);
    assert_eq!(take(&mut mine, "my-state", now), None);
    assert_eq!(take(&mut mine, "their-state", now), None);
}

#[test]
fn forty_abandoned_logins_leave_room_and_the_next_one_works() {
    let (mut jar, clock) = (Jar::default(), MovableClock::new());
    for path in ["/short".to_owned(), format!("/{}", "long/".repeat(250))] {
        for login in 0..40 {
            begin(&mut jar, &format!("state-{login}"), &path, clock.now());
            clock.advance(Duration::from_secs(1));
            assert!(jar.0.len() <= 5 && jar.len() < 8192, "{} bytes", jar.len());
        }
        let mut kept = Jar(jar.0.clone());
        assert_eq!(take(&mut kept, "state-39", clock.now()), Some(to(&path)));
        assert_eq!(take(&mut kept, "state-0", clock.now()), None);
    }
    let mut short = Jar::default();
    for login in 0..6 {
        begin(&mut short, &login.to_string(), "/", clock.now());
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(take(&mut short, "0", clock.now()), None);
    for login in 1..6 {
        assert_eq!(take(&mut short, &login.to_string(), clock.now()), Some(to("/")));
    }
}

#[test]
fn expired_and_foreign_logins_are_removed() {
    let (mut jar, clock) = (Jar::default(), MovableClock::new());
    begin(&mut jar, "old", "/", clock.now());
    jar.0.insert("__Host-doorward-login-AAAAAAAA".to_owned(), "garbage".to_owned());
    for planted in 0..60 {
        jar.0.insert(format!("__Host-doorward-login-B{planted:07}"), "x".to_owned());
    }
    clock.advance(HOUR);
    begin(&mut jar, "new", "/", clock.now());
    assert_eq!(jar.0.len(), 1);
    assert_eq!(take(&mut jar, "new", clock.now()), Some(to("/")));
}

#[test]
fn a_login_too_large_for_a_cookie_is_refused() {
    let huge = to(&"x".repeat(3000));
    let now = MovableClock::new().now();
    let refused = cookies().begin_login(&HeaderMap::new(), "state", &huge, now).unwrap_err();
    assert!(matches!(refused, CookieError::TooLarge { .. }));
}

proptest::proptest! {
    #[test]
    fn no_cookie_header_panics(bytes in proptest::collection::vec(0x20_u8..=0xff, 0..200)) {
        let bytes: Vec<u8> = bytes.into_iter().filter(|byte| *byte != 0x7f).collect();
        let value = header(&bytes);
        let headers = HeaderMap::from_iter([(COOKIE, value.clone())]);
        let _ = cookies().session_ticket(&headers);
        if let Some(left) = Cookies::strip(&value) {
            proptest::prop_assert!(left.len() <= value.len());
        }
    }
}
