//! Follows the primary that sentinels name.
//!
//! The sentinel that leads a failover announces the promotion first (`+promoted-slave`), every sentinel announces the new primary
//! when it knows of it (`+switch-master`). These are the earliest signs, and the only ones while the old primary goes on answering:
//! what it takes after the promotion is lost. So all sentinels are listened to. Between announcements they are asked now and then,
//! in case one was missed.

use std::{sync::Arc, time::Duration};

use ::redis::ProtocolVersion;
use futures_util::StreamExt as _;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    connect::Connector,
    options::{ReadPassword, RedisNode, RedisServers},
};

const CHANNELS: [&str; 2] = ["+promoted-slave", "+switch-master"];
/// Interval between two questions.
const ASK: Duration = Duration::from_secs(5);
/// Pause before a sentinel is listened to again.
const PAUSE: Duration = Duration::from_millis(500);

/// Increases `moved` whenever the primary is another one.
pub(super) async fn follow(connector: Connector, moved: watch::Sender<u64>) {
    let RedisServers::Sentinel { nodes, password, .. } = connector.options().servers.clone() else {
        return;
    };
    let announced = Arc::new(Notify::new());
    let _listeners: Vec<_> = nodes
        .into_iter()
        .map(|sentinel| {
            let (connector, announced) = (connector.clone(), Arc::clone(&announced));
            let listener = Listener { connector, sentinel, password: password.clone(), announced };
            AbortOnDropHandle::new(tokio::spawn(listener.listen()))
        })
        .collect();
    let mut known: Option<RedisNode> = None;
    loop {
        match connector.primary().await {
            Ok(node) => {
                let before = known.replace(node.clone());
                if before.is_some_and(|before| before != node) {
                    tracing::warn!(primary = %node, "another server is the primary of the session store");
                    moved.send_modify(|times| *times += 1);
                }
            }
            Err(reason) => tracing::debug!(reason, "no sentinel names the primary"),
        }
        tokio::select! {
            () = announced.notified() => {}
            () = sleep(ASK) => {}
        }
    }
}

/// Listens to one sentinel.
struct Listener {
    connector: Connector,
    sentinel: RedisNode,
    password: Option<ReadPassword>,
    announced: Arc<Notify>,
}

impl Listener {
    async fn listen(self) {
        loop {
            let reason = self.hear().await;
            tracing::debug!(sentinel = %self.sentinel, reason, "sentinel not followed");
            sleep(PAUSE).await;
        }
    }

    /// Returns the reason when it hears nothing more.
    async fn hear(&self) -> String {
        let limit = self.connector.options().timeout.max(Duration::from_secs(1));
        let mut messages = match timeout(limit, self.subscribe()).await {
            Ok(Ok(subscribed)) => subscribed.into_on_message(),
            Ok(Err(reason)) => return reason,
            Err(_) => return "no answer in time".to_owned(),
        };
        // An announcement before this moment was not heard.
        self.announced.notify_one();
        while messages.next().await.is_some() {
            self.announced.notify_one();
        }
        "the connection was closed".to_owned()
    }

    async fn subscribe(&self) -> Result<::redis::aio::PubSub, String> {
        let access = self.connector.access().await?;
        let client = self
            .connector
            .sentinel(&self.sentinel, self.password.as_ref(), &access, ProtocolVersion::RESP2)
            .await?;
        let described =
            |error| super::fault::describe(&format!("sentinel {}", self.sentinel), &error);
        let mut subscribed = client.get_async_pubsub().await.map_err(described)?;
        for channel in CHANNELS {
            subscribed.subscribe(channel).await.map_err(described)?;
        }
        Ok(subscribed)
    }
}
