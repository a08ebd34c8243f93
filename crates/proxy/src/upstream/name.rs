//! Addresses of a target's name.
//!
//! The system's resolver says nothing of a time to live, so a name is looked up again after a fixed time ([`LOOK`]), once for
//! all callers. When the resolver fails or is slow, the addresses of the last answer are used. A connection whose address was in
//! neither of the last two answers serves no further exchange: the pool asks [`Name::has`].

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::time::{Instant, timeout};

use crate::workers::in_background;

/// Time after which a name is looked up again.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// Time for a look while there are addresses of an earlier one.
const LATE: Duration = Duration::from_secs(1);

type Answer = Result<Arc<[SocketAddr]>, Arc<io::Error>>;

/// The name of a target, and its addresses as they were found last.
pub(crate) struct Name {
    host: String,
    port: u16,
    found: ArcSwapOption<Found>,
    /// Whether an answer ever differed from the one before.
    moved: AtomicBool,
    looking: Mutex<Option<Shared<BoxFuture<'static, Answer>>>>,
    #[cfg(test)]
    stand_in: std::sync::OnceLock<Lookup>,
}

/// Stands in for the system's resolver.
#[cfg(test)]
pub(crate) type Lookup =
    Box<dyn Fn() -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

struct Found {
    at: Instant,
    addresses: Arc<[SocketAddr]>,
    /// Those of the answer before.
    earlier: Arc<[SocketAddr]>,
}

impl Name {
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            found: ArcSwapOption::empty(),
            moved: AtomicBool::new(false),
            looking: Mutex::default(),
            #[cfg(test)]
            stand_in: std::sync::OnceLock::new(),
        }
    }

    /// The name itself.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The addresses for a new connection.
    ///
    /// # Errors
    ///
    /// The resolver's, for a name that it never answered.
    pub(super) async fn addresses(self: &Arc<Self>) -> Result<Vec<SocketAddr>, io::Error> {
        let Some(found) = self.found.load_full() else {
            let answer = self.look().await;
            return answer
                .map(|addresses| addresses.to_vec())
                .map_err(|error| io::Error::new(error.kind(), error.to_string()));
        };
        if found.at.elapsed() < LOOK {
            return Ok(found.addresses.to_vec());
        }
        match timeout(LATE, self.look()).await {
            Ok(Ok(addresses)) => Ok(addresses.to_vec()),
            Ok(Err(_)) | Err(_) => Ok(found.addresses.to_vec()),
        }
    }

    /// Whether an address was in one of the last two answers.
    pub(super) fn has(&self, address: SocketAddr) -> bool {
        if !self.moved.load(Ordering::Acquire) {
            return true;
        }
        let found = self.found.load();
        found.as_ref().is_none_or(|found| {
            found.addresses.contains(&address) || found.earlier.contains(&address)
        })
    }

    /// Asks the resolver. One question is asked at a time; it runs in its own task, so that a caller that goes away ends it for
    /// none of the others.
    pub(super) fn look(self: &Arc<Self>) -> Shared<BoxFuture<'static, Answer>> {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(looking) = &*looking {
            return looking.clone();
        }
        let name = Arc::clone(self);
        let task = in_background(async move {
            let answer = name.ask().await;
            if let Ok(addresses) = &answer {
                name.keep(addresses);
            }
            *name.looking.lock().unwrap_or_else(PoisonError::into_inner) = None;
            answer
        });
        let ended = |_| Arc::new(io::Error::other("the look-up was cut off"));
        let look = task.map(move |joined| joined.map_err(ended)?).boxed().shared();
        *looking = Some(look.clone());
        look
    }

    async fn ask(&self) -> Answer {
        let found = self.resolve().await.map_err(Arc::new)?;
        if found.is_empty() {
            let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            return Err(Arc::new(none));
        }
        Ok(found.into())
    }

    async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        #[cfg(test)]
        if let Some(stand_in) = self.stand_in.get() {
            return stand_in().await;
        }
        Ok(tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect())
    }

    fn keep(&self, addresses: &Arc<[SocketAddr]>) {
        let before = self.found.load_full();
        let earlier =
            before.map_or_else(|| Arc::clone(addresses), |found| Arc::clone(&found.addresses));
        if addresses.iter().any(|address| !earlier.contains(address))
            || earlier.iter().any(|address| !addresses.contains(address))
        {
            self.moved.store(true, Ordering::Release);
            tracing::debug!(name = self.host, ?addresses, before = ?earlier, "the addresses of an upstream have changed");
        }
        let found = Found { at: Instant::now(), addresses: Arc::clone(addresses), earlier };
        self.found.store(Some(Arc::new(found)));
    }

    /// Asks this instead of the system's resolver.
    #[cfg(test)]
    pub(crate) fn resolved_by(&self, lookup: Lookup) {
        assert!(self.stand_in.set(lookup).is_ok());
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Name").field("host", &self.host).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::atomic::AtomicUsize};

    use super::*;

    /// A name whose looks have these answers, the last one for ever; `None` is a resolver that hangs.
    fn name(answers: &'static [Option<&[&str]>]) -> (Arc<Name>, Arc<AtomicUsize>) {
        let name = Arc::new(Name::new("app.test", 80));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        name.resolved_by(Box::new(move || {
            let turn = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let answer = answers[turn];
            Box::pin(async move {
                let Some(answer) = answer else { return pending().await };
                match answer {
                    ["dead"] => Err(io::Error::other("no resolver")),
                    answer => Ok(answer.iter().map(|text| text.parse().unwrap()).collect()),
                }
            })
        }));
        (name, asked)
    }

    async fn found(name: &Arc<Name>) -> String {
        let addresses = name.addresses().await.unwrap();
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_address_is_used_after_a_fixed_time() {
        let (name, asked) = name(&[Some(&["10.0.0.1:80"]), Some(&["10.0.0.2:80"])]);
        assert_eq!(found(&name).await, "10.0.0.1:80");
        tokio::time::advance(LOOK - Duration::from_millis(1)).await;
        assert_eq!(found(&name).await, "10.0.0.1:80");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(found(&name).await, "10.0.0.2:80");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_or_silent_resolver_leaves_the_addresses() {
        const DEAD: &[Option<&[&str]>] = &[Some(&["10.0.0.1:80"]), Some(&["dead"])];
        const SILENT: &[Option<&[&str]>] = &[Some(&["10.0.0.1:80"]), None];
        const EMPTY: &[Option<&[&str]>] = &[Some(&["10.0.0.1:80"]), Some(&[])];
        for answers in [DEAD, SILENT, EMPTY] {
            let (name, _) = name(answers);
            for _ in 0..3 {
                let begun = Instant::now();
                assert_eq!(found(&name).await, "10.0.0.1:80");
                assert!(begun.elapsed() <= LATE);
                tokio::time::advance(LOOK).await;
            }
        }
        let (never, _) = name(&[Some(&["dead"])]);
        assert!(never.addresses().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_ask_once() {
        let (name, asked) = name(&[Some(&["10.0.0.1:80"])]);
        let all = futures_util::future::join_all((0..50).map(|_| found(&name))).await;
        assert_eq!(all.len(), 50);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_gone_after_two_answers_without_it() {
        let (old, new) = ("10.0.0.1:80".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let (name, _) = name(&[Some(&["10.0.0.1:80"]), Some(&["10.0.0.2:80"])]);
        name.look().await.unwrap();
        assert!(name.has(old) && name.has(new), "before any change every address is good");
        name.look().await.unwrap();
        assert!(name.has(old) && name.has(new));
        name.look().await.unwrap();
        assert!(!name.has(old) && name.has(new));
    }
}
