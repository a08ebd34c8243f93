//! Sessions of a web application whose users sign in by OpenID Connect.
//!
//! | to … | use |
//! |---|---|
//! | describe a session | [`Record`], [`Limits`] |
//! | store records | [`SessionStore`]: [`EmbeddedStore`] (a file), [`CookieStore`] (the cookie itself), `RedisStore` (feature `redis`: Valkey or Redis, for several processes) |
//! | open, refresh and end sessions | [`Sessions`] → [`LiveSession`] |
//! | read and write cookies | [`Cookies`] → [`Ticket`], [`SetCookies`] |
//! | keep a login until the browser comes back | [`Logins`] → [`Returned`] |
//! | accept API keys | [`ApiKeys`] → [`Found`] |
//! | seal with keys that rotate | [`Keys`] |
//!
//! A cookie holds a [`Ticket`]. With the embedded store the ticket names a record kept here; with the cookie store the
//! ticket is the sealed record itself. [`Sessions`] opens tickets once and remembers them, so that later requests with the
//! same cookie cost no cryptography and no I/O.
//!
//! Several processes may use one store, if it has the part [`SharedStore`]. An opened session is then used for a few seconds
//! without reading it again, and not at all after a change; a sign-out at one process ends the session at the others, with its
//! streams; and the processes take turns at refreshing, so that a refresh token is used once. [`Sessions::maintain`] follows the
//! changes.
//!
//! A session ends by logout, by its limits, or because the provider says so. It never ends because a request was refused or
//! because a store did not answer.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{sync::Arc, time::{Duration, SystemTime}};
//! use access_policy::Known;
//! use oidc_core::{Secret, SystemClock};
//! use web_sessions::{CookieStore, Keys, Limits, Record, Sessions};
//!
//! let lifetime = Duration::from_secs(12 * 3600);
//! let limits = Limits::new(Duration::from_secs(3600), lifetime);
//! let clock = Arc::new(SystemClock);
//! let store = CookieStore::new(Arc::new(Keys::new(&[[7; 32]])?), lifetime, clock.clone());
//! let sessions = Arc::new(Sessions::new(Arc::new(store), limits, clock));
//!
//! let alice = Known { subject: "a1".to_owned(), ..Known::default() };
//! let now = SystemTime::now();
//! let record = Record::new(alice, Secret::from("access token"), now + Duration::from_secs(300), now);
//! let (ticket, _) = sessions.create(record).await?;
//! let session = sessions.open(&ticket).await?.ok_or("no session")?;
//! assert_eq!(session.known().subject, "a1");
//! # Ok(()) }
//! ```

// Names and values.
mod digest;
mod moment;
mod memory;
mod ticket;
mod record;
mod logouts;
mod uses;
mod seal;
mod store;

// Live sessions and their cookies.
mod sessions;
pub mod caching;
mod cookies;
mod logins;

// API keys.
mod key_ring;

#[cfg(test)]
mod fixtures;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;

pub use self::{
    cookies::{CookieError, Cookies, OwnNames, SetCookies},
    digest::{Digest, sha256},
    key_ring::{ApiKeys, Found, KeyStatus, LiveKey, LiveOwner, NewKey, NotCreated},
    logins::{BeginError, Logins, Returned},
    record::{Limits, Record, Summary, Which},
    seal::{Keys, KeysError, P256Key, Purpose, SealError},
    sessions::{
        Carry, Ends, Farewell, Freshness, KeepsIdentity, LiveSession, Renew, RenewError, Sessions,
        StreamGuard,
    },
    store::{
        Change, CookieStore, EmbeddedError, EmbeddedStore, Ended, Entry, EntryStore, HeldTurn,
        InTurn, Seen, SessionStore, SharedStore, StoreError, TURN, Turn,
    },
    ticket::{SessionId, Ticket},
    uses::{LastUse, LastUses, OpenUse, Use},
};

#[cfg(feature = "redis")]
pub use self::store::{
    Observe, ReadPassword, RedisEvent, RedisNode, RedisOptions, RedisServers, RedisStore, RedisTls,
    SharedReplayMemory, ask_redis,
};
#[cfg(any(test, feature = "test-util"))]
pub use self::store::{session_store_conforms, shared_store_conforms};

/// The example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;
