//! The end of a session while people work: each application says so, and goes on after its user signed in again elsewhere.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{
    World,
    applications::{Dashboard, Framework},
    browser::{Page, Person},
    gateway::{Gateway, Plan},
    jupyterhub::JupyterHub,
    keycloak::{GATEWAY_CLIENT, Realm},
    wait,
};
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

/// A gateway before a dashboard, and a person who has signed in and pressed its button twice.
struct Visit {
    realm: Realm,
    gateway: Gateway,
    page: Page,
    person: Person,
    url: String,
    _dashboard: Dashboard,
}

impl Visit {
    async fn to(framework: Framework, name: &str) -> Result<Self> {
        let world = World::new(name)?;
        let (realm, dashboard) = (world.realm().await?, world.dashboard(framework).await?);
        let back_channel = json!({
            "backchannel.logout.url": world.url("/oauth2/backchannel_logout"),
            "backchannel.logout.session.required": "true",
        });
        realm.set_client_attributes(GATEWAY_CLIENT, &back_channel).await?;
        let gateway = Plan::new(&world, &realm, &dashboard.route())?.start().await?;
        let person = world.browser().await?.person().await?;
        let url = world.url(dashboard.page());
        let page = person.sign_in(&url, "alice").await?;
        page.wait_for_text("body", "pressed 0 times", PATIENCE).await?;
        Dashboard::press(&page, 1..=2).await?;
        Ok(Self { realm, gateway, page, person, url, _dashboard: dashboard })
    }

    /// Ends the session as an administrator of the gateway does; the one at Keycloak goes on.
    async fn end_here(&self) -> Result<()> {
        let sessions = self.gateway.admin_url("/sessions");
        let client = e2e::visitor::plain_client()?;
        let listed = client.get(&sessions).send().await?.text().await?;
        let listed: Value = serde_json::from_str(&listed)?;
        let id = listed.pointer("/sessions/0/id").and_then(Value::as_str).unwrap_or_default();
        let ended = client.delete(format!("{sessions}/{id}")).send().await?;
        ensure!(ended.status().is_success(), "{}", ended.status());
        Ok(())
    }

    /// Signs in again in a new tab. Keycloak's session goes on, so that there is no form.
    async fn sign_in_again(&self) -> Result<()> {
        let other = self.person.tab().await?;
        other.goto(&self.url).await?;
        other.wait_for_url(&self.url, PATIENCE).await?;
        other.close().await
    }

    /// The same after a sign-out at Keycloak, by the link in the notice.
    async fn follow_the_notice(&self, user: &str) -> Result<()> {
        let link = self.page.eval("document.querySelector('#doorward-signed-out a').href").await?;
        let other = self.person.tab().await?;
        other.goto(link.as_str().unwrap_or_default()).await?;
        other.log_in(user).await?;
        other.wait_for_url(&self.url, PATIENCE).await?;
        other.close().await
    }

    /// The notice of `signed_out.js` says this.
    async fn notice_says(&self, text: &str) -> Result<()> {
        self.page.wait_for_text("#doorward-signed-out", text, PATIENCE).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamlit_page_says_so_and_goes_on() -> Result<()> {
    let visit = Visit::to(Framework::Streamlit, "session-ends-streamlit").await?;
    visit.end_here().await?;
    visit.page.wait_for_text("body", "You are signed out.", PATIENCE).await?;
    visit.page.screenshot("streamlit-signed-out").await?;
    visit.sign_in_again().await?;
    // The page's own state is still there.
    wait::until("the page to be connected again", PATIENCE, async || {
        let text = visit.page.text("body").await?;
        let quiet = visit.page.count("[role=dialog]").await? == 0;
        Ok((!text.contains("signed out") && quiet).then_some(()))
    })
    .await?;
    Dashboard::press(&visit.page, 3..=3).await?;
    visit.gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shiny_page_says_so_and_connects_again() -> Result<()> {
    let visit = Visit::to(Framework::Shiny, "session-ends-shiny").await?;
    visit.realm.log_out("alice").await?;
    visit.notice_says("You are signed out.").await?;
    visit.page.wait_for("#shiny-disconnected-overlay", PATIENCE).await?;
    visit.page.wait_for_text("body", "Attempting to reconnect", PATIENCE).await?;
    visit.page.screenshot("shiny-signed-out").await?;
    visit.follow_the_notice("alice").await?;
    visit.notice_says("You are signed in again.").await?;
    wait::until("the page to be connected again", PATIENCE, async || {
        Ok((visit.page.count("#shiny-disconnected-overlay").await? == 0).then_some(()))
    })
    .await?;
    // The page brings its inputs along.
    Dashboard::press(&visit.page, 3..=3).await?;
    visit.gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panel_page_says_so_and_is_reloaded() -> Result<()> {
    let visit = Visit::to(Framework::Panel, "session-ends-panel").await?;
    visit.end_here().await?;
    visit.notice_says("You are signed out.").await?;
    visit.page.wait_for_text("body", "Server connection lost.", PATIENCE).await?;
    visit.page.screenshot("panel-signed-out").await?;
    visit.sign_in_again().await?;
    visit.notice_says("You are signed in again.").await?;
    visit.page.click("text=reload it").await?;
    visit.page.wait_for_text("body", "pressed 0 times", PATIENCE).await?;
    Dashboard::press(&visit.page, 1..=1).await?;
    visit.gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dash_page_says_so_and_goes_on() -> Result<()> {
    let visit = Visit::to(Framework::Dash, "session-ends-dash").await?;
    visit.end_here().await?;
    // Dash has no connection to lose: the next press is refused.
    visit.page.click("button:has-text('Press')").await?;
    visit.notice_says("You are signed out.").await?;
    visit.page.screenshot("dash-signed-out").await?;
    visit.sign_in_again().await?;
    visit.notice_says("You are signed in again.").await?;
    Dashboard::press(&visit.page, 4..=4).await?;
    visit.gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_that_it_is_another_users() -> Result<()> {
    let visit = Visit::to(Framework::Dash, "session-ends-another").await?;
    visit.end_here().await?;
    visit.realm.log_out("alice").await?;
    visit.page.click("button:has-text('Press')").await?;
    visit.notice_says("You are signed out.").await?;
    visit.follow_the_notice("bob").await?;
    visit.notice_says("Another user is signed in now").await?;
    visit.gateway.finish(&[])
}
