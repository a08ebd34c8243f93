//! Checks of `shutdown`: a stop ends on the day it begins.

use std::time::Duration;

use super::{Findings, at};
use crate::config::Config;

/// Longest time of one stage; a day of open notebooks.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn check(config: &Config, found: &mut Findings) {
    let times = config.shutdown;
    let stages =
        [("lame_duck", times.lame_duck), ("grace", times.grace), ("streams", times.streams)];
    for (key, time) in stages {
        if time > LONGEST {
            let message = format!(
                "invalid duration `{}`: longer than a day, so the process would hardly stop; write less, such as `60s`",
                humantime::format_duration(time)
            );
            found.problem(at(&["shutdown", key]), message);
        }
    }
}
