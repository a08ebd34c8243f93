//! `runtime`: the threads of the process.

use super::{SMALL, config, expect_each, small_with};

#[test]
fn workers_have_a_default_that_follows_the_machine() {
    assert_eq!(config(SMALL).runtime.workers, None);
    let four = config(&small_with("session:", "runtime: { workers: 4 }\nsession:"));
    assert_eq!(four.runtime.workers, Some(4));
    let empty = config(&small_with("session:", "runtime: {}\nsession:"));
    assert_eq!(empty.runtime.workers, None);
}

#[test]
fn impossible_numbers_of_workers_are_refused() {
    let runtime = |keys: &str| format!("runtime: {{ {keys} }}\nsession:");
    let cases = [
        ("workers: 0", "runtime.workers: invalid number: zero workers serve no connection"),
        ("workers: 1025", "runtime.workers: invalid number `1025`: each worker is a thread"),
        ("workers: 4294967296", "write at most `1024`, or omit the key"),
        ("workers: -1", "runtime.workers"),
        ("workers: many", "runtime.workers"),
        ("workers: 1.5", "runtime.workers"),
        ("worker: 2", "workers"),
    ]
    .map(|(keys, expected)| (runtime(keys), expected));
    let cases: Vec<_> =
        cases.iter().map(|(keys, expected)| ("session:", keys.as_str(), *expected)).collect();
    expect_each(&cases);
}
