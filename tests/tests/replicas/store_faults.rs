//! Faults of the store: they touch no program with a token, sign no user out, and end without a restart.
//!
//! While a fault lasts, each answer to a session is either the right one (the replica may still know the session) or 503 with
//! `Retry-After`, in time; never a redirect to the sign-in and never another user's page.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{
    World,
    keycloak::Realm,
    tools,
    toxiproxy::Toxiproxy,
    valkey::{self, Valkey},
    visitor::{Answer, Visitor},
};
use serde_json::Value;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    figures::{Figures, note},
    stage::Stage,
};

/// Longest time to an answer while the store is at fault: the store's deadline of 500 ms, and 100 ms.
const ANSWERED: Duration = Duration::from_millis(600);

/// The same for the slowest answer in the test command, on a machine with other work.
const SLOWEST: Duration = Duration::from_millis(1_500);

/// Longest time from the end of the fault to the first right answer.
const HEALED: Duration = Duration::from_secs(2);

/// Longer than a replica may use a session without asking the store.
const LASTS: Duration = Duration::from_secs(8);

/// What users notice while a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notice {
    /// Sessions answer 503 as soon as the replica may no longer trust what it knows.
    Refused,
    /// Sessions that are there go on; sign-ins may be refused with 503.
    SignInsOnly,
}

struct Fault {
    name: &'static str,
    stage: Stage,
    valkey: Valkey,
    wire: Option<Toxiproxy>,
    alice: Visitor,
    carol: Visitor,
    realm: Realm,
    token: String,
}

impl Fault {
    /// Two replicas over Valkey, by a wire that can be made bad where `wired`; two users who are signed in.
    async fn new(name: &'static str, wired: bool) -> Result<Self> {
        let world = World::new(&format!("fault-{name}"))?;
        let realm = world.realm().await?;
        let valkey = valkey::Setup::new(world.folder(), "valkey")?.with_user(PASSWORD)?;
        let valkey = valkey.start().await?;
        let wire = match wired {
            true => Some(Toxiproxy::before(world.folder(), &valkey.address()).await?),
            false => None,
        };
        let address = wire.as_ref().map_or_else(|| valkey.address(), Toxiproxy::address);
        let store = valkey.store_at(&format!("redis://{address}/0"), "");
        let stage = Stage::start(world, &realm, &store, |plan| plan).await?;
        let (alice, carol) = (stage.sign_in("alice").await?, stage.sign_in("carol").await?);
        let token = realm.client_credentials("airflow-run", None).await?;
        let fault = Self { name, stage, valkey, wire, alice, carol, realm, token };
        for replica in [0, 1] {
            fault.right(fault.stage.fetch(&fault.alice, replica, "/x").await?, "alice")?;
            fault.right(fault.stage.fetch(&fault.carol, replica, "/x").await?, "carol")?;
            assert_eq!(fault.stage.call(&fault.token, replica).await?, 200);
        }
        Ok(fault)
    }

    fn wire(&self) -> Result<&Toxiproxy> {
        self.wire.as_ref().context("the scenario has no wire")
    }

    /// Whether the answer is the user's own page; an error where it is neither that nor 503 with `Retry-After`.
    fn right(&self, answer: Answer, user: &str) -> Result<bool> {
        match answer.status.as_u16() {
            200 => {
                let name = "x-forwarded-preferred-username";
                let seen: Value = serde_json::from_str(&answer.body)?;
                let fields = seen["headers"].as_array().context("no fields")?;
                let of = |field: &&Value| {
                    field[0].as_str().is_some_and(|field| field.eq_ignore_ascii_case(name))
                };
                let names: Vec<&str> =
                    fields.iter().filter(of).filter_map(|field| field[1].as_str()).collect();
                ensure!(names == [user], "{user} got the page of {names:?}");
                Ok(true)
            }
            503 => {
                ensure!(!answer.header("retry-after").is_empty(), "503 without Retry-After");
                Ok(false)
            }
            other => anyhow::bail!("{}: {user} got {other}: {}", self.name, answer.body),
        }
    }

    /// Programs with tokens, at both replicas, until the handle is aborted; each answer must be 200 and in time.
    fn programs(&self) -> JoinHandle<Result<()>> {
        let (url, token) = (self.stage.world.url("/api"), self.token.clone());
        tokio::spawn(async move {
            let client = e2e::visitor::plain_client()?;
            loop {
                let asking = client.get(&url).bearer_auth(&token).send();
                let answer = timeout(SLOWEST, asking).await.context("a program waits")??;
                ensure!(answer.status() == 200, "a program got {}", answer.status());
                sleep(Duration::from_millis(20)).await;
            }
        })
    }

