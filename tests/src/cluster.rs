//! A cluster of three primaries with a replica each.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};

use crate::{
    resp,
    valkey::{Setup, Valkey},
    wait,
    world::free_port,
};

const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;
const PATIENCE: Duration = Duration::from_secs(30);

/// The running servers: three primaries, then the replica of each.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Valkey>,
}

impl Cluster {
    /// Starts six servers, joins them, and waits until each says that the cluster is whole.
    pub async fn start(folder: &Path) -> Result<Self> {
        let (mut nodes, mut buses) = (Vec::new(), Vec::new());
        for number in 0..2 * PRIMARIES {
            let bus = free_port()?.to_string();
            let node = Setup::new(folder, &format!("node-{number}"))?
                .with("cluster-enabled", "yes")
                .with("cluster-port", &bus)
                .with("cluster-node-timeout", "2000");
            nodes.push(node.start().await?);
            buses.push(bus);
        }
        let cluster = Self { nodes };
        for (node, bus) in cluster.nodes.iter().zip(&buses) {
            let port = node.port().to_string();
            cluster.node(0)?.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]).await?;
        }
        for (index, node) in cluster.nodes.iter().take(PRIMARIES).enumerate() {
            let slots = (SLOTS * index / PRIMARIES, SLOTS * (index + 1) / PRIMARIES - 1);
            let slots = (slots.0.to_string(), slots.1.to_string());
            node.ask(&["CLUSTER", "ADDSLOTSRANGE", &slots.0, &slots.1]).await?;
        }
        for (index, replica) in cluster.nodes.iter().enumerate().skip(PRIMARIES) {
            let primary = cluster.id(index - PRIMARIES).await?;
            wait::until("the cluster's nodes to know each other", PATIENCE, async || {
                replica.ask(&["CLUSTER", "REPLICATE", &primary]).await?;
                Ok(Some(()))
            })
            .await?;
        }
        for index in 0..cluster.nodes.len() {
            cluster.until_whole(index).await?;
        }
        for replica in cluster.nodes.iter().skip(PRIMARIES) {
            wait::until("the replicas to be in step", PATIENCE, async || {
                let state = replica.ask(&["INFO", "replication"]).await?;
                Ok(state.text().contains("master_link_status:up").then_some(()))
            })
            .await?;
        }
        Ok(cluster)
    }

    /// `session.store` of a gateway that uses it.
    pub fn store(&self) -> String {
        let nodes: Vec<String> =
            self.nodes.iter().take(PRIMARIES).map(|n| format!("\"{}\"", n.address())).collect();
        format!("{{ redis: {{ cluster: [{}] }} }}", nodes.join(", "))
    }

    /// The ports of the servers that run.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().filter(|node| node.is_running()).map(Valkey::port).collect()
    }

    /// Every key, with the index of the primary that has it.
    pub async fn keys(&self) -> Result<Vec<(usize, String)>> {
        let mut keys = Vec::new();
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_running()) {
            if node.ask(&["ROLE"]).await?.texts().first() == Some(&"master") {
                let found = node.ask(&["KEYS", "*"]).await?;
                keys.extend(found.texts().iter().map(|key| (index, (*key).to_owned())));
            }
        }
        Ok(keys)
    }

    /// Moves the slots of all keys to the next primary, as `CLUSTER SETSLOT` and `MIGRATE` do; returns their number.
    pub async fn reshard(&self) -> Result<usize> {
        let mut moved = std::collections::BTreeSet::new();
        for (from, key) in self.keys().await? {
            let slot = self.node(from)?.ask(&["CLUSTER", "KEYSLOT", &key]).await?.number()?;
            if !moved.insert(slot) {
                continue;
            }
            let (slot, to) = (slot.to_string(), (from + 1) % PRIMARIES);
            let (from_id, to_id) = (self.id(from).await?, self.id(to).await?);
            let (source, target) = (self.node(from)?, self.node(to)?);
            target.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await?;
            source.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await?;
            let port = target.port().to_string();
            loop {
                let keys = source.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await?;
                if keys.texts().is_empty() {
                    break;
                }
                let mut command =
                    vec!["MIGRATE", "127.0.0.1", port.as_str(), "", "0", "5000", "KEYS"];
                command.extend(keys.texts());
                source.ask(&command).await?;
            }
            for node in [target, source] {
                node.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await?;
            }
        }
        Ok(moved.len())
    }

    /// Has each replica take its primary's place, in order; returns once all have.
    pub async fn fail_over(&self) -> Result<()> {
        for replica in self.nodes.iter().skip(PRIMARIES) {
            replica.ask(&["CLUSTER", "FAILOVER"]).await?;
            until_primary(replica).await?;
        }
        Ok(())
    }

    /// kill -9 of the first primary that has a key; returns once its replica took its place.
    pub async fn kill_a_primary(&mut self) -> Result<()> {
        let (index, _) = self.keys().await?.into_iter().next().context("no node has a key")?;
        let other = (index + PRIMARIES) % (2 * PRIMARIES);
        self.nodes.get_mut(index).context("no such node")?.kill();
        until_primary(self.node(other)?).await?;
        self.until_whole(other).await
    }

    async fn until_whole(&self, index: usize) -> Result<()> {
        let node = self.node(index)?;
        wait::until("the cluster", PATIENCE, async || {
            let state = node.ask(&["CLUSTER", "INFO"]).await?;
            let nodes = format!("cluster_known_nodes:{}\r", self.nodes.len());
            let whole = state.text().contains("cluster_state:ok") && state.text().contains(&nodes);
            Ok(whole.then_some(()))
        })
        .await
    }

    fn node(&self, index: usize) -> Result<&Valkey> {
        self.nodes.get(index).context("no such node")
    }

    async fn id(&self, index: usize) -> Result<String> {
        Ok(resp::ask(self.node(index)?.port(), &["CLUSTER", "MYID"]).await?.text().to_owned())
    }
}

async fn until_primary(node: &Valkey) -> Result<()> {
    wait::until("the replica to be the primary", PATIENCE, async || {
        let role = node.ask(&["ROLE"]).await?;
        Ok((role.texts().first() == Some(&"master")).then_some(()))
    })
    .await
}
