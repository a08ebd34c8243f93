//! `health` of a route.

use std::time::Duration;

use super::{config, expect_each, small_with};

#[test]
fn a_health_check_has_a_path_and_an_interval() {
    let health = |keys: &str| {
        let text = format!("upstream: http://app:8000\n    health: {{ {keys} }}");
        let config = config(&small_with("upstream: http://app:8000", &text));
        config.routes.get("app").unwrap().health.clone().unwrap()
    };
    assert_eq!(health("path: /health").interval, Duration::from_secs(10));
    let all = health("path: /ready, interval: 3s");
    assert_eq!((all.path.as_str(), all.interval), ("/ready", Duration::from_secs(3)));
}

#[test]
fn impossible_health_checks_are_refused() {
    let cases = [
        ("{ interval: 10s }", "path"),
        ("{ path: health }", "routes.app.health.path: "),
        (
            "{ path: /health, interval: 10ms }",
            "routes.app.health.interval: invalid interval: shorter than a second",
        ),
        ("{ path: /health, timeout: 3s }", "timeout"),
    ];
    let cases: Vec<_> =
        cases.map(|(health, said)| (format!("http://app:8000\n    health: {health}"), said)).into();
    let cases: Vec<_> =
        cases.iter().map(|(new, said)| ("http://app:8000", new.as_str(), *said)).collect();
    expect_each(&cases);
}
