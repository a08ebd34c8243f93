//! Cookies and the session store.

use serde_json::{Map, Value, json};
use std::time::Duration;
use url::Url;

use super::super::draft::Draft;
use super::super::options::Options;

/// Carries over the lifetime and the store.
pub(super) fn session(options: &mut Options, draft: &mut Draft) {
    for secret in ["cookie_secret", "cookie_secret_file"] {
        if options.one(secret).is_some() {
            draft.task("sessions are not carried over: every user signs in once, under a new key");
        }
    }
    if options.switch("cookie_secure") == Some(false) {
        let remark = "the session cookie went over plain http; here it is `Secure` whenever `public_url` is https";
        draft.weak("cookie_secure=false", remark);
    }
    if options.switch("cookie_httponly") == Some(false) {
        draft.weak(
            "cookie_httponly=false",
            "scripts could read the session cookie; here they never can",
        );
    }
    let day = Duration::from_secs(24 * 3600);
    match options.one("cookie_expire").map(|written| (humantime::parse_duration(&written), written)) {
        Some((Ok(lifetime), _)) if !lifetime.is_zero() => {
            let shown = humantime::format_duration(lifetime).to_string().replace(' ', "");
            draft.session.insert("lifetime".to_owned(), json!(shown));
            if lifetime < Duration::from_secs(3600) {
                draft.session.insert("idle".to_owned(), json!(shown));
            } else {
                draft.task("sessions end after an hour without use; write `session.idle` for another time");
            }
            if lifetime > day {
                draft.weak("cookie_expire", format!("a session lives for {shown}; a day or less is usual"));
            }
        }
        Some(_) => {
            draft.lost("cookie_expire", "a session has a limit here: 12h unless `session.lifetime` says another");
        }
        None => draft.task("sessions live for 12 hours, and were of 168 hours; write `session.lifetime` for another time"),
    }
    let store = match options.one("session_store_type").as_deref() {
        Some("redis") => redis(options, draft),
        _ => json!("cookie"),
    };
    draft.session.insert("store".to_owned(), store);
}

fn redis(options: &mut Options, draft: &mut Draft) -> Value {
    let mut store = Map::new();
    let mut password = options.one("redis_password").is_some();
    let url = options.one("redis_connection_url").unwrap_or_default();
    if options.is_on("redis_use_sentinel") {
        let nodes = hosts(&options.all("redis_sentinel_connection_urls"));
        let master = options.one("redis_sentinel_master_name").unwrap_or_else(|| "main".to_owned());
        let mut sentinel = Map::new();
        sentinel.insert("master".to_owned(), json!(master));
        sentinel.insert("nodes".to_owned(), json!(nodes));
        if options.one("redis_sentinel_password").is_some() {
            let password = draft.secret("redis_sentinel_password", "sentinel-password");
            sentinel.insert("password".to_owned(), password);
        }
        store.insert("sentinel".to_owned(), Value::Object(sentinel));
    } else if options.is_on("redis_use_cluster") {
        let nodes = hosts(&options.all("redis_cluster_connection_urls"));
        store.insert("cluster".to_owned(), json!(nodes));
    } else {
        match Url::parse(&url) {
            Ok(mut url) if url.has_host() => {
                password |= url.password().is_some();
                let user = url.username().to_owned();
                if !user.is_empty() && password {
                    store.insert("user".to_owned(), json!(user));
                }
                // Neither fails for a URL with a host.
                let _ = url.set_username("");
                let _ = url.set_password(None);
                url.set_query(None);
                store.insert("url".to_owned(), json!(url.as_str()));
            }
            _ => {
                draft.task("write the address of the store into `session.store.redis.url`");
                store.insert("url".to_owned(), json!("redis://redis:6379"));
            }
        }
    }
    if let Some(user) = options.one("redis_username").filter(|_| password) {
        store.insert("user".to_owned(), json!(user));
    }
    if password {
        let password = draft.secret("the password of Redis", "redis-password");
        store.insert("password".to_owned(), password);
    }
    if let Some(file) = options.one("redis_ca_path") {
        store.insert("tls".to_owned(), json!({ "ca_file": file }));
    }
    if options.is_on("redis_insecure_skip_tls_verify") {
        draft.weak(
            "redis_insecure_skip_tls_verify",
            "certificates are always verified; write `tls: { ca_file: … }`",
        );
    }
    json!({ "redis": store })
}

/// Hosts and ports of URLs.
fn hosts(urls: &[String]) -> Vec<String> {
    let host = |url: &String| {
        let url = Url::parse(url).ok()?;
        Some(format!("{}:{}", url.host_str()?, url.port().unwrap_or(6379)))
    };
    urls.iter().filter_map(host).collect()
}
