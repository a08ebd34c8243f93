//! Decisions of shadow rules, which only count.

use access_policy::{AccessRequest, Caller};

use crate::{metric, route::Route};

/// Counts and logs what shadow rules would have decided.
pub(super) fn shadows(route: &Route, access: &AccessRequest<'_>, identity: &Caller) {
    for (rule, allowed) in route.policy.shadows(access, identity) {
        let outcome = if allowed { "allow" } else { "refuse" };
        metric::shadow(&route.name, rule, outcome);
        tracing::info!(route = route.name, rule, outcome, "shadow rule");
    }
}
