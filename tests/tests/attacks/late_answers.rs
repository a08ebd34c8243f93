//! Answers that arrive after their session has moved on, where the cookie is the session itself.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::wire::{Answer, Wire};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    sessions::store,
    stage::{Setup, Stage},
};

/// More than a quarter of `session.idle`, after which the cookie is made again.
const LATER: Duration = Duration::from_millis(2200);

async fn stage(name: &str) -> Result<Stage> {
    let setup = store(Setup::new(name), true);
    setup.with_plan(|plan| plan.with_session_setting("idle: 8s")).start().await
}

/// Begins an upload, which the gateway answers when it has ended.
async fn begin(stage: &Stage, cookie: &str) -> Result<Wire> {
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: HOST\r\nCookie: {cookie}\r\nContent-Length: 4\r\n\r\nha"
    );
    let mut wire = stage.connect().await?;
    wire.send(stage.filled(head.as_bytes())).await;
    Ok(wire)
}

/// The cookies of the session that an answer sets.
fn sessions_set(answer: &Answer) -> Vec<String> {
    answer.cookies().into_iter().filter(|cookie| cookie.starts_with("doorward")).collect()
}

/// Ends the only session, as an administrator.
async fn end_session(stage: &Stage) -> Result<()> {
    let (client, url) = (e2e::visitor::plain_client()?, stage.gateway.admin_url("/sessions"));
    let listed = client.get(&url).send().await?.text().await?;
    let listed: Value = serde_json::from_str(&listed)?;
    let id = listed["sessions"][0]["id"].as_str().unwrap_or_default().to_owned();
    let ended = client.delete(format!("{url}/{id}")).send().await?;
    ensure!(ended.status().is_success(), "{}", ended.status());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_sets_no_cookie_of_an_ended_session() -> Result<()> {
    let stage = stage("late-ended").await?;
    let cookie = stage.sign_in("alice").await?;
    sleep(LATER).await;
    let mut late = begin(&stage, &cookie).await?;
    sleep(Duration::from_millis(300)).await;
    end_session(&stage).await?;
    let answer = late.answer().await?;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.cookies(), Vec::<String>::new());
    assert_eq!(stage.get("/echo").header("Cookie", &cookie).send().await?.status, 401);
    stage.finish(&[&cookie])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_sets_the_newest_cookie() -> Result<()> {
    let stage = stage("late-newest").await?;
    let cookie = stage.sign_in("alice").await?;
    sleep(LATER).await;
    let mut late = begin(&stage, &cookie).await?;
    sleep(LATER).await;
    let between = stage.get("/echo").header("Cookie", &cookie).send().await?;
    let newest = sessions_set(&between);
    assert_eq!(between.status, 200);
    ensure!(!newest.is_empty(), "the cookie was not made again");
    late.send("ha").await;
    let answer = late.answer().await?;
    assert_eq!(answer.status, 200);
    ensure!(sessions_set(&answer) == newest, "another cookie than the newest one");
    stage.finish(&[&cookie])
}
