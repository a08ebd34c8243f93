//! Reloads a changed file while users work; a broken file changes nothing.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use e2e::{
    World,
    gateway::{Gateway, Plan},
    visitor::{Visitor, plain_client},
    wait,
    websocket::connect,
};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Sends twenty requests a second until stopped; returns the number of successes and the errors.
struct Load {
    stop: watch::Sender<bool>,
    task: JoinHandle<(usize, Vec<String>)>,
}

impl Load {
    /// People and programs in turn.
    fn start(url: String, visitor: Arc<Visitor>, token: String) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_millis(50));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut requests = JoinSet::new();
            for number in 0_usize.. {
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => break,
                    _ = ticks.tick() => {}
                }
                let (url, token) = (format!("{url}?{number}"), token.clone());
                let person = (number % 2 == 0).then(|| Arc::clone(&visitor));
                requests.spawn(async move { ask(&url, person.as_deref(), &token).await });
            }
            let answers = requests.join_all().await;
            let failed: Vec<_> = answers
                .iter()
                .filter_map(|answer| Some(format!("{:#}", answer.as_ref().err()?)))
                .collect();
            (answers.len() - failed.len(), failed)
        });
        Self { stop, task }
    }

    async fn stop(self) -> Result<(usize, Vec<String>)> {
        self.stop.send_replace(true);
        Ok(self.task.await?)
    }
}

async fn ask(url: &str, person: Option<&Visitor>, token: &str) -> Result<()> {
    let (status, body) = match person {
        Some(visitor) => {
            let answer = visitor.fetch(url).await?;
            (answer.status, answer.body)
        }
        None => {
            let answer = plain_client()?.get(url).bearer_auth(token).send().await?;
            (answer.status(), answer.text().await?)
        }
    };
    ensure!(status == 200, "{url}: {status} {body}");
    Ok(())
}

/// Writes a file as an editor does, in place, or as Kubernetes does, by a rename.
fn write(path: &Path, text: &str, in_place: bool) -> Result<()> {
    if in_place {
        std::fs::write(path, text)?;
    } else {
        let fresh = path.with_extension("fresh");
        std::fs::write(&fresh, text)?;
        std::fs::rename(fresh, path)?;
    }
    Ok(())
}

async fn until_extra_answers(world: &World, status: u16) -> Result<()> {
    wait::until(&format!("/extra to answer {status}"), PATIENCE, async || {
        let answer = plain_client()?.get(world.url("/extra")).send().await?;
        Ok((answer.status() == status).then_some(()))
    })
    .await
}

async fn refused_reloads(gateway: &Gateway) -> Result<f64> {
    let metrics = gateway.metrics().await?;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("doorward_config_reloads_total") && line.contains("refused"));
    Ok(match line {
        Some(line) => line.rsplit(' ').next().context("no value")?.parse()?,
        None => 0.0,
    })
}

async fn nothing_is_dropped_by_a_reload(name: &str, cookie_sessions: bool) -> Result<()> {
    const EVENTS: usize = 60;
    let world = World::new(name)?;
    let (realm, echo) = (world.realm().await?, world.echo().await?);
    let routes = format!(
        "page:\n  match: {{ path: / }}\n  upstream: {}\n  access: [{{ allow: signed_in }}]",
        echo.url()
    );
    let mut plan = Plan::new(&world, &realm, &routes)?;
    if cookie_sessions {
        plan = plan.with_cookie_sessions();
    }
    let gateway = plan.start().await?;
    let visitor = Arc::new(Visitor::new()?);
    visitor.log_in(&world.url("/inbox"), "alice").await?;
    let token = realm.client_credentials("airflow-run", None).await?;

    let (origin, cookie) = (world.public_url(), visitor.cookies(&world.url("/ws"))?);
    let headers = [("origin", origin.as_str()), ("cookie", cookie.as_str())];
    let mut socket = connect(world.public_port(), "/ws", &headers).await?.open()?;
    let stream = tokio::spawn({
        let (url, token) = (world.url(&format!("/sse?n={EVENTS}&ms=150")), token.clone());
        async move {
            let answer = plain_client()?.get(url).bearer_auth(token).send().await?;
            anyhow::Ok(answer.text().await?)
        }
    });
    let load = Load::start(world.url("/work"), Arc::clone(&visitor), token.clone());

    let first = std::fs::read_to_string(gateway.config())?;
    let second = format!(
        "{first}  extra:\n    match: {{ path: /extra }}\n    upstream: {}\n    access: [{{ allow: anyone }}]\n",
        echo.url()
    );
    for (in_place, hang_up) in [(true, false), (false, false), (true, true), (false, true)] {
        for (text, status) in [(&second, 200), (&first, 401)] {
            write(gateway.config(), text, in_place)?;
            if hang_up {
                gateway.hang_up();
            }
            until_extra_answers(&world, status).await?;
        }
    }

    for (broken, hang_up) in [
        (second.replace("allow: anyone", "alow: anyone"), false),
        (second.replace("upstream: http://", "upstream: gopher://"), true),
        ("routes: [".to_owned(), true),
        (String::new(), true),
    ] {
        let before = refused_reloads(&gateway).await?;
        write(gateway.config(), &broken, false)?;
        if hang_up {
            gateway.hang_up();
        }
        wait::until("the broken file to be refused", PATIENCE, async || {
            Ok((refused_reloads(&gateway).await? > before).then_some(()))
        })
        .await?;
        until_extra_answers(&world, 401).await?;
    }
    let log = gateway.log_lines()?;
    let reasons: Vec<_> = log
        .iter()
        .filter(|line| {
            line["msg"].as_str().is_some_and(|said| said.contains("configuration refused"))
        })
        .collect();
    ensure!(
        reasons.iter().any(|line| line["reason"].as_str().is_some_and(|p| p.contains("alow"))),
        "the log names what is wrong with the file: {reasons:#?}"
    );
    write(gateway.config(), &second, false)?;
    until_extra_answers(&world, 200).await?;

    let (answered, failed) = load.stop().await?;
    assert!(failed.is_empty(), "{} of {answered} failed: {failed:#?}", failed.len());
    assert!(answered > 60, "only {answered} requests were made meanwhile");
    assert_eq!(stream.await??.matches("data: event").count(), EVENTS);
    assert_eq!(socket.ask("still here").await?, "still here");
    assert_eq!(realm.sessions("alice").await?.len(), 1);
    let mut secrets = visitor.cookie_values();
    secrets.push(token);
    gateway.finish(&secrets)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_fails_no_request_and_a_broken_file_is_refused() -> Result<()> {
    nothing_is_dropped_by_a_reload("reload", false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_fails_no_request_with_cookie_sessions() -> Result<()> {
    nothing_is_dropped_by_a_reload("reload-cookie", true).await
}
