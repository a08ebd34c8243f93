//! Asks each target for the path of its health check, at an interval, as long as the target is in use.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use http::Method;

use super::{Target, Upstream, probe::ask};

/// Longest time for a check's connection, and for its answer.
const LONGEST: Duration = Duration::from_secs(5);

/// The health check of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The path, as the upstream knows it.
    pub path: String,
    /// The host in its requests, where the upstream has none of its own.
    pub host: String,
    /// Interval between two checks.
    pub interval: Duration,
}

impl Upstream {
    /// Begins the health check of each target, if one is configured and it has not begun. It ends with the target.
    pub fn begin_checks(&self) {
        let (Some(check), Ok(runtime)) = (&self.check, tokio::runtime::Handle::try_current())
        else {
            return;
        };
        for target in self.targets.iter().filter(|target| target.first_check()) {
            runtime.spawn(repeat(Arc::downgrade(target), check.clone()));
        }
    }
}

async fn repeat(target: Weak<Target>, check: HealthCheck) {
    let mut every = tokio::time::interval(check.interval);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let within = check.interval.min(LONGEST);
    loop {
        every.tick().await;
        let Some(target) = target.upgrade() else { return };
        let own = target.host().and_then(|host| host.to_str().ok());
        let host = own.unwrap_or(&check.host).to_owned();
        let asked = ask(&target, &Method::GET, &host, &check.path, (within, within)).await;
        let outcome = match asked {
            Ok(status) if status.is_success() || status.is_redirection() => Ok(()),
            Ok(status) => Err(format!("its answer is {status}")),
            Err(reason) => Err(reason),
        };
        target.checked(&check.path, outcome);
    }
}
