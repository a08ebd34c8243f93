//! Checks of `runtime`: at least one worker, and no more than a machine can use.

use super::{Findings, at};
use crate::config::Config;

/// Most workers; more than the cores of any machine.
const MOST: usize = 1024;

pub(super) fn check(config: &Config, found: &mut Findings) {
    let here = at(&["runtime", "workers"]);
    match config.runtime.workers {
        Some(0) => {
            let message = "invalid number: zero workers serve no connection; write such as `4`, or omit the key for one worker on each core";
            found.problem(here, message);
        }
        Some(number) if number > MOST => {
            let message = format!(
                "invalid number `{number}`: each worker is a thread, and more than there are cores only wait for each other; write at most `{MOST}`, or omit the key for one worker on each core"
            );
            found.problem(here, message);
        }
        Some(_) | None => {}
    }
}
