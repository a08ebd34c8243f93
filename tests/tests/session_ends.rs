//! The end of a session while people work: each application says so, and goes on after its user signed in again elsewhere.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{World, gateway::Plan, jupyterhub::JupyterHub, keycloak::GATEWAY_CLIENT, wait};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(90);

/// The status and the `message` of a request as JupyterLab makes it.
const ASK_THE_API: &str = "fetch('/jupyter/user/alice/api/contents', { cache: 'no-store' })
    .then(answer => answer.json().then(body => [answer.status, body.message]))";

/// Whether a kernel's socket was ended with its session.
fn was_cut(log: &[Value]) -> bool {
    log.iter().any(|line| {
        let path = line["path"].as_str().unwrap_or_default();
        line["msg"] == "stream ended"
            && path.contains("/api/kernels/")
            && line["reason"] == "the session has ended"
    })
}

/// Whether a socket of the kernel was opened after one was cut.
fn reconnected(log: &[Value]) -> bool {
    let cut = log.iter().position(|line| was_cut(std::slice::from_ref(line)));
    let opened = |line: &Value| {
        let path = line["path"].as_str().unwrap_or_default();
        line["status"] == 101 && path.contains("/api/kernels/")
    };
    cut.and_then(|cut| log.get(cut..)).is_some_and(|later| later.iter().any(opened))
}

#[tokio::test(flavor = "multi_thread")]
async fn unsaved_work_and_its_kernel_survive_the_session() -> Result<()> {
    let world = World::new("session-ends-lab")?;
    let realm = world.notebook_realm().await?;
    let back_channel = json!({
        "backchannel.logout.url": world.url("/oauth2/backchannel_logout"),
        "backchannel.logout.session.required": "true",
    });
    realm.set_client_attributes(GATEWAY_CLIENT, &back_channel).await?;
    let hub = world.jupyterhub(&realm).await?;
    let gateway = Plan::new(&world, &realm, &hub.routes())?.start().await?;
    let person = world.browser().await?.person().await?;
    let page = person.tab().await?;
    page.goto(&world.url("/jupyter/hub/spawn")).await?;
    page.log_in("alice").await?;
    page.wait_for_url(&world.url("/jupyter/user/alice/lab"), PATIENCE).await?;
    JupyterHub::run_cell(&page, "value = 41; print('first', value)", "first 41").await?;
    // The next cell has the focus; what is typed there is saved nowhere.
    page.type_text("print('kept', value + 1)").await?;

    realm.log_out("alice").await?;
    wait::until("the kernel's socket to be closed", PATIENCE, async || {
        Ok(was_cut(&gateway.log_lines()?).then_some(()))
    })
    .await?;
    let answer = page.eval(ASK_THE_API).await?;
    assert_eq!(answer[0], 424, "the status that JupyterLab waits on");
    ensure!(answer[1].as_str().is_some_and(|text| text.contains("signed out")), "{answer}");
    wait::until("JupyterLab to ask for its kernel", PATIENCE, async || {
        let asked = |line: &String| line.starts_with("424 GET") && line.contains("/api/kernels/");
        Ok(page.answers().await?.iter().any(asked).then_some(()))
    })
    .await?;
    let state = page.text("#jp-main-statusbar").await?;
    ensure!(!state.contains("Dead") && !state.contains("Unknown"), "{state}");

    let other = person.tab().await?;
    other.goto(&world.url("/jupyter/hub/home")).await?;
    other.log_in("alice").await?;
    other.wait_for_url(&world.url("/jupyter/hub/home"), PATIENCE).await?;
    other.close().await?;

    // JupyterLab looks for its kernel every 10 to 30 s, and connects again.
    wait::until("the kernel's socket to be open again", PATIENCE, async || {
        Ok(reconnected(&gateway.log_lines()?).then_some(()))
    })
    .await?;
    while page.count(".jp-Dialog").await? > 0 {
        page.press("Escape").await?;
    }
    let unsaved = ".jp-Notebook .jp-CodeCell >> nth=1";
    ensure!(page.text(unsaved).await?.contains("print('kept', value + 1)"), "the cell is lost");
    page.click(&format!("{unsaved} >> .cm-content")).await?;
    page.press("Shift+Enter").await?;
    page.wait_for_text(".jp-OutputArea-output", "kept 42", PATIENCE).await?;
    page.wait_for_text("#jp-main-statusbar", "Idle", PATIENCE).await?;
    gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamlit_page_says_so_and_goes_on() -> Result<()> {
    let world = World::new("session-ends-streamlit")?;
    let (realm, dashboard) = (world.realm().await?, world.streamlit().await?);
    let routes = format!(
        "dashboard:\n  match: {{ path: /dashboard }}\n  upstream: {}\n  preset: streamlit\n  access: [{{ allow: signed_in }}]",
        dashboard.url()
    );
    let gateway = Plan::new(&world, &realm, &routes)?.start().await?;
    let person = world.browser().await?.person().await?;
    let page = person.tab().await?;
    page.goto(&world.url("/dashboard/")).await?;
    page.log_in("alice").await?;
    page.wait_for_url(&world.url("/dashboard/"), PATIENCE).await?;
    for presses in 1..=2 {
        page.click("button:has-text('Press')").await?;
        page.wait_for_text("body", &format!("pressed {presses} times"), PATIENCE).await?;
    }

    let sessions = gateway.admin_url("/sessions");
    let client = e2e::visitor::plain_client()?;
    let listed: Value = serde_json::from_str(&client.get(&sessions).send().await?.text().await?)?;
    let id = listed["sessions"][0]["id"].as_str().unwrap_or_default().to_owned();
    let ended = client.delete(format!("{sessions}/{id}")).send().await?;
    ensure!(ended.status().is_success(), "{}", ended.status());
    page.wait_for_text("body", "You are signed out.", PATIENCE).await?;
    page.screenshot("streamlit-signed-out").await?;

    let other = person.tab().await?;
    other.goto(&world.url("/dashboard/")).await?;
    other.wait_for_url(&world.url("/dashboard/"), PATIENCE).await?;
    other.close().await?;

    // The page's own state is still there.
    wait::until("the page to be connected again", PATIENCE, async || {
        let text = page.text("body").await?;
        Ok((!text.contains("signed out") && page.count("[role=dialog]").await? == 0).then_some(()))
    })
    .await?;
    page.click("button:has-text('Press')").await?;
    page.wait_for_text("body", "pressed 3 times", PATIENCE).await?;
    gateway.finish(&[])
}
