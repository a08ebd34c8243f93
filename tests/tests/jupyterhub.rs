//! A notebook user: signs in once, starts a server of the right size, calls models with fresh tokens, signs out.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use e2e::{
    World, gateway::Plan, jupyterhub::JupyterHub, keycloak::GATEWAY_CLIENT, token_text::has_token,
    tools, visitor::Visitor, wait,
};
use serde_json::json;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(90);
/// Lifetime of access tokens in seconds: shorter than the scenario.
const TOKENS_LIVE: u32 = 12;

/// One more connection to the running kernel, from the page that JupyterLab is in.
const OPEN_KERNEL_SOCKET: &str = "(async () => {
    const base = '/jupyter/user/alice/api/kernels';
    const xsrf = decodeURIComponent(document.cookie.match(/_xsrf=([^;]+)/)[1]);
    const answer = await fetch(base, { headers: { 'X-XSRFToken': xsrf } });
    const [kernel] = await answer.json();
    const socket = new WebSocket(`${base}/${kernel.id}/channels?_xsrf=${encodeURIComponent(xsrf)}`);
    window.kernelSocketClosed = new Promise(closed => { socket.onclose = event => closed(event.code); });
    return new Promise((opened, refused) => {
        socket.onopen = () => opened('open');
        socket.onerror = () => refused(new Error('refused'));
    });
})()";

#[tokio::test(flavor = "multi_thread")]
async fn a_notebook_has_fresh_tokens_until_its_user_signs_out() -> Result<()> {
    let world = World::new("jupyterhub")?;
    let realm = world.notebook_realm().await?;
    realm.access_tokens_live(TOKENS_LIVE).await?;
    let back_channel = json!({
        "backchannel.logout.url": world.url("/oauth2/backchannel_logout"),
        "backchannel.logout.session.required": "true",
    });
    realm.set_client_attributes(GATEWAY_CLIENT, &back_channel).await?;
    let (hub, api) = (world.jupyterhub(&realm).await?, world.guarded_model_api().await?);
    let routes = format!(
        "{}
scoring:
  match: {{ path: /models/churn }}
  upstream: {}
  sign_in: challenge
  access: [{{ allow: {{ roles: [data-scientist] }} }}]",
        hub.routes(),
        api.url()
    );
    let plan = Plan::new(&world, &realm, &routes)?.with_issuer_setting("leeway: 0s");
    let gateway = plan.start().await?;

    let bob = Visitor::new()?;
    let refused = bob.log_in(&world.url("/jupyter/hub/spawn"), "bob").await?;
    assert_eq!(refused.status, 403, "bob lacks the role: {}", refused.body);
    assert_eq!(bob.fetch(&world.url("/jupyter/user/bob/api")).await?.status, 403);
    assert!(!hub.output().contains("bob"), "and no request of his reached the hub");

    let page = world.browser().await?.person().await?.tab().await?;
    page.goto(&world.url("/jupyter/hub/spawn")).await?;
    page.log_in("alice").await?;
    page.wait_for_url(&world.url("/jupyter/user/alice/lab"), PATIENCE).await?;
    let answers = page.answers().await?;
    let form = answers.iter().find(|line| line.starts_with("200") && line.contains("/hub/login"));
    assert_eq!(form, None, "the hub has no login form");
    let logins = realm.events("LOGIN").await?;
    let of_alice = logins.iter().filter(|event| event["details"]["username"] == "alice").count();
    assert_eq!(of_alice, 1, "there was one login only: {logins:?}");

    let cell = tools::fixture("notebook_cell.py");
    let code = format!("%run {} {}", cell.display(), world.url("/models/churn"));
    JupyterHub::run_cell(&page, &code, "all is well").await?;
    let output = page.text(".jp-OutputArea").await?;
    for line in [
        "limits 2147483648 1.5",
        "first {'username': 'alice', 'client': 'jupyterhub'}",
        "later {'username': 'alice', 'client': 'jupyterhub'}",
        "exchanged alice ['other']",
        "refused notebooks may not ask for tokens for 'realm-management'",
    ] {
        assert!(output.contains(line), "«{line}» is missing in {output}");
    }

    assert_eq!(page.eval(OPEN_KERNEL_SOCKET).await?, "open");

    realm.log_out("alice").await?;
    let closed = timeout(Duration::from_secs(15), page.eval("window.kernelSocketClosed")).await;
    closed.context("the kernel's web socket outlived the session")??;
    let last = hub.home("alice").join("last-answer");
    wait::until("the running notebook to be refused a token", PATIENCE, async || {
        let said = std::fs::read_to_string(&last)?;
        Ok((said == "\"sign_in_needed\"").then_some(()))
    })
    .await?;

    page.goto(&world.url("/jupyter/hub/home")).await?;
    page.log_in("alice").await?;
    page.wait_for_url(&world.url("/jupyter/hub/home"), PATIENCE).await?;
    wait::until("the running notebook to have a token again", PATIENCE, async || {
        Ok((std::fs::read_to_string(&last)? == "\"token\"").then_some(()))
    })
    .await?;
    page.goto(&world.url("/jupyter/hub/logout")).await?;
    page.wait_for_url(&world.url("/oauth2/sign_out"), PATIENCE).await?;

    let log = hub.output();
    assert!(!has_token(&log) && !log.contains("Bearer "), "a token is in the hub's log");
    gateway.finish(&[])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_uses_the_hubs_own_token_beside_its_own() -> Result<()> {
    let world = World::new("jupyterhub-api")?;
    let realm = world.notebook_realm().await?;
    let hub = world.jupyterhub(&realm).await?;
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides/jupyterhub.md");
    let guide = std::fs::read_to_string(guide)?;
    let section = guide.split("\n## Programs with the hub's own tokens\n").nth(1);
    let section = section.context("the section of the guide")?;
    let block = |fence: &str| section.split(fence).nth(1)?.split("```").next();
    let route = block("```yaml\nroutes:\n").context("the route")?;
    let route: String = route
        .lines()
        .map(|line| format!("{}\n", line.replacen("  ", "", 1)))
        .collect::<String>()
        .replace("http://127.0.0.1:8000", &hub.url());
    let routes = format!("{}\n{route}", hub.routes());
    let gateway = Plan::new(&world, &realm, &routes)?.start().await?;
    let ours = realm.client_credentials("airflow-run", None).await?;
    let line = block("```sh\n").context("the line")?;
    let line = line
        .replace("https://platform.example", &world.public_url())
        .replace("$(doorward token)", "$TOKEN");
    let run = async |own: &str, ours: &str| {
        let mut shell = tokio::process::Command::new("bash");
        let shell = shell.args(["-c", &line]).env("JUPYTERHUB_API_TOKEN", own).env("TOKEN", ours);
        anyhow::Ok(shell.env_remove("http_proxy").output().await?)
    };
    let ran = run("the-hubs-own-token-of-ci", &ours).await?;
    let answer = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success() && answer.starts_with('['), "{ran:?}");
    let asked =
        |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let ran = run("another", &ours).await?;
    assert!(asked(&ran).contains("403"), "the hub refuses: {ran:?}");
    let ran = run("the-hubs-own-token-of-ci", "").await?;
    assert!(asked(&ran).contains("401"), "the gateway refuses: {ran:?}");
    gateway.finish(&[])
}
