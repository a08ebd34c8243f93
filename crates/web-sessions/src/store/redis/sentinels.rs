//! Asks sentinels for the primary, and follows it.
//!
//! The sentinel that leads a failover announces the promotion first (`+promoted-slave`), every sentinel announces the new primary
//! when it knows of it (`+switch-master`). These are the earliest signs, and the only ones while the old primary goes on answering:
//! what it takes after the promotion is lost. So all sentinels are listened to. Between announcements they are asked now and then,
//! in case one was missed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::redis::{Client, ProtocolVersion, RedisConnectionInfo, RedisResult};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    connect::{Access, Connector, config, read_password},
    fault,
    options::{ReadPassword, RedisNode, RedisServers},
};

const CHANNELS: [&str; 2] = ["+promoted-slave", "+switch-master"];
/// Interval between two questions.
const ASK: Duration = Duration::from_secs(5);
/// Time that the other sentinels have after the first answer.
const SOON: Duration = Duration::from_millis(50);
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

impl Connector {
    /// Asks all sentinels at once. After a failover some know of it before the others, so the answer of the latest configuration
    /// counts among those that come soon after the first.
    pub(super) async fn ask_sentinels(
        &self,
        master: &str,
        sentinels: &[RedisNode],
        password: Option<&ReadPassword>,
    ) -> Result<RedisNode, String> {
        let access = self.access().await?;
        let mut asked: FuturesUnordered<_> = sentinels
            .iter()
            .map(|sentinel| self.ask_sentinel(master, sentinel, password, &access))
            .collect();
        let (mut latest, mut reasons): (Option<Named>, _) = (None, Vec::new());
        let mut soon = None;
        loop {
            let answer = match soon {
                None => asked.next().await,
                Some(soon) => timeout_at(soon, asked.next()).await.unwrap_or(None),
            };
            match answer {
                Some(Ok(named)) => {
                    soon.get_or_insert_with(|| Instant::now() + SOON);
                    if latest.as_ref().is_none_or(|latest| latest.epoch < named.epoch) {
                        latest = Some(named);
                    }
                }
                Some(Err(reason)) => reasons.push(reason),
                None => break,
            }
        }
        latest.map(|named| named.primary).ok_or_else(|| reasons.join("; "))
    }

    async fn ask_sentinel(
        &self,
        master: &str,
        sentinel: &RedisNode,
        password: Option<&ReadPassword>,
        access: &Access,
    ) -> Result<Named, String> {
        let servers = format!("sentinel {sentinel}");
        let client = self.sentinel(sentinel, password, access, ProtocolVersion::RESP2).await?;
        let asked = async {
            let mut connection =
                client.get_multiplexed_async_connection_with_config(&config(None)).await?;
            let mut state = ::redis::cmd("SENTINEL");
            state.arg("MASTER").arg(master);
            // The rules of a user may refuse it; then all answers count alike.
            let state = state.query_async::<HashMap<String, String>>(&mut connection).await;
            let epoch = state.ok().and_then(|state| state.get("config-epoch")?.parse().ok());
            let mut address = ::redis::cmd("SENTINEL");
            address.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
            let address: Option<(String, u16)> = address.query_async(&mut connection).await?;
            RedisResult::Ok(address.map(|(host, port)| Named {
                primary: RedisNode { host, port },
                epoch: epoch.unwrap_or(0),
            }))
        };
        match timeout(self.options().timeout, asked).await {
            Ok(Ok(Some(named))) => Ok(named),
            Ok(Ok(None)) => {
                Err(format!("{servers} knows no primary {master:?}; check `sentinel.master`"))
            }
            Ok(Err(error)) => Err(fault::describe(&servers, &error)),
            Err(_) => Err(format!("{servers} cannot be reached: no answer in time")),
        }
    }

    /// A client of a sentinel.
    async fn sentinel(
        &self,
        sentinel: &RedisNode,
        password: Option<&ReadPassword>,
        access: &Access,
        protocol: ProtocolVersion,
    ) -> Result<Client, String> {
        let mut login =
            RedisConnectionInfo::default().set_protocol(protocol).set_skip_set_lib_name();
        if let Some(password) = password {
            let password = read_password(Arc::clone(password)).await?;
            login = login.set_password(password.expose());
        }
        self.client(sentinel, login, access)
            .map_err(|error| fault::describe(&format!("sentinel {sentinel}"), &error))
    }
}

/// A primary as a sentinel names it.
struct Named {
    primary: RedisNode,
    /// Version of the sentinel's configuration; each failover has a later one.
    epoch: u64,
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
        let described = |error| fault::describe(&format!("sentinel {}", self.sentinel), &error);
        let mut subscribed = client.get_async_pubsub().await.map_err(described)?;
        for channel in CHANNELS {
            subscribed.subscribe(channel).await.map_err(described)?;
        }
        Ok(subscribed)
    }
}
