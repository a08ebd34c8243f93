//! Follows the primary that sentinels name.
//!
//! A sentinel announces another primary (`+switch-master`). The announcement is the earliest sign, and the only one where the old
//! primary is cut off and goes on answering. Between announcements the sentinels are asked now and then, in case one was missed.

use std::time::Duration;

use ::redis::ProtocolVersion;
use futures_util::StreamExt as _;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    connect::Connector,
    options::{ReadPassword, RedisNode, RedisServers},
};

const CHANNEL: &str = "+switch-master";
/// Interval between two questions.
const ASK: Duration = Duration::from_secs(5);
/// Pause before the next sentinel is tried.
const PAUSE: Duration = Duration::from_millis(500);

/// Increases `moved` whenever the primary is another one.
pub(super) async fn follow(connector: Connector, moved: watch::Sender<u64>) {
    let RedisServers::Sentinel { master, nodes, password } = connector.options().servers.clone()
    else {
        return;
    };
    let mut follower = Follower { connector, moved, master, primary: None };
    loop {
        for sentinel in &nodes {
            let reason = follower.listen(sentinel, password.as_ref()).await;
            tracing::debug!(%sentinel, reason, "sentinel not followed");
            sleep(PAUSE).await;
        }
    }
}

struct Follower {
    connector: Connector,
    moved: watch::Sender<u64>,
    master: String,
    /// The primary as last heard of.
    primary: Option<RedisNode>,
}

impl Follower {
    async fn listen(&mut self, sentinel: &RedisNode, password: Option<&ReadPassword>) -> String {
        let limit = self.connector.options().timeout.max(Duration::from_secs(1));
        let subscribed = timeout(limit, self.subscribe(sentinel, password)).await;
        let mut messages = match subscribed {
            Ok(Ok(pubsub)) => pubsub.into_on_message(),
            Ok(Err(reason)) => return reason,
            Err(_) => return "no answer in time".to_owned(),
        };
        let mut next = Instant::now();
        loop {
            tokio::select! {
                message = messages.next() => {
                    let Some(message) = message else { return "the connection was closed".to_owned() };
                    let text: String = message.get_payload().unwrap_or_default();
                    if let Some(node) = announced(&text, &self.master) {
                        self.heard(node);
                    }
                }
                () = sleep_until(next) => {
                    match self.connector.primary().await {
                        Ok(node) => self.heard(node),
                        Err(reason) => return reason,
                    }
                    next = Instant::now() + ASK;
                }
            }
        }
    }

    async fn subscribe(
        &self,
        sentinel: &RedisNode,
        password: Option<&ReadPassword>,
    ) -> Result<::redis::aio::PubSub, String> {
        let access = self.connector.access().await?;
        let client =
            self.connector.sentinel(sentinel, password, &access, ProtocolVersion::RESP2).await?;
        let described = |error| super::fault::describe(&format!("sentinel {sentinel}"), &error);
        let mut pubsub = client.get_async_pubsub().await.map_err(described)?;
        pubsub.subscribe(CHANNEL).await.map_err(described)?;
        Ok(pubsub)
    }

    fn heard(&mut self, node: RedisNode) {
        let before = self.primary.replace(node.clone());
        if before.is_some_and(|before| before != node) {
            tracing::warn!(primary = %node, "another server is the primary of the session store");
            self.moved.send_modify(|times| *times += 1);
        }
    }
}

/// The new primary that an announcement names: `NAME OLD-HOST OLD-PORT HOST PORT`.
fn announced(text: &str, master: &str) -> Option<RedisNode> {
    let mut words = text.split(' ');
    if words.next() != Some(master) {
        return None;
    }
    let (host, port) = (words.nth(2)?, words.next()?);
    Some(RedisNode { host: host.to_owned(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_names_the_new_primary_of_ours() {
        let node = announced("main 10.0.0.1 6379 10.0.0.2 6380", "main");
        assert_eq!(node, Some(RedisNode { host: "10.0.0.2".to_owned(), port: 6380 }));
        for text in ["other 10.0.0.1 6379 10.0.0.2 6380", "main", "", "main a 1 b x"] {
            assert_eq!(announced(text, "main"), None, "{text}");
        }
    }
}
