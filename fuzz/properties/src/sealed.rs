//! Sealed values: what is sealed opens, and nothing else does.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use access_policy::Known;
use futures_util::FutureExt as _;
use http::HeaderMap;
use oidc_core::Secret;
use oidc_core::testing::TestClock;
use oidc_core::token::Algorithm;
use web_sessions::{CookieStore, Purpose, Record, SessionStore as _, Ticket};

use crate::{
    cookies::{KEYS, next_request, of_sites},
    input::{Dice, first_line, seed},
};

const PURPOSES: [Purpose; 4] = [Purpose::Ticket, Purpose::Record, Purpose::Login, Purpose::Form];
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=.\n ";
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

static STORE: LazyLock<CookieStore> =
    LazyLock::new(|| CookieStore::new(Arc::clone(&KEYS), LIFETIME, Arc::new(TestClock::default())));

/// A name in the first line, and the value to seal.
pub fn sealed(data: &[u8]) {
    let mut dice = Dice(seed(data));
    if let Ok(text) = std::str::from_utf8(data) {
        forged(text);
        login(text, &mut dice);
        record(text, &mut dice);
    }
    let (name, value) = first_line(data);
    let purpose = PURPOSES[dice.below(PURPOSES.len())];
    let sealed = KEYS.seal_bytes(purpose, name, value).unwrap();
    let open = |purpose, name: &[u8], sealed: &[u8]| KEYS.open_bytes(purpose, name, sealed);
    assert_eq!(open(purpose, name, &sealed).as_deref().map(Vec::as_slice), Some(value));
    for other in PURPOSES.into_iter().filter(|other| *other != purpose) {
        assert!(open(other, name, &sealed).is_none(), "opens for another purpose");
    }
    assert!(open(purpose, &[name, b"x"].concat(), &sealed).is_none(), "opens under another name");
    for _ in 0..8 {
        let mut changed = sealed.clone();
        let at = dice.below(changed.len());
        changed[at] ^= 1 << dice.below(8);
        assert!(open(purpose, name, &changed).is_none(), "opens with byte {at} changed");
    }
    assert!(open(purpose, name, &sealed[..dice.below(sealed.len())]).is_none());
    assert!(open(purpose, name, &[&sealed[..], &[0]].concat()).is_none());
    let Ok(name) = std::str::from_utf8(name) else { return };
    let text = KEYS.seal(purpose, name, value).unwrap();
    assert_eq!(KEYS.open(purpose, name, &text).as_deref().map(Vec::as_slice), Some(value));
    for changed in changes(&text, &mut dice) {
        assert!(KEYS.open(purpose, name, &changed).is_none(), "{changed:?} opens too");
    }
}

/// Texts that differ from a sealed one in one character; the last character, whose spare bits some decoders ignore, in each way.
fn changes(text: &str, dice: &mut Dice) -> Vec<String> {
    let mut places: Vec<usize> = (0..4).map(|_| dice.below(text.len())).collect();
    places.push(text.len() - 1);
    let mut changed = Vec::new();
    for place in places {
        let others: Vec<u8> = match place == text.len() - 1 {
            true => ALPHABET.to_vec(),
            false => vec![ALPHABET[dice.below(ALPHABET.len())]],
        };
        for other in others.into_iter().filter(|other| text.as_bytes()[place] != *other) {
            let (before, after) = text.split_at(place);
            changed.push(format!("{before}{}{}", char::from(other), &after[1..]));
        }
    }
    changed.push(format!("{text}="));
    changed.push(format!("{text}A"));
    changed
}

/// Text that no key sealed opens nothing.
fn forged(text: &str) {
    for purpose in PURPOSES {
        assert!(KEYS.open(purpose, "session", text).is_none(), "opens without a key");
    }
    let ticket = Ticket::new(Secret::from(text));
    assert!(STORE.load(&ticket).now_or_never().unwrap().unwrap().is_none());
}

