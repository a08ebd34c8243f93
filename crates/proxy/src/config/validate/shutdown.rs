//! Checks of `shutdown` and `hand_over`: a stop ends on the day it begins, and the socket has a place of its own.

use std::time::Duration;

use super::{Findings, at};
use crate::config::{Config, ListenAddr};

/// Longest time of one stage; a day of open notebooks.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn check(config: &Config, found: &mut Findings) {
    hand_over(config, found);
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

fn hand_over(config: &Config, found: &mut Findings) {
    let Some(path) = &config.hand_over else { return };
    let here = at(&["hand_over"]);
    if !path.is_absolute() {
        let message = format!(
            "invalid path `{}`: not absolute; write such as `/run/doorward/hand-over.sock`",
            path.display()
        );
        found.problem(here, message);
    } else if config.listen.contains(&ListenAddr::Unix(path.clone())) {
        let message = format!(
            "invalid path `{}`: `listen` uses it for clients; choose another, in a directory of the gateway's user",
            path.display()
        );
        found.problem(here, message);
    }
}
