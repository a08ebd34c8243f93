//! Gateways that share a configuration and a store: each with its own folder and ports, behind one public address.

use anyhow::Result;

use super::{Gateway, Plan};
use crate::{tools, world::free_port};

impl Plan {
    /// The same gateway in its own folder and on its own ports, for a load balancer that owns the public port. Every second one is
    /// of the other version, if there is one.
    pub(crate) fn replica(&self, number: usize) -> Result<Self> {
        let mut replica = self.clone().behind_a_front()?;
        replica.folder = self.folder.join(format!("replica-{number}"));
        std::fs::create_dir_all(&replica.folder)?;
        replica.admin = free_port()?;
        if let Some(other) = tools::other_doorward().filter(|_| number % 2 == 1) {
            replica.binary = other;
        }
        Ok(replica)
    }
}

impl Gateway {
    /// kill -9, and no start.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// Starts it after [`Gateway::kill`] with the same ports and data.
    pub async fn start_again(&mut self) -> Result<()> {
        self.program = self.plan.run(&self.config, &[])?;
        self.wait_until_ready().await
    }
}