/// A login's state comes back to the browser that began it, once, and for its own `state` only.
fn login(text: &str, dice: &mut Dice) {
    let (state, transaction) = text.split_once('\n').unwrap_or((text, ""));
    let now = moment(dice);
    for cookies in of_sites() {
        let Ok(set) = cookies.begin_login(&HeaderMap::new(), state, &transaction, now) else {
            assert!(transaction.len() > 200, "a short transaction does not fit");
            continue;
        };
        let headers = next_request(&HeaderMap::new(), set);
        let later = now + Duration::from_secs(60);
        let other = format!("{state}x");
        assert!(cookies.take_login::<String>(&headers, &other, later).is_none());
        let late = now + Duration::from_secs(3600);
        assert!(cookies.take_login::<String>(&headers, state, late).is_none());
        let (taken, gone) = cookies.take_login::<String>(&headers, state, later).unwrap();
        assert_eq!(taken, transaction);
        let headers = next_request(&headers, gone);
        assert!(cookies.take_login::<String>(&headers, state, later).is_none(), "taken twice");
    }
}

/// A record comes back from the store as it was.
fn record(text: &str, dice: &mut Dice) {
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let maybe = |text: String| (!text.is_empty()).then_some(text);
    let known = Known {
        issuer: line(),
        iss: line(),
        subject: line(),
        preferred_username: maybe(line()),
        email: maybe(line()),
        email_verified: dice.below(2) == 1,
        name: maybe(line()),
        roles: line().split(',').map(str::to_owned).collect(),
        client_roles: [(line(), line().split(',').map(str::to_owned).collect())].into(),
        groups: line().split(',').map(str::to_owned).collect(),
        scopes: line().split(' ').map(str::to_owned).collect(),
        client: maybe(line()),
        workload: false,
        claims: serde_json::from_str(&line()).unwrap_or_default(),
    };
    let algorithm = Algorithm::ALL.into_iter().nth(dice.below(16));
    let mut record = Record::new(known, Secret::from(line()), moment(dice), moment(dice))
        .with_refresh_token(maybe(line()).map(Secret::from))
        .with_id_token_algorithm(algorithm)
        .with_provider_session(maybe(line()));
    record.last_seen = moment(dice);
    record.renewed_at = moment(dice);
    record.generation = dice.0;
    let Some(Ok(ticket)) = STORE.create(&record).now_or_never() else {
        assert!(text.len() > 2000, "a short session does not fit");
        return;
    };
    let load = |ticket: &Ticket| STORE.load(ticket).now_or_never().unwrap().unwrap();
    same(&record, &load(&ticket).unwrap());
    let sealed = ticket.expose();
    for changed in changes(sealed, dice).into_iter().take(8) {
        assert!(load(&Ticket::new(Secret::from(changed))).is_none());
    }
}

fn same(one: &Record, other: &Record) {
    assert_eq!(one.id, other.id);
    assert_eq!(one.known, other.known);
    assert_eq!(one.provider_session, other.provider_session);
    let times = |record: &Record| {
        [record.created_at, record.last_seen, record.renewed_at, record.access_expires_at]
    };
    assert_eq!(times(one), times(other));
    let secrets = |record: &Record| {
        [Some(&record.access_token), record.refresh_token.as_ref(), record.id_token.as_ref()]
            .map(|secret| secret.map(|secret| secret.expose().to_owned()))
    };
    assert!(secrets(one) == secrets(other), "another token");
    assert_eq!(one.id_token_algorithm, other.id_token_algorithm);
    assert_eq!(one.generation, other.generation);
}

/// A time between 1970 and 2500, to the nanosecond.
fn moment(dice: &mut Dice) -> SystemTime {
    let seconds = u64::try_from(dice.below(16_725_225_600)).unwrap_or_default();
    let nanoseconds = u32::try_from(dice.below(1_000_000_000)).unwrap_or_default();
    UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}
