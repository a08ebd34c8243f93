//! Sign-ins, refreshes, sign-outs, requests and WebSockets at a steady rate: no answer is wrong and no memory grows.
//!
//! A minute here; `just soak` lasts half an hour.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::{Grant, Mint};
use e2e::{process, replicas::CHOICE, tools, visitor::plain_client, wait, websocket};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    figures::{Figures, note},
    people::People,
};

/// Users who work all the time; each asks twice a second by session, and twice by token.
const WORKING: usize = 50;
const SOCKETS: usize = 20;
const TOKENS_LIVE: Duration = Duration::from_secs(20);

/// Growth of the resident memory from the second third of the time to the last one.
const LONG: (Duration, f64) = (Duration::from_secs(30 * 60), 1.05);
/// Caches still fill in the first minute.
const SHORT: (Duration, f64) = (Duration::from_secs(60), 1.15);

async fn work(people: Arc<People>, number: usize, until: Instant) -> Result<Figures> {
    let visitor = people.sign_in(number).await?;
    let (client, mut figures) = (plain_client()?, Figures::default());
    let url = people.stage.world.url("/work");
    let mut ticks = interval(Duration::from_millis(500));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Spread over the interval.
    sleep(Duration::from_millis(500 * number as u64 / WORKING as u64)).await;
    let (mut round, mut token) = (number, String::new());
    while Instant::now() < until {
        ticks.tick().await;
        round += 1;
        let asked = Instant::now();
        let answer = people.stage.fetch(&visitor, round % 2, "/work").await?;
        ensure!(answer.status == 200, "user-{number}: {} {}", answer.status, answer.body);
        figures.add(asked.elapsed());
        // A program fetches a new token each ten seconds.
        if token.is_empty() || round % 20 == 0 {
            token = people.issuer.mint(Mint::access(format!("user-{number}")))?;
        }
        let answer = client.get(&url).bearer_auth(&token).send().await?;
        ensure!(answer.status() == 200, "a token of user-{number}: {}", answer.status());
    }
    Ok(figures)
}

async fn come_and_go(people: Arc<People>, until: Instant) -> Result<Figures> {
    let mut figures = Figures::default();
    while Instant::now() < until {
        let visitor = people.sign_in(WORKING).await?;
        for replica in [0, 1] {
            assert_eq!(people.stage.fetch(&visitor, replica, "/x").await?.status, 200);
        }
        let cookie = visitor.cookies(&people.stage.world.url("/"))?;
        let answer = people.stage.sign_out(&visitor, 0).await?;
        ensure!(answer.status.is_redirection(), "{} {}", answer.status, answer.body);
        figures.add(people.stage.until_refused(&cookie, 1).await?);
        sleep(Duration::from_millis(300)).await;
    }
    Ok(figures)
}

async fn talk(people: Arc<People>, number: usize, until: Instant) -> Result<Figures> {
    let mut figures = Figures::default();
    let visitor = people.sign_in(WORKING + 1 + number).await?;
    let (port, origin) = (people.stage.world.public_port(), people.stage.world.public_url());
    let choice = (number % 2).to_string();
    while Instant::now() < until {
        let cookie = visitor.cookies(&people.stage.world.url("/ws"))?;
        let headers =
            [("origin", origin.as_str()), ("cookie", cookie.as_str()), (CHOICE, choice.as_str())];
        let mut socket = websocket::connect(port, "/ws", &headers).await?.open()?;
        for word in 0..30 {
            let asked = Instant::now();
            let word = word.to_string();
            assert_eq!(socket.ask(&word).await?, word);
            figures.add(asked.elapsed());
            sleep(Duration::from_secs(1)).await;
            if Instant::now() > until {
                break;
            }
        }
    }
    Ok(figures)
}

