//! `dpop`, `issuers.NAME.tokens` and the certificates of clients.

use std::time::Duration;

use doorward::config::{BoundTo, ClientCertificates};

use super::{SMALL, config, expect_each, problems, small_with};

#[test]
fn tokens_may_be_bound_as_the_provider_decides() {
    let small = config(SMALL);
    assert_eq!(small.dpop.max_age, Duration::from_secs(60));
    assert_eq!(small.dpop.nonce, None);
    let bound = |config: &doorward::config::Config| {
        config.issuers.get("main").and_then(|issuer| issuer.tokens.bound)
    };
    assert_eq!(bound(&small), None);
    for (written, kind) in [("dpop", BoundTo::Dpop), ("certificate", BoundTo::Certificate)] {
        let text = format!("audience: [gateway]\n    tokens: {{ bound: {written} }}");
        assert_eq!(bound(&config(&small_with("audience: [gateway]", &text))), Some(kind));
    }
    let text = "dpop: { nonce: 2m, max_age: 30s }\nsession:";
    let dpop = config(&small_with("session:", text)).dpop;
    assert_eq!(
        (dpop.nonce, dpop.max_age),
        (Some(Duration::from_secs(120)), Duration::from_secs(30))
    );
    let text =
        "tls: { certificate: /c, key: /k, client_ca: /ca, client_certificates: require }\nsession:";
    let tls = config(&small_with("session:", text)).tls.remove(0);
    assert_eq!(tls.client_certificates, ClientCertificates::Require);
    let text = "tls: { certificate: /c, key: /k, client_ca: /ca }\nsession:";
    let tls = config(&small_with("session:", text)).tls.remove(0);
    assert_eq!(tls.client_certificates, ClientCertificates::Request);
}

#[test]
fn settings_that_bind_nothing_are_refused() {
    let cases = [
        ("dpop: { nonce: 0s }", "dpop.nonce: invalid duration: a proof is for one request"),
        ("dpop: { nonce: 6m }", "dpop.nonce: invalid duration: a proof is for one request"),
        ("dpop: { max_age: 500ms }", "dpop.max_age: invalid duration: a proof is for one request"),
        ("dpop: { max_age: 1h }", "write 1s to 5m"),
        ("dpop: { nonces: 1m }", "nonce"),
        ("dpop: { nonce: 60 }", "dpop.nonce"),
        ("client_cert_header: true", "client_cert_header: missing `trusted_proxies`"),
        ("client_cert_header: client-cert", "client_cert_header"),
        (
            "workload_certificates: { mesh: { ca_file: /ca } }",
            "workload_certificates: missing `client_ca`",
        ),
        (
            "trusted_proxies: [10.0.0.0/8]\nclient_cert_header: true\nworkload_certificates: { main: { ca_file: /ca } }",
            "invalid name `main`: `issuers.main` has it too",
        ),
        ("workload_certificates: { mesh: {} }", "ca_file"),
        ("workload_certificates: { mesh: { ca_file: /ca, subject: cn } }", "subject"),
        (
            "tls: { certificate: /c, key: /k, client_certificates: require }",
            "tls.client_certificates: missing `client_ca`",
        ),
        (
            "tls: { certificate: /c, key: /k, client_ca: /ca, client_certificates: optional }",
            "client_certificates",
        ),
    ]
    .map(|(keys, expected)| (format!("{keys}\nsession:"), expected));
    let cases: Vec<_> =
        cases.iter().map(|(keys, expected)| ("session:", keys.as_str(), *expected)).collect();
    expect_each(&cases);
    expect_each(&[
        (
            "audience: [gateway]",
            "audience: [gateway]\n    tokens: { bound: mtls }",
            "issuers.main.tokens.bound",
        ),
        ("audience: [gateway]", "audience: [gateway]\n    tokens: { binding: dpop }", "bound"),
    ]);
}

#[test]
fn rules_ask_certificates_for_their_subjects_only() {
    let file = |allow: &str| {
        small_with("- { allow: signed_in }", &format!("- {{ allow: {allow} }}")).replace(
            "session:",
            "tls: { certificate: /c, key: /k, client_ca: /ca }\nworkload_certificates: { mesh: { ca_file: /ca } }\nsession:",
        )
    };
    let by_subject = "{ subjects: ['spiffe://acme.example/run/*'], issuers: [mesh] }";
    assert_eq!(problems(&file(by_subject)), Vec::<String>::new());
    let either = "[ { subjects: ['spiffe://acme.example/*'], issuers: [mesh] }, { roles: [a], issuers: [main] } ]";
    assert_eq!(problems(&file(either)), Vec::<String>::new());
    for (allow, expected) in [
        (
            "{ subjects: [x], roles: [admin], issuers: [mesh] }",
            "allow.roles: invalid for certificates",
        ),
        (
            "{ subjects: [x], users: [bob], issuers: [mesh] }",
            "allow.users: invalid for certificates",
        ),
        (
            "{ subjects: [x], max_age: 1h, issuers: [mesh] }",
            "allow.max_age: invalid for certificates",
        ),
        ("{ subjects: [x], issuers: [mash] }", "did you mean `mesh`?"),
    ] {
        let found = problems(&file(allow));
        assert!(found.iter().any(|one| one.contains(expected)), "{allow}: {found:#?}");
    }
}
