//! `api_keys`: bounds on keys, and the routes that take them.

use std::time::Duration;

use super::{SMALL, config, expect_each, small_with};

fn keys(keys: &str) -> String {
    small_with("session:", &format!("api_keys: {{ {keys} }}\nsession:"))
}

#[test]
fn api_keys_are_off_unless_routes_are_named() {
    assert_eq!(config(SMALL).api_keys, None);
    let found = config(&keys("routes: [app]")).api_keys.unwrap();
    let day = Duration::from_secs(24 * 3600);
    assert_eq!((found.max_age, found.suspend_after), (day * 90, day * 30));
    let found = config(&keys("max_age: 7d, routes: [app], suspend_after: 1h")).api_keys.unwrap();
    assert_eq!((found.max_age, found.suspend_after), (day * 7, day / 24));
}

#[test]
fn impossible_bounds_on_api_keys_are_refused() {
    let cases = [
        ("max_age: 90d", "routes"),
        ("routes: []", "api_keys.routes: invalid list: it is empty"),
        ("routes: [ap]", "api_keys.routes: unknown route `ap`; write one of app"),
        ("routes: [app, app]", "`app` occurs twice; remove one"),
        ("routes: [app], max_age: 10s", "api_keys.max_age: invalid duration: between 1m"),
        ("routes: [app], max_age: 0s", "api_keys.max_age: invalid duration"),
        ("routes: [app], max_age: 4000d", "api_keys.max_age: invalid duration"),
        ("routes: [app], max_age: 90", "api_keys.max_age"),
        ("routes: [app], suspend_after: 1s", "api_keys.suspend_after: invalid duration"),
        ("routes: [app], max_ages: 1d", "max_age"),
    ]
    .map(|(written, expected)| (format!("api_keys: {{ {written} }}\nsession:"), expected));
    let cases: Vec<_> =
        cases.iter().map(|(new, expected)| ("session:", new.as_str(), *expected)).collect();
    expect_each(&cases);
    let cookies = "api_keys: { routes: [app] }\nsession:\n  store: cookie";
    let machines = "api_keys: { routes: [app] }\nroutes:\n  app:\n    sign_in: challenge";
    expect_each(&[
        ("session:", cookies, "api_keys: unsupported with `session.store: cookie`"),
        (
            "session:\n  key: { file: /run/secrets/session-key }\nroutes:\n  app:",
            machines,
            "api_keys: missing `session.key`, which seals API keys at rest",
        ),
    ]);
}
