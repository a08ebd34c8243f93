//! Conditions of rules: each text is compiled or refused, and a compiled one is decided for every caller.

use std::time::Duration;

use access_policy::{AccessRequest, Condition, Known};
use http_canonical::{CanonicalMethod, CanonicalPath};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Longest time of one evaluation with many claims, far above what is usual: this machine may be busy.
const LONGEST: Duration = Duration::from_millis(500);

/// A condition, as written.
pub fn condition(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let Ok(condition) = Condition::compile(source) else { return };
    assert_eq!(condition.as_str(), source);
    let again = Condition::compile(condition.as_str()).map(|again| again == condition);
    assert_eq!(again, Ok(true), "compiled once and not twice: {source}");
    let path: CanonicalPath = "/a/b".parse().unwrap();
    let request = AccessRequest::new(&CanonicalMethod::POST, &path).with_host("a.example");
    for claims in [json!({}), small(), large()] {
        let known = Known { claims: claims.as_object().unwrap().clone(), ..Known::default() };
        let begun = Instant::now();
        let met = condition.is_met_by(&known, &request);
        assert!(begun.elapsed() < LONGEST, "{source} takes {:?}", begun.elapsed());
        assert_eq!(condition.is_met_by(&known, &request), met, "{source}");
    }
}

fn small() -> Value {
    json!({ "a": "x", "b": 3, "c": 0.5, "d": true, "e": null, "f": { "g": ["h"] }, "groups": ["/lab"] })
}

/// As many groups as fit a token.
fn large() -> Value {
    let groups: Vec<String> = (0..1500).map(|number| format!("/g{number}")).collect();
    json!({ "groups": groups, "a": "x".repeat(10_000) })
}
