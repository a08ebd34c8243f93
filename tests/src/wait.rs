//! Waits for a condition, with a deadline and an error that names the condition.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(100);

/// Calls `probe` until it returns `Some`; past the deadline the error has `what` and the last failure.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let last = match probe().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => String::new(),
            Err(error) => format!("; last failure: {error:#}"),
        };
        if Instant::now() > deadline {
            bail!("waited {limit:?} for {what}{last}");
        }
        sleep(PAUSE).await;
    }
}

/// Waits until `url` answers 2xx.
pub async fn until_ready(what: &str, url: &str, limit: Duration) -> Result<()> {
    let client = crate::visitor::plain_client()?;
    until(what, limit, async || {
        let answer = client.get(url).timeout(Duration::from_secs(5)).send().await?;
        anyhow::ensure!(answer.status().is_success(), "{url} answers {}", answer.status());
        Ok(Some(()))
    })
    .await
}
