//! A notebook person's day: sign in, start a server, open JupyterLab, run a cell.

use std::time::Duration;

use anyhow::Result;
use e2e::{World, gateway::Plan, jupyterhub::JupyterHub};

const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_runs_through_the_kernels_web_socket() -> Result<()> {
    let world = World::new("jupyterhub")?;
    let (realm, hub) = (world.realm().await?, world.jupyterhub().await?);
    let routes = format!(
        "jupyter:
  title: JupyterHub
  match: {{ path: /jupyter }}
  upstream: {}
  preset: jupyterhub
  access:
    - {{ path: /jupyter/hub/health, allow: anyone }}
    - {{ allow: {{ roles: [data-scientist, admin] }} }}",
        hub.url()
    );
    let gateway = Plan::new(&world, &realm, &routes)?.start().await?;
    let page = world.browser().await?.person().await?.tab().await?;
    page.goto(&world.url("/jupyter/hub/spawn")).await?;
    page.log_in("alice").await?;
    page.wait_for_url(&world.url("/jupyter/user/alice/lab"), PATIENCE).await?;
    // The value shows that a kernel computed it; the name, that it is alice's own server.
    let code = "import getpass, os; print(6 * 7, os.environ['JUPYTERHUB_USER'])";
    JupyterHub::run_cell(&page, code, "42 alice").await?;
    gateway.finish(&[])
}
