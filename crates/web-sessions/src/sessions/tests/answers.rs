//! Answers that are late: their cookies are those of the session as it is by then.

use http::{HeaderMap, HeaderValue, Response, header::SET_COOKIE};
use url::Url;

use super::*;
use crate::cookies::{Cookies, SetCookies};

fn cookies() -> Cookies {
    Cookies::new(&Url::parse("https://platform.example").unwrap(), keys())
}

/// A session whose browser has an old ticket, and the cookies of the answer to a request with that ticket.
async fn refreshed(fixture: &Fixture) -> (Arc<LiveSession>, SetCookies) {
    let (ticket, session) = fixture.signed_in().await;
    let cookie = format!("__Host-doorward.3=stale; __Host-doorward={}", ticket.expose());
    let headers = HeaderMap::from_iter([("cookie".parse().unwrap(), cookie.parse().unwrap())]);
    fixture.pass(IDLE / 3);
    fixture.sessions.fresh(&session).await.unwrap();
    let set = cookies().newer_session(&headers, &ticket, &session, LIFETIME);
    assert!(!set.is_empty());
    (session, set)
}

fn set_by(cookies: SetCookies) -> Vec<HeaderValue> {
    let mut answer = Response::new(());
    cookies.put_on(&mut answer);
    assert_eq!(answer.headers()["cache-control"], "private, no-store");
    answer.headers().get_all(SET_COOKIE).iter().cloned().collect()
}

#[tokio::test]
async fn a_late_answer_brings_no_ended_session_back() {
    let fixture = Fixture::cookie();
    let (session, set) = refreshed(&fixture).await;
    fixture.sessions.end(session.id()).await.unwrap();
    assert!(set_by(set).is_empty());
}

#[tokio::test]
async fn a_late_answer_has_the_newest_ticket() {
    let fixture = Fixture::cookie();
    let (session, set) = refreshed(&fixture).await;
    let then = session.ticket();
    fixture.pass(IDLE / 3);
    fixture.sessions.fresh(&session).await.unwrap();
    let newest = session.ticket();
    assert_ne!(newest.expose(), then.expose());
    let [removed, set] = &set_by(set)[..] else { panic!("one old chunk and one ticket") };
    assert!(removed.to_str().unwrap().starts_with("__Host-doorward.3=; "));
    assert!(set.to_str().unwrap().starts_with(&format!("__Host-doorward={}; ", newest.expose())));
}

#[tokio::test]
async fn other_cookies_of_a_late_answer_are_kept() {
    let fixture = Fixture::cookie();
    let (session, mut set) = refreshed(&fixture).await;
    set.extend(SetCookies::new(vec![HeaderValue::from_static("a=b")]));
    fixture.sessions.end(session.id()).await.unwrap();
    assert_eq!(set_by(set), ["a=b"]);
}
