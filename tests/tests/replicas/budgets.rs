//! Budgets of tokens that several gateways share by the store.

use std::time::Duration;

use anyhow::{Result, ensure};
use dev_issuer::Mint;
use e2e::{replicas::CHOICE, visitor::plain_client, wait};

use crate::people::People;

const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the model at one of the replicas; the status of the answer.
async fn ask(people: &People, token: &str, replica: usize) -> Result<u16> {
    let url = people.stage.world.url("/budget/v1/completions");
    let asked = plain_client()?.post(&url).bearer_auth(token).body("{}");
    let answer = asked.header(CHOICE, replica.to_string()).send().await?;
    let status = answer.status().as_u16();
    answer.bytes().await?;
    Ok(status)
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_budget_of_a_user() -> Result<()> {
    let people = People::new("replicas-budgets", 2, Duration::from_secs(600)).await?;
    let token = |user: &str| people.issuer.mint(Mint::access(user).client("gateway"));
    let (one, other) = (token("user-0")?, token("user-1")?);
    // 42 tokens each, of 100: used up at the first replica.
    wait::until("the budget is used up at one replica", PATIENCE, async || {
        Ok((ask(&people, &one, 0).await? == 429).then_some(()))
    })
    .await?;
    // A GET takes no tokens, so the other replica refuses it for what the first one counted.
    let url = people.stage.world.url("/budget/v1/models");
    wait::until("the other replica knows", PATIENCE, async || {
        let asked = plain_client()?.get(&url).bearer_auth(&one).header(CHOICE, "1");
        Ok((asked.send().await?.status() == 429).then_some(()))
    })
    .await?;
    ensure!(ask(&people, &other, 1).await? == 200, "another user has a budget of its own");
    people.stage.finish(&[])
}
