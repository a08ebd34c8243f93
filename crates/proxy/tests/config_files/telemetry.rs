//! `telemetry`: values, and each mistake with its remedy.

use std::fs;
use std::path::Path;

use doorward::config::Config;

use super::{SMALL, config, expect_each, findings, small_with};

fn telemetry(keys: &str) -> String {
    small_with("routes:", &format!("telemetry: {{ {keys} }}\nroutes:"))
}

#[test]
fn everything_is_recorded_unless_a_share_is_written() {
    let share = |keys: &str| config(&telemetry(keys)).telemetry.sample.as_f64();
    assert_eq!(share("otlp: 'http://collector:4318'"), 1.0);
    assert_eq!(share("otlp: 'http://collector:4318', sample: 0.25"), 0.25);
    assert_eq!(share("otlp: 'http://collector:4318', sample: 0"), 0.0);
    assert_eq!(share("otlp: 'https://c.example/otlp/', sample: 1"), 1.0);
    assert_eq!(config(SMALL).telemetry.otlp, None);
}

#[test]
fn mistakes_in_telemetry_are_named() {
    #[rustfmt::skip]
    let cases = [
        ("otlp: 'grpc://collector:4317'", "9:20: telemetry.otlp: unsupported address `grpc:`; use OTLP over HTTP, such as `http://collector:4318`"),
        ("otlp: 'http://collector:4318/v1/traces'", "9:20: telemetry.otlp: invalid address: `/v1/traces` is added to it; remove `/v1/traces`"),
        ("otlp: 'http://collector:4318/x/v1/traces/'", "telemetry.otlp: invalid address: `/v1/traces` is added to it"),
        ("otlp: 'https://user:pw@collector'", "telemetry.otlp: invalid address: it holds a user name or a password; write them into a file and name it in `headers`"),
        ("otlp: 'https://collector/?key=1'", "telemetry.otlp: invalid address: it has a query or a fragment; remove it"),
        ("otlp: 'https://c', sample: 1.5", "telemetry.sample: invalid share `1.5`: it is not between 0 and 1; write one, such as `0.1`"),
        ("otlp: 'https://c', sample: -0.1", "telemetry.sample: invalid share `-0.1`"),
        ("otlp: 'https://c', sample: .nan", "telemetry.sample: invalid share `NaN`"),
        ("otlp: 'https://c', headers: { authorization: Bearer-x }", "telemetry.headers.authorization: invalid secret: this file must not contain it"),
        ("otlp: 'https://c', headers: { 'a b': { env: X } }", "telemetry.headers.a b: invalid header name \"a b\""),
        ("otlp: 'https://c', headers: { Content-Length: { env: X } }", "telemetry.headers.Content-Length: invalid header `content-length`: the gateway writes it; omit it"),
        ("otlp: 'http://collector:4318', headers: { api-key: { env: X } }", "telemetry.headers: plain http sends these secrets unencrypted; use `https` for `otlp`, or omit `headers`"),
        ("otlp: 'https://c', samples: 1", "telemetry.samples: unknown key; did you mean `sample`?"),
    ];
    let texts: Vec<String> =
        cases.iter().map(|(keys, _)| format!("telemetry: {{ {keys} }}\nroutes:")).collect();
    let changes: Vec<(&str, &str, &str)> = texts
        .iter()
        .zip(&cases)
        .map(|(text, (_, expected))| ("routes:", text.as_str(), *expected))
        .collect();
    expect_each(&changes);
    // To this machine, plain http is no risk.
    config(&telemetry("otlp: 'http://127.0.0.1:4318', headers: { api-key: { env: X } }"));
}

#[test]
fn keys_without_a_collector_are_a_warning() {
    let loaded = Config::parse("doorward.yaml", &telemetry("sample: 0.5")).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|line| line.contains("telemetry: unused")), "{warnings:?}");
}

#[test]
fn files_of_the_collector_must_exist_and_be_sendable() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("key"), "0123456789abcdef0123456789abcdef").unwrap();
    fs::write(at("two-lines"), "one\ntwo\n").unwrap();
    fs::write(at("no.pem"), "nothing").unwrap();
    let text = telemetry(&format!(
        "otlp: 'https://c', ca_file: {}, headers: {{ a: {{ file: {} }}, b: {{ file: {} }} }}",
        at("no.pem"),
        at("two-lines"),
        at("absent")
    ));
    let text = text.replace("/run/secrets/session-key", &at("key")).replace(
        "session:",
        &format!("session:\n  store: {{ embedded: {{ path: {} }} }}", at("s.redb")),
    );
    fs::write(at("doorward.yaml"), text).unwrap();
    let found = findings(Config::load(Path::new(&at("doorward.yaml"))));
    assert_eq!(found.len(), 3, "{found:#?}");
    for (line, expected) in found.iter().zip([
        "telemetry.ca_file: invalid certificate:",
        "telemetry.headers.a: invalid header value:",
        "telemetry.headers.b: cannot read ",
    ]) {
        assert!(line.contains(expected), "{expected}: {line}");
    }
}
