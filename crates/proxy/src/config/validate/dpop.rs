//! Checks of `dpop`: times in which a proof is of use, and no longer.

use std::time::Duration;

use super::{Findings, at};
use crate::config::Config;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

pub(super) fn check(config: &Config, found: &mut Findings) {
    let times = [("max_age", Some(config.dpop.max_age)), ("nonce", config.dpop.nonce)];
    for (key, time) in times {
        if time.is_some_and(|time| !(SHORTEST..=LONGEST).contains(&time)) {
            let message = "invalid duration: a proof is for one request, and is kept that long to refuse a second use; write 1s to 5m";
            found.problem(at(&["dpop", key]), message);
        }
    }
}
