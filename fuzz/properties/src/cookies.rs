//! Cookies: what is read is removed, and what is set is read.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use cookie::Cookie;
use http::{HeaderMap, HeaderValue, Response, header::COOKIE, header::SET_COOKIE};
use percent_encoding::percent_decode;
use web_sessions::{Cookies, Keys, SetCookies};

/// Fixed keys: a corpus must mean the same in each run.
pub(crate) static KEYS: LazyLock<Arc<Keys>> =
    LazyLock::new(|| Arc::new(Keys::new(&[[7; 32], [9; 32]]).unwrap()));

const SITES: [&str; 2] = ["https://platform.example", "http://127.0.0.1:8080"];

/// The cookies of a site's pages.
pub(crate) fn of_sites() -> impl Iterator<Item = Cookies> {
    SITES.into_iter().map(|site| Cookies::new(&site.parse().unwrap(), Arc::clone(&KEYS)))
}

/// The `Cookie` fields of one request, one in each line.
pub fn cookies(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(4) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(COOKIE, value);
    }
    let mut stripped = HeaderMap::new();
    for value in headers.get_all(COOKIE) {
        let left = Cookies::strip(value);
        kept(value.as_bytes(), left.as_ref().map_or(&[], HeaderValue::as_bytes));
        if let Some(left) = left {
            assert_eq!(Cookies::strip(&left).as_ref(), Some(&left), "stripped in two steps");
            stripped.append(COOKIE, left);
        }
    }
    for value in stripped.get_all(COOKIE) {
        foreign(value.as_bytes());
    }
    for cookies in of_sites() {
        assert!(cookies.session_ticket(&stripped).is_none(), "the ticket is left in {stripped:?}");
        assert!(cookies.clear_session(&stripped).is_empty(), "a cookie is left in {stripped:?}");
        let Some(ticket) = cookies.session_ticket(&headers) else { continue };
        let ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        assert!(!ticket.expose().is_empty() && ticket.expose().bytes().all(ours));
        let set = cookies.set_session(&headers, &ticket, Duration::from_secs(3600)).unwrap();
        let again = cookies.session_ticket(&next_request(&headers, set));
        assert_eq!(again.as_ref().map(|ticket| ticket.expose()), Some(ticket.expose()));
    }
}

/// The `Cookie` field that a browser sends after an answer set cookies.
pub(crate) fn next_request(before: &HeaderMap, set: SetCookies) -> HeaderMap {
    let mut answer = Response::new(());
    set.put_on(&mut answer);
    let mut jar: Vec<(String, String)> = Vec::new();
    for value in before.get_all(COOKIE) {
        for pair in value.to_str().unwrap_or_default().split(';') {
            if let Some((name, value)) = pair.trim_matches([' ', '\t']).split_once('=') {
                jar.retain(|(other, _)| other != name);
                jar.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    for value in answer.headers().get_all(SET_COOKIE) {
        let cookie = Cookie::parse(value.to_str().unwrap().to_owned()).unwrap();
        jar.retain(|(name, _)| name != cookie.name());
        if cookie.max_age().is_none_or(|age| !age.is_zero()) {
            jar.push((cookie.name().to_owned(), cookie.value().to_owned()));
        }
    }
    let pairs: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&pairs.join("; ")) {
        headers.insert(COOKIE, value);
    }
    headers
}

/// Checks that the remaining cookies are original ones, in their order and byte for byte.
fn kept(all: &[u8], left: &[u8]) {
    let mut all = all.split(|byte| *byte == b';');
    for cookie in left.split(|byte| *byte == b';').filter(|_| !left.is_empty()) {
        let found = all.any(|other| other.trim_ascii() == cookie.trim_ascii());
        assert!(found, "a cookie that the request did not hold");
    }
}

/// No reader takes one of these cookies for the gateway's: not by another case, prefix or encoding.
fn foreign(value: &[u8]) {
    let ours = |name: &str| {
        let name = name.trim().trim_matches('"').to_ascii_lowercase();
        let bare = name.strip_prefix("__host-").unwrap_or(&name);
        bare == "doorward"
            || bare.starts_with("doorward-login-")
            || bare.strip_prefix("doorward.").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
    };
    for pair in value.split(|byte| *byte == b';') {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        let decoded = percent_decode(name).decode_utf8_lossy().into_owned();
        assert!(!ours(&String::from_utf8_lossy(name)) && !ours(&decoded), "{decoded:?} is left");
    }
    let text = String::from_utf8_lossy(value).into_owned();
    for cookie in Cookie::split_parse(text).flatten() {
        assert!(!ours(cookie.name()), "{} is left", cookie.name());
    }
}