    /// Asks as both users, by page and by script, while the fault lasts.
    async fn watch(&self, notice: Notice) -> Result<()> {
        let programs = self.programs();
        let (mut figures, mut refused, began) = (Figures::default(), 0, Instant::now());
        while began.elapsed() < LASTS {
            for (visitor, user) in [(&self.alice, "alice"), (&self.carol, "carol")] {
                for replica in [0, 1] {
                    let asked = Instant::now();
                    let fetched = self.stage.fetch(visitor, replica, "/x").await?;
                    figures.add(asked.elapsed());
                    let asked = Instant::now();
                    let opened = self.stage.open(visitor, replica, "/x").await?;
                    figures.add(asked.elapsed());
                    refused += usize::from(!self.right(fetched, user)?);
                    refused += usize::from(!self.right(opened, user)?);
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        ensure!(!programs.is_finished(), "programs: {:?}", programs.await?);
        programs.abort();
        let asked = figures.count();
        note(&format!("{}: {refused} of {asked} answers were 503", self.name));
        figures.print(&format!("{}, answers", self.name))?;
        let (most, high) = (figures.at(100)?, figures.at(95)?);
        ensure!(high <= ANSWERED, "{}: the 95th percentile is {high:?}", self.name);
        let limit = if tools::long_form() { ANSWERED } else { SLOWEST };
        ensure!(most <= limit, "{}: an answer took {most:?}", self.name);
        match notice {
            Notice::Refused => ensure!(refused > 0, "{}: no answer was 503", self.name),
            Notice::SignInsOnly => ensure!(refused == 0, "{}: {refused} were 503", self.name),
        }
        Ok(())
    }

    /// A new user's sign-in: it ends in a session, or with 503; never in a circle.
    async fn try_to_sign_in(&self) -> Result<bool> {
        let bob = Visitor::new()?;
        let form = bob.arrive(&self.stage.world.url("/y")).await?;
        let answer = match form.status.as_u16() {
            503 => form,
            _ => {
                let back = bob.submit_login(&form, "bob").await?;
                bob.follow(back).await?
            }
        };
        match answer.status.as_u16() {
            200 => Ok(true),
            503 => {
                ensure!(!answer.header("retry-after").is_empty(), "503 without Retry-After");
                Ok(false)
            }
            other => anyhow::bail!("{}: a sign-in ends with {other}: {}", self.name, answer.body),
        }
    }

    /// The fault has ended: both users go on at both replicas, without a sign-in, and new users sign in.
    async fn healed(self) -> Result<()> {
        let began = Instant::now();
        for (visitor, user) in [(&self.alice, "alice"), (&self.carol, "carol")] {
            for replica in [0, 1] {
                while !self.right(self.stage.fetch(visitor, replica, "/x").await?, user)? {
                    ensure!(began.elapsed() < HEALED, "{}: still 503 after {HEALED:?}", self.name);
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
        note(&format!("{}: healed after {:.1?}", self.name, began.elapsed()));
        ensure!(self.try_to_sign_in().await?, "{}: no user can sign in afterwards", self.name);
        let errors = self.realm.events("REFRESH_TOKEN_ERROR").await?;
        ensure!(errors.is_empty(), "a refresh token was used twice: {errors:?}");
        let mut secrets = vec![PASSWORD.to_owned(), self.token];
        for visitor in [&self.alice, &self.carol] {
            secrets.extend(visitor.cookie_values());
        }
        self.stage.replicas.finish(&secrets)
    }
}

const PASSWORD: &str = "the password of this fault";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_store_signs_no_user_out() -> Result<()> {
    let mut fault = Fault::new("killed", false).await?;
    fault.valkey.kill();
    fault.watch(Notice::Refused).await?;
    ensure!(!fault.try_to_sign_in().await?, "a sign-in without a store");
    fault.valkey.start_again().await?;
    fault.healed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_store_signs_no_user_out() -> Result<()> {
    let mut fault = Fault::new("restarted", false).await?;
    for _ in 0..3 {
        fault.valkey.kill();
        fault.valkey.start_again().await?;
        sleep(Duration::from_millis(200)).await;
    }
    fault.healed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_store_signs_no_user_out() -> Result<()> {
    let fault = Fault::new("frozen", false).await?;
    fault.valkey.freeze();
    fault.watch(Notice::Refused).await?;
    fault.valkey.thaw();
    fault.healed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_store_signs_no_user_out() -> Result<()> {
    let fault = Fault::new("paused", false).await?;
    fault.valkey.ask(&["CLIENT", "PAUSE", "60000", "ALL"]).await?;
    fault.watch(Notice::Refused).await?;
    fault.valkey.ask(&["CLIENT", "UNPAUSE"]).await?;
    fault.healed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_two_seconds_slow_signs_no_user_out() -> Result<()> {
    let fault = Fault::new("slow", true).await?;
    fault.wire()?.slow(Duration::from_secs(2)).await?;
    fault.watch(Notice::Refused).await?;
    fault.wire()?.heal().await?;
    fault.healed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_network_signs_no_user_out() -> Result<()> {
    let fault = Fault::new("half-open", true).await?;
    fault.wire()?.half_open().await?;
    fault.watch(Notice::Refused).await?;
    fault.wire()?.heal().await?;
    fault.healed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn reset_connections_sign_no_user_out() -> Result<()> {
    let fault = Fault::new("resets", true).await?;
    fault.wire()?.reset().await?;
    fault.watch(Notice::Refused).await?;
    fault.wire()?.heal().await?;
    fault.healed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_sign_ins_only() -> Result<()> {
    let fault = Fault::new("full", false).await?;
    fault.valkey.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await?;
    fault.valkey.ask(&["CONFIG", "SET", "maxmemory", "1"]).await?;
    fault.watch(Notice::SignInsOnly).await?;
    ensure!(!fault.try_to_sign_in().await?, "a session was not stored and the user not told");
    fault.valkey.ask(&["CONFIG", "SET", "maxmemory", "0"]).await?;
    fault.healed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_store_refuses_sign_ins_only() -> Result<()> {
    let fault = Fault::new("read-only", false).await?;
    // The replica of a server that is not there: it answers reads with what it has.
    fault.valkey.ask(&["REPLICAOF", "127.0.0.1", "1"]).await?;
    fault.watch(Notice::SignInsOnly).await?;
    ensure!(!fault.try_to_sign_in().await?, "a session was not stored and the user not told");
    fault.valkey.ask(&["REPLICAOF", "NO", "ONE"]).await?;
    fault.healed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_signs_no_user_out() -> Result<()> {
    let fault = Fault::new("wrong-password", false).await?;
    let user = ["ACL", "SETUSER", valkey::USER, "resetpass", ">another password"];
    fault.valkey.ask(&user).await?;
    fault.valkey.ask(&["CLIENT", "KILL", "USER", valkey::USER]).await?;
    fault.watch(Notice::Refused).await?;
    let password = format!(">{PASSWORD}");
    fault.valkey.ask(&["ACL", "SETUSER", valkey::USER, "resetpass", &password]).await?;
    fault.healed().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_store_ends_sessions_and_nothing_else() -> Result<()> {
    let fault = Fault::new("flushed", false).await?;
    let programs = fault.programs();
    fault.valkey.ask(&["FLUSHALL"]).await?;
    let began = Instant::now();
    for (visitor, user) in [(&fault.alice, "alice"), (&fault.carol, "carol")] {
        for replica in [0, 1] {
            loop {
                let answer = fault.stage.fetch(visitor, replica, "/x").await?;
                if answer.status == 401 {
                    break;
                }
                fault.right(answer, user)?;
                ensure!(began.elapsed() < LASTS, "a session without a record goes on");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    note(&format!("flushed: sessions end after {:.1?}", began.elapsed()));
    ensure!(!programs.is_finished(), "programs: {:?}", programs.await?);
    programs.abort();
    // Users are signed in again by their session at the provider, and see their own page.
    for (visitor, user) in [(&fault.alice, "alice"), (&fault.carol, "carol")] {
        let home = visitor.arrive(&fault.stage.world.url("/home")).await?;
        ensure!(home.status == 200, "{} {}", home.status, home.body);
        for replica in [0, 1] {
            ensure!(fault.right(fault.stage.fetch(visitor, replica, "/x").await?, user)?);
        }
    }
    fault.healed().await
}
