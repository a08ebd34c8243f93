//! Figures for sizing a deployment: memory of the store for each session, processor time of a gateway for each sign-in and each
//! refresh. `just sizing` runs it; `DOORWARD_SESSIONS` changes the number of sessions.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use dev_issuer::Grant;
use e2e::{process, tools};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{figures::note, people::People};

/// Users; each has as many sessions as it takes.
const USERS: usize = 1_000;
/// Requests at the same time.
const TOGETHER: usize = 16;

async fn used_memory(people: &People) -> Result<u64> {
    let memory = people.valkey.ask(&["INFO", "memory"]).await?;
    let line = memory.text().lines().find_map(|line| line.strip_prefix("used_memory:"));
    Ok(line.context("no used_memory")?.trim().parse()?)
}

fn processor_time(people: &People) -> Result<Duration> {
    let gateways = people.stage.replicas.gateways().iter();
    gateways.map(|gateway| process::processor_time(gateway.process())).sum()
}

/// Performs `count` tasks, `TOGETHER` at a time.
async fn each<F>(count: usize, task: impl Fn(usize) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut running = JoinSet::new();
    for number in 0..count {
        if running.len() >= TOGETHER {
            running.join_next().await.context("no task")???;
        }
        running.spawn(task(number));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `just sizing` runs it"]
async fn figures_for_sizing() -> Result<()> {
    let sessions = tools::sessions_to_size().unwrap_or(100_000);
    let people = Arc::new(People::new("sizing", USERS, Duration::from_secs(3_600)).await?);
    // Connections, scripts and the first records are no part of the figures.
    people.sign_in(0).await?;
    let (began, memory, time) =
        (Instant::now(), used_memory(&people).await?, processor_time(&people)?);
    each(sessions, |number| {
        let people = Arc::clone(&people);
        async move {
            people.sign_in(number % USERS).await?;
            if number % 1_000 == 0 {
                people.stage.echo.forget();
            }
            Ok(())
        }
    })
    .await?;
    let (wall, time) = (began.elapsed(), processor_time(&people)?.saturating_sub(time));
    let bytes = used_memory(&people).await?.saturating_sub(memory) as f64 / sessions as f64;
    let each_sign_in = time.as_secs_f64() / sessions as f64;
    note(&format!(
        "sizing: {sessions} sign-ins in {wall:.0?}; {:.2} ms of processor time each, so {:.0} a second on one core",
        each_sign_in * 1_000.0,
        1.0 / each_sign_in
    ));
    note(&format!(
        "sizing: {bytes:.0} bytes of Valkey for a session, {:.0} sessions for 1 MiB; a million: {:.1} GiB",
        1_048_576.0 / bytes,
        bytes * 1e6 / 1_073_741_824.0
    ));
    refreshes().await
}

/// Refreshes of tokens that have ended, each by a request that waits for it.
async fn refreshes() -> Result<()> {
    const COUNT: usize = 500;
    const LIVES: Duration = Duration::from_secs(40);
    let people = Arc::new(People::new("sizing-refresh", COUNT, LIVES).await?);
    let began = Instant::now();
    let mut visitors = Vec::new();
    for number in 0..COUNT {
        visitors.push(Arc::new(people.sign_in(number).await?));
    }
    ensure!(began.elapsed() < LIVES, "tokens ended before the last sign-in");
    sleep(LIVES).await;
    let granted = || people.issuer.token_requests_by_grant(Grant::RefreshToken);
    let (before, time) = (granted(), processor_time(&people)?);
    each(COUNT, |number| {
        let (people, visitor) = (Arc::clone(&people), visitors.get(number).cloned());
        async move {
            let visitor = visitor.context("no visitor")?;
            let answer = people.stage.fetch(&visitor, number % 2, "/x").await?;
            ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
            Ok(())
        }
    })
    .await?;
    let (time, grants) = (processor_time(&people)?.saturating_sub(time), granted() - before);
    let each = time.as_secs_f64() / grants as f64;
    note(&format!(
        "sizing: {grants} refreshes; {:.2} ms of processor time each, so {:.0} a second on one core",
        each * 1_000.0,
        1.0 / each
    ));
    Ok(())
}
