//! Checks of `limits`, the limits of the public listeners.

use super::{Findings, at};
use crate::config::Config;

/// The smallest head that a browser with a session cookie needs, and the largest that the HTTP parser reads.
const HEAD: std::ops::RangeInclusive<u64> = 4 * 1024..=128 * 1024;

/// Checks every limit.
pub(super) fn check(config: &Config, found: &mut Findings) {
    let here = at(&["limits"]);
    let limits = &config.limits;
    for (key, number, example) in
        [("connections", limits.connections, 10_000), ("per_address", limits.per_address, 1000)]
    {
        if number == 0 {
            let message =
                format!("invalid number: zero accepts no connection; write such as `{example}`");
            found.problem(here.key(key), message);
        }
    }
    for (key, duration) in [
        ("first_head", limits.first_head),
        ("head", limits.head),
        ("idle", limits.idle),
        ("write_stall", limits.write_stall),
    ] {
        found.duration(here.key(key), duration);
    }
    if !HEAD.contains(&limits.head_size.0) {
        let message = format!(
            "invalid size `{}`: a request head takes 4KiB to 128KiB; write such as `32KiB`",
            limits.head_size
        );
        found.problem(here.key("head_size"), message);
    }
    let here = here.key("body_rate");
    found.duration(here.key("after"), limits.body_rate.after);
    if limits.body_rate.bytes_per_second == 0 {
        let message =
            "invalid number: zero lets a client hold a request for ever; write such as `100`";
        found.problem(here.key("bytes_per_second"), message);
    }
}
