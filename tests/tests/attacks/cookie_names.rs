//! Several gateways on one host: cookies have no port, so each gateway gets the cookies of the others.

use anyhow::{Result, ensure};

use crate::{
    browser::{Browser, who},
    stage::{Setup, Stage},
};

async fn named(stage: &str, name: &'static str) -> Result<Stage> {
    let setting =
        move |plan: e2e::gateway::Plan| plan.with_session_setting(&format!("cookie_name: {name}"));
    Setup::new(stage).with_plan(setting).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_of_a_host_keep_their_own_sessions() -> Result<()> {
    let plain = Stage::new("cookie-names-plain").await?;
    let lab = named("cookie-names-lab", "doorward-lab").await?;
    let (one, two) = (Browser::signed_in(&plain, "alice").await?, Browser::new(&lab));
    // The browser sends all cookies of the host to both.
    let shared = one.cookie();
    let (name, value) = shared.split_once('=').unwrap_or_default();
    two.plant(name, value);
    ensure!(two.sign_in("bob").await?.status == 302);
    let all = two.cookie();
    ensure!(all.contains(&shared) && all.contains("doorward-lab="), "{all}");
    assert_eq!(who(&plain, &all).await?.as_deref(), Some("alice"));
    assert_eq!(who(&lab, &all).await?.as_deref(), Some("bob"));

    // Neither upstream gets a cookie of the gateway before it.
    let sent = format!("a=1; {all}; doorward-lab.1=x; doorward-lab-login-abcdefgh=x");
    assert_eq!(lab.get("/echo").header("Cookie", sent).send().await?.status, 200);
    let seen = lab.upstream.last("/echo")?;
    assert_eq!(seen.value("cookie").as_deref(), Some("a=1"));
    plain.finish(&[&shared])?;
    lab.finish(&[&all])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_of_another_gateway_is_left_in_the_browser() -> Result<()> {
    let one = Stage::new("cookie-names-one").await?;
    let key = std::env::temp_dir().join(format!("doorward-other-key-{}", std::process::id()));
    std::fs::write(&key, "another session key of at least thirty-two bytes")?;
    // A second gateway with the same cookie name and another key.
    let other = Setup::new("cookie-names-other").start().await?;
    super::open_streams::reload(
        &other,
        &session_key_line(&other)?,
        &format!("key: {{ file: {} }}", key.display()),
    )
    .await?;
    let browser = Browser::new(&one);
    let at_provider = browser.begin("/echo").await?;
    let begun = browser.cookie();
    let (name, value) = begun.split_once('=').unwrap_or_default();
    let theirs = Browser::new(&other);
    theirs.plant(name, value);
    ensure!(
        theirs.begin("/echo").await?.as_str().contains("state=") || !theirs.cookie().is_empty()
    );
    ensure!(
        theirs.cookie().contains(&begun),
        "the login of the first gateway is gone: {}",
        theirs.cookie()
    );
    let back = crate::browser::callback(&one, &at_provider, "alice")?;
    assert_eq!(browser.open(&back).await?.header("location"), "/echo");
    std::fs::remove_file(key)?;
    one.finish(&[])
}

/// The line of the configuration that names the session key.
fn session_key_line(stage: &Stage) -> Result<String> {
    let text = std::fs::read_to_string(stage.gateway.config())?;
    let line = text.lines().find(|line| line.contains("session-key"));
    Ok(line.unwrap_or_default().trim().to_owned())
}
