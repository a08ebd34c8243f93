//! Checks of `session.store.redis`.

use std::time::Duration;

use super::Findings;
use crate::config::RedisStore;
use crate::config::problem::KeyPath;

/// Limits of `timeout`: a round trip within a data centre fits, and a request does not wait longer than a person would.
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(10));

/// Checks that the keys fit each other.
pub(super) fn check(here: &KeyPath, store: &RedisStore, has_key: bool, found: &mut Findings) {
    servers(here, store, found);
    let has_user = store.user.as_ref().map(|user| !user.is_empty());
    if has_user == Some(false) {
        found.problem(here.key("user"), "invalid user: it is empty; write its name, or omit it");
    } else if has_user.is_some() && store.password.is_none() {
        let message = "missing `password`; write `password: { file: PATH }` beside `user`";
        found.problem(here.key("user"), message);
    }
    if let Some(tls) = &store.tls
        && tls.client_certificate.is_some() != tls.client_key.is_some()
    {
        let (has, lacks) = match tls.client_key {
            None => ("client_certificate", "client_key"),
            Some(_) => ("client_key", "client_certificate"),
        };
        let message = format!("missing `{lacks}`: write it beside `{has}`, or omit both");
        found.problem(here.key("tls").key(has), message);
    }
    let prefix = &store.prefix;
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"{}*?[]\\^".contains(&byte);
    if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(plain) {
        let message = format!(
            "invalid prefix {prefix:?}: 1 to 64 visible characters without `{{}}*?[]\\^`; write such as `doorward:`"
        );
        found.problem(here.key("prefix"), message);
    }
    if store.timeout < TIMEOUT.0 || store.timeout > TIMEOUT.1 {
        let message = "invalid duration: between 10ms and 10s; write such as `500ms`";
        found.problem(here.key("timeout"), message);
    }
    if !has_key {
        let message = "the store is not used: there is no `session.key`, so no session is kept";
        found.warning(here.clone(), message);
    }
}

fn servers(here: &KeyPath, store: &RedisStore, found: &mut Findings) {
    let named = [
        ("url", store.url.is_some()),
        ("sentinel", store.sentinel.is_some()),
        ("cluster", !store.cluster.is_empty()),
    ];
    let named: Vec<&str> = named.iter().filter(|(_, named)| *named).map(|(key, _)| *key).collect();
    match named.as_slice() {
        [] => found.problem(
            here.clone(),
            "missing servers; write `url: redis://HOST:PORT`, `sentinel: { master: …, nodes: […] }` or `cluster: […]`",
        ),
        [_] => {}
        [first, others @ ..] => {
            for other in others {
                let message = format!("invalid `{other}` beside `{first}`: keep one of them");
                found.problem(here.key(other), message);
            }
        }
    }
    if let Some(url) = &store.url
        && store.tls.is_some()
        && !url.tls
    {
        let message = "invalid `tls`: the address is without TLS; write `rediss://`, or omit it";
        found.problem(here.key("tls"), message);
    }
    if let Some(sentinel) = &store.sentinel {
        let here = here.key("sentinel");
        if sentinel.master.is_empty() || sentinel.master.contains(char::is_whitespace) {
            let message = "invalid name: write that of `sentinel monitor NAME …`, such as `main`";
            found.problem(here.key("master"), message);
        }
        if sentinel.nodes.is_empty() {
            let message = "missing sentinels; write such as `[s1:26379, s2:26379, s3:26379]`";
            found.problem(here.key("nodes"), message);
        } else if sentinel.nodes.len() < 3 {
            let message = "fewer than three sentinels cannot agree on a new primary when one is lost; name three";
            found.warning(here.key("nodes"), message);
        }
    }
}
