//! The README's first command: a login page, with nothing else installed.

use std::{process::Command, time::Duration};

use anyhow::Result;
use e2e::{World, program::Program, tools, visitor::Visitor, wait, world::free_port};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_serves_a_login_page_and_lets_alice_in() -> Result<()> {
    let world = World::new("demo")?;
    let port = free_port()?;
    let mut command = Command::new(tools::doorward()?);
    command.args(["demo", "--port"]).arg(port.to_string()).current_dir(world.folder());
    let mut demo = Program::start("demo", world.folder(), &mut command)?;
    let url = wait::until("the demo's URL", Duration::from_secs(20), async || {
        demo.check_running()?;
        let output = demo.output();
        let at = output.find("http://");
        let url =
            at.and_then(|at| output.get(at..)).and_then(|rest| rest.split_whitespace().next());
        let url = url.filter(|_| output.contains("curl")).map(str::to_owned);
        if let Some(url) = &url {
            Visitor::new()?.open(url).await?;
        }
        Ok(url)
    })
    .await?;
    assert!(url.contains(&port.to_string()), "{url}");

    let page = world.browser().await?.person().await?.tab().await?;
    assert_eq!(page.goto(&url).await?, 200);
    if page.count("input[name=username]").await? == 0 {
        // A page before the login: its first button leads there.
        page.click("a.button.primary, button.primary, main a").await?;
    }
    page.wait_for("input[name=username]", Duration::from_secs(20)).await?;
    page.screenshot("demo-login").await?;
    page.fill("input[name=username]", "alice").await?;
    page.fill("input[name=password]", "alice").await?;
    page.press("Enter").await?;
    page.wait_for_url(url.trim_end_matches('/'), Duration::from_secs(20)).await?;
    page.wait_for_text("body", "alice", Duration::from_secs(20)).await?;
    page.screenshot("demo-home").await?;
    Ok(())
}
