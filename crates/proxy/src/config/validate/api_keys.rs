//! Checks of `api_keys`: the store keeps keys, and each of their routes exists and takes them.

use std::time::Duration;

use super::{Findings, at};
use crate::config::{BearerTokens, Config, SessionStoreConfig};

/// A shorter life is that of a token.
const SHORTEST: Duration = Duration::from_secs(60);
/// A longer one is for ever.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

pub(super) fn check(config: &Config, found: &mut Findings) {
    let Some(keys) = &config.api_keys else { return };
    let here = at(&["api_keys"]);
    if config.session.store == SessionStoreConfig::Cookie {
        let message = "unsupported with `session.store: cookie`, which keeps no records; write `session: { store: embedded }` or `{ redis: { url: … } }`";
        found.problem(here.clone(), message);
    } else if config.session.key.is_empty() {
        let message = "missing `session.key`, which seals API keys at rest; write `session: { key: { file: PATH } }` and make the file with `openssl rand -base64 32 > PATH`";
        found.problem(here.clone(), message);
    }
    for (key, value) in [("max_age", keys.max_age), ("suspend_after", keys.suspend_after)] {
        if value < SHORTEST || value > LONGEST {
            let message = "invalid duration: between 1m and ten years; write such as `30d`";
            found.problem(here.key(key), message);
        }
    }
    let here = here.key("routes");
    if keys.routes.is_empty() {
        found.problem(
            here.clone(),
            "invalid list: it is empty; name the routes that take keys, or omit `api_keys`",
        );
    }
    for (index, name) in keys.routes.iter().enumerate() {
        let Some(route) = config.routes.get(name) else {
            let names: Vec<&str> = config.routes.keys().map(String::as_str).collect();
            let message = format!("unknown route `{name}`; write one of {}", names.join(", "));
            found.problem(here.clone(), message);
            continue;
        };
        if keys.routes.iter().take(index).any(|earlier| earlier == name) {
            found.problem(here.clone(), format!("invalid list: `{name}` occurs twice; remove one"));
        }
        if route.bearer == BearerTokens::Application && !route.basic {
            let message = format!(
                "route `{name}` takes keys in `X-Doorward-Token` only: a bearer token there is the application's; write `basic: true` on it, or omit `bearer: application`"
            );
            found.warning(here.clone(), message);
        }
    }
}
