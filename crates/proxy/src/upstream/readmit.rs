//! Connects to an ejected target when its time is over, and lets requests go there again once that succeeds.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{dial::Dialer, health::Health, target::Target};
use crate::workers::in_background;

/// Time limit of an attempt.
const WITHIN: Duration = Duration::from_secs(5);
/// Shortest time between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

impl Target {
    /// Called when the target is ejected. One task tries to connect, if connections are what fails.
    pub(super) fn readmit(&self) {
        if !self.health.begin_readmitting() {
            return;
        }
        let (health, dialer) = (Arc::clone(&self.health), Arc::downgrade(&self.dialer));
        let name = self.name().to_owned();
        in_background(async move {
            attempts(&health, &dialer, &name).await;
            health.end_readmitting();
        });
    }
}

/// Attempts until one succeeds, a request's connection does, or the target is no longer in use.
async fn attempts(health: &Health, dialer: &Weak<Dialer>, name: &str) {
    while let Some(until) = health.refuses_until() {
        sleep_until(until.max(Instant::now() + PAUSE)).await;
        let Some(dialer) = dialer.upgrade() else { return };
        if health.refuses_until().is_none() {
            return;
        }
        match dialer.dial(WITHIN).await {
            Ok(_) => {
                if health.connected() {
                    tracing::info!(upstream = name, "upstream target serves requests again");
                }
            }
            Err(error) if error.is_the_targets() => {
                health.connect_failed(Instant::now());
                tracing::debug!(upstream = name, cause = %error, "upstream target stays ejected");
            }
            Err(_) => {}
        }
    }
}