/// Resident memory and descriptors of each gateway, each second: `[gateway][sample]`.
async fn watch(people: Arc<People>, until: Instant) -> Result<Vec<Vec<(u64, usize)>>> {
    let mut samples = vec![Vec::new(); people.stage.replicas.gateways().len()];
    while Instant::now() < until {
        for (gateway, samples) in people.stage.replicas.gateways().iter().zip(&mut samples) {
            let id = gateway.process();
            samples.push((process::resident(id)?, process::descriptors(id)?));
        }
        people.stage.echo.forget();
        sleep(Duration::from_secs(1)).await;
    }
    Ok(samples)
}

fn median<T: Ord + Copy>(samples: &[T]) -> Result<T> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().context("no sample")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soak_makes_no_error_and_no_growth() -> Result<()> {
    let (lasts, growth) = if tools::long_form() { LONG } else { SHORT };
    let people = Arc::new(People::new("soak", WORKING + 1 + SOCKETS, TOKENS_LIVE).await?);
    let before = descriptors(&people)?;
    let until = Instant::now() + lasts;
    let watching = tokio::spawn(watch(Arc::clone(&people), until));
    let (mut working, mut talking) = (JoinSet::new(), JoinSet::new());
    for number in 0..WORKING {
        working.spawn(work(Arc::clone(&people), number, until));
    }
    for number in 0..SOCKETS {
        talking.spawn(talk(Arc::clone(&people), number, until));
    }
    let going = tokio::spawn(come_and_go(Arc::clone(&people), until));
    let (mut requests, mut words) = (Figures::default(), Figures::default());
    while let Some(ended) = working.join_next().await {
        requests.extend(ended??);
    }
    while let Some(ended) = talking.join_next().await {
        words.extend(ended??);
    }
    let sign_outs = going.await??;
    requests.print("soak, requests with a session")?;
    words.print("soak, words on WebSockets")?;
    sign_outs.print("soak, sign-outs at the other replica")?;
    let refreshes = people.issuer.token_requests_by_grant(Grant::RefreshToken);
    note(&format!("soak: {refreshes} refreshes, {} sign-ins and sign-outs", sign_outs.count()));
    ensure!(refreshes > 0, "no token was refreshed");
    assert_eq!(people.issuer.refresh_reuse_detected(), 0);
    for (number, samples) in watching.await??.iter().enumerate() {
        let third = samples.len() / 3;
        let (before, after) = (&samples[third..2 * third], &samples[2 * third..]);
        let memory = |samples: &[(u64, usize)]| -> Result<u64> {
            median(&samples.iter().map(|sample| sample.0).collect::<Vec<_>>())
        };
        let open = |samples: &[(u64, usize)]| -> Result<usize> {
            median(&samples.iter().map(|sample| sample.1).collect::<Vec<_>>())
        };
        let ((was, is), (fds_were, fds_are)) =
            ((memory(before)?, memory(after)?), (open(before)?, open(after)?));
        note(&format!(
            "soak, replica {number}: {} KiB, then {} KiB; {fds_were}, then {fds_are} descriptors",
            was / 1024,
            is / 1024
        ));
        ensure!(is as f64 <= was as f64 * growth, "replica {number} grew from {was} to {is}");
    }
    if tools::long_form() {
        all_closed(&people, &before).await?;
    }
    Ok(())
}

/// Descriptors of each gateway.
fn descriptors(people: &People) -> Result<Vec<usize>> {
    let gateways = people.stage.replicas.gateways().iter();
    gateways.map(|gateway| process::descriptors(gateway.process())).collect()
}

/// Waits until the connections of the load are closed: how many were open at once depends on other work on the machine, but none
/// may stay.
async fn all_closed(people: &People, before: &[usize]) -> Result<()> {
    wait::until("the load's descriptors to be closed", Duration::from_secs(300), async || {
        let now = descriptors(people)?;
        let closed = now.iter().zip(before).all(|(now, before)| *now <= before + 8);
        ensure!(closed, "{before:?} before, {now:?} now");
        Ok(Some(()))
    })
    .await
}
