//! `limits`: what a client of the public listeners may use.

use std::time::Duration;

use doorward::{
    config::{BodyRate, ByteSize, ListenerLimits},
    listen::Limits,
};

use super::{SMALL, config, expect_each, small_with};

#[test]
fn limits_have_safe_defaults_and_merge_by_key() {
    let defaults = ListenerLimits::default();
    assert_eq!(config(SMALL).limits, defaults);
    assert_eq!((defaults.connections, defaults.per_address), (10_000, 1000));
    let some = config(&small_with(
        "session:",
        "limits: { per_address: 50, body_rate: { bytes_per_second: 1000 } }\nsession:",
    ));
    let after = Duration::from_secs(30);
    let expected = ListenerLimits {
        per_address: 50,
        body_rate: BodyRate { bytes_per_second: 1000, after },
        ..defaults
    };
    assert_eq!(some.limits, expected);
}

#[test]
fn every_limit_of_the_file_reaches_the_listener() {
    let all = "limits: { connections: 7, first_head: 1s, head: 2s, head_size: 64KiB, body_rate: { bytes_per_second: 3, after: 4s }, \
               idle: 5s, write_stall: 6s, per_address: 8 }\nsession:";
    let limits = Limits::from(&config(&small_with("session:", all)).limits);
    let seconds =
        [limits.first_head, limits.head, limits.body_grace, limits.idle, limits.write_stall];
    assert_eq!(seconds.map(|time| time.as_secs()), [1, 2, 4, 5, 6]);
    assert_eq!((limits.connections, limits.per_address, limits.body_rate), (7, 8, 3));
    assert_eq!((limits.head_size.head, limits.head_size.line), (65_536, 16_384));
}

#[test]
fn impossible_limits_are_refused() {
    let limits = |keys: &str| format!("limits: {{ {keys} }}\nsession:");
    let cases = [
        ("connections: 0", "limits.connections: invalid number: zero accepts no connection"),
        ("per_address: 0", "limits.per_address: invalid number: zero accepts no connection"),
        ("first_head: 0s", "limits.first_head: invalid duration: zero"),
        ("head: 0s", "limits.head: invalid duration: zero"),
        ("idle: 0s", "limits.idle: invalid duration: zero"),
        ("write_stall: 0s", "limits.write_stall: invalid duration: zero"),
        (
            "head_size: 1KiB",
            "limits.head_size: invalid size `1KiB`: a request head takes 4KiB to 128KiB",
        ),
        ("head_size: 1MiB", "limits.head_size: invalid size `1MiB`"),
        (
            "body_rate: { bytes_per_second: 0 }",
            "limits.body_rate.bytes_per_second: invalid number: zero",
        ),
        (
            "body_rate: { bytes_per_second: 1, after: 0s }",
            "limits.body_rate.after: invalid duration",
        ),
        ("body_rate: { after: 30s }", "bytes_per_second"),
        ("peraddress: 5", "per_address"),
    ];
    let cases: Vec<_> = cases.map(|(keys, said)| (limits(keys), said)).into();
    let cases: Vec<_> = cases.iter().map(|(new, said)| ("session:", new.as_str(), *said)).collect();
    expect_each(&cases);
    assert_eq!(ByteSize(131_072).to_string(), "128KiB");
}
