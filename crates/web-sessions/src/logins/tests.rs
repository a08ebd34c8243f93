use std::{collections::BTreeMap, time::Duration};

use cookie::Cookie;
use http::{HeaderValue, header::COOKIE};
use oidc_core::Clock as _;
use tempfile::TempDir;

use super::*;
use crate::{
    fixtures::{
        shared::{Process, Shared},
        *,
    },
    record::Limits,
    seal::Keys,
    store::{CookieStore, EmbeddedStore},
};

const HOUR: Duration = Duration::from_secs(3600);

struct Lab {
    clock: Arc<MovableClock>,
    logins: Logins,
    store: Arc<dyn SessionStore>,
    jar: BTreeMap<String, String>,
    _folder: TempDir,
}

impl Lab {
    fn with_records() -> Self {
        let folder = TempDir::new().unwrap();
        let store = EmbeddedStore::open(&folder.path().join("sessions.redb"), keys()).unwrap();
        Self::of(Arc::new(store), folder)
    }

    fn with_cookies() -> Self {
        let clock = MovableClock::new();
        Self::of(Arc::new(CookieStore::new(keys(), HOUR, clock)), TempDir::new().unwrap())
    }

    fn of(store: Arc<dyn SessionStore>, folder: TempDir) -> Self {
        Self {
            clock: MovableClock::new(),
            logins: logins(keys(), &store),
            store,
            jar: BTreeMap::new(),
            _folder: folder,
        }
    }

    fn headers(&self) -> HeaderMap {
        let pairs: Vec<String> = self.jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
        HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(pairs.join("; ")).unwrap())])
    }

    fn take(&mut self, set: &SetCookies) {
        for cookie in set.values() {
            let cookie = Cookie::parse(cookie.to_str().unwrap().to_owned()).unwrap();
            let (name, value) = (cookie.name().to_owned(), cookie.value().to_owned());
            assert!(name.len() + value.len() <= 4096, "{name} is too long for browsers");
            match value.is_empty() {
                true => self.jar.remove(&name),
                false => self.jar.insert(name, value),
            };
        }
    }

    async fn begin(&mut self, state: &str, address: &str) -> Result<(), BeginError> {
        let now = self.clock.now();
        let set = self.logins.begin(&self.headers(), state, &address.to_owned(), now).await?;
        self.take(&set);
        self.clock.advance(Duration::from_secs(1));
        Ok(())
    }

    async fn finish(&mut self, state: &str) -> Option<String> {
        let now = self.clock.now();
        let found = self.logins.find::<String>(&self.headers(), state, now).await.unwrap()?;
        let address = found.transaction.clone();
        let set = self.logins.forget(found).await;
        self.take(&set);
        Some(address)
    }
}

fn logins(keys: Arc<Keys>, store: &Arc<dyn SessionStore>) -> Logins {
    let cookies = Cookies::new(&"https://platform.example".parse().unwrap(), keys);
    Logins::new(cookies, Arc::clone(store))
}

fn address(tab: usize, len: usize) -> String {
    format!("/tab/{tab}?{}", "x".repeat(len))
}

#[tokio::test]
async fn with_records_twenty_tabs_with_long_addresses_arrive() {
    let mut lab = Lab::with_records();
    for tab in 0..20 {
        lab.begin(&format!("state-{tab}"), &address(tab, 8192)).await.unwrap();
    }
    let bytes: usize = lab.jar.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
    assert!(bytes < 3000, "{bytes} bytes of cookies");
    for tab in (0..20).rev() {
        assert_eq!(lab.finish(&format!("state-{tab}")).await, Some(address(tab, 8192)));
        assert_eq!(lab.finish(&format!("state-{tab}")).await, None, "a callback counts once");
    }
    assert!(lab.jar.is_empty());
}

#[tokio::test]
async fn with_cookies_five_tabs_or_two_kilobytes_arrive() {
    let mut lab = Lab::with_cookies();
    for tab in 0..6 {
        lab.begin(&format!("state-{tab}"), &address(tab, 200)).await.unwrap();
    }
    assert_eq!(lab.finish("state-0").await, None);
    for tab in 1..6 {
        assert_eq!(lab.finish(&format!("state-{tab}")).await, Some(address(tab, 200)));
    }
    lab.begin("long", &address(0, 2048)).await.unwrap();
    assert_eq!(lab.finish("long").await, Some(address(0, 2048)));
    let refused = lab.begin("longer", &address(0, 3000)).await.unwrap_err();
    assert!(matches!(refused, BeginError::Cookie(CookieError::TooLarge { .. })), "{refused}");
}

#[tokio::test]
async fn a_kept_login_needs_the_cookie_of_its_browser() {
    let mut lab = Lab::with_records();
    lab.begin("state", "/mine").await.unwrap();
    let (name, value) = lab.jar.pop_first().unwrap();
    assert_eq!(lab.finish("state").await, None);
    // Neither another state nor another browser's cookie opens it.
    lab.begin("other", "/theirs").await.unwrap();
    let theirs = lab.jar.values().next().unwrap().clone();
    lab.jar.insert(name.clone(), theirs);
    assert_eq!(lab.finish("state").await, None);
    lab.jar.insert(name, value);
    assert_eq!(lab.finish("state").await.as_deref(), Some("/mine"));
}

#[tokio::test]
async fn an_hour_ends_a_kept_login_and_sweeping_deletes_it() {
    let mut lab = Lab::with_records();
    lab.begin("state", "/late").await.unwrap();
    let (ticket, now) = (lab.jar.clone(), lab.clock.now());
    lab.clock.advance(HOUR);
    assert_eq!(lab.finish("state").await, None);
    let limits = Limits::new(HOUR, HOUR);
    lab.store.sweep(&limits, lab.clock.now()).await.unwrap();
    // The state is gone, whatever the clock says.
    lab.jar = ticket;
    let found = lab.logins.find::<String>(&lab.headers(), "state", now).await.unwrap();
    assert!(found.is_none());
}

#[tokio::test]
async fn a_login_of_another_gateway_of_the_host_is_left_alone() {
    let mut lab = Lab::with_records();
    let other = Arc::new(Keys::new(&[[9; 32]]).unwrap());
    let store: Arc<dyn SessionStore> =
        Arc::new(CookieStore::new(Arc::clone(&other), HOUR, MovableClock::new()));
    let theirs = logins(Arc::clone(&other), &store);
    let (nothing, address, now) = (HeaderMap::new(), "/b".to_owned(), lab.clock.now());
    let begun = theirs.begin(&nothing, "theirs", &address, now).await.unwrap();
    lab.take(&begun);
    for tab in 0..25 {
        lab.begin(&format!("state-{tab}"), "/a").await.unwrap();
    }
    let found = theirs.find::<String>(&lab.headers(), "theirs", lab.clock.now()).await.unwrap();
    assert_eq!(found.map(|found| found.transaction).as_deref(), Some("/b"));
    assert_eq!(lab.jar.len(), 21);
}

#[tokio::test]
async fn a_login_may_come_back_to_another_process_once() {
    let clock = MovableClock::new();
    let shared = Shared::new(Arc::clone(&clock));
    let (here, there) = (shared.process(), shared.process());
    let of = |process: &Arc<Process>| logins(keys(), &(Arc::clone(process) as _));
    let (begun, finished) = (of(&here), of(&there));
    let mut lab = Lab::of(Arc::clone(&here) as _, TempDir::new().unwrap());
    let address = "/app".to_owned();
    let set = begun.begin(&lab.headers(), "state", &address, clock.now()).await.unwrap();
    lab.take(&set);
    let found = finished.find::<String>(&lab.headers(), "state", clock.now()).await.unwrap();
    assert_eq!(found.unwrap().transaction, address);
    assert!(finished.first_exchange("state").await.unwrap());
    // The browser sends the same callback to the first process.
    assert!(!begun.first_exchange("state").await.unwrap());
    assert!(begun.first_exchange("another").await.unwrap());
    there.away(true);
    assert!(finished.first_exchange("third").await.is_err());
    there.away(false);
    finished.forget_exchange("state").await;
    assert!(begun.first_exchange("state").await.unwrap());
}
