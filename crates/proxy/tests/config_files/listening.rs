//! The listeners beside the public one, and the PROXY protocol.

use doorward::config::ListenAddr;

use super::{SMALL, config, expect_each, small_with};

#[test]
fn the_other_listeners_are_off_by_default() {
    let config = config(SMALL);
    assert!(config.redirect.is_empty() && config.ext_authz.is_none() && !config.proxy_protocol);
}

#[test]
fn each_listener_has_its_own_address() {
    let keys = "redirect: [ '0.0.0.0:80', 'unix:/run/redirect.sock' ]\nproxy_protocol: true\n\
                trusted_proxies: [ 10.0.0.0/8 ]\next_authz: { listen: 'unix:/run/envoy.sock' }\nsession:";
    let config = config(&small_with("session:", keys));
    assert_eq!(config.redirect.len(), 2);
    assert!(config.proxy_protocol);
    let own = config.ext_authz.unwrap();
    assert_eq!(own.listen, ListenAddr::Unix("/run/envoy.sock".into()));
    for open in ["127.0.0.1:9191", "'[::1]:9191'", "'[::ffff:127.0.0.1]:9191'"] {
        let keys = format!("ext_authz: {{ listen: {open} }}\nsession:");
        assert!(super::config(&small_with("session:", &keys)).ext_authz.is_some(), "{open}");
    }
    let mutual = "ext_authz: { listen: '0.0.0.0:9191', tls: { certificate: /c, key: /k, client_ca: /ca } }\nsession:";
    assert!(super::config(&small_with("session:", mutual)).ext_authz.unwrap().tls.is_some());
}

#[test]
fn a_route_of_which_envoy_asks_needs_no_upstream() {
    let without = small_with("    upstream: http://app:8000\n", "");
    let asked = without.replacen("session:", "ext_authz: { listen: 'unix:/a' }\nsession:", 1);
    assert!(config(&asked).routes.get("app").unwrap().upstream.is_empty());
    expect_each(&[("    upstream: http://app:8000\n", "", "or open `ext_authz` for Envoy")]);
}

#[test]
fn mistakes_about_listeners_are_named() {
    let cases = [
        (
            "ext_authz: { listen: '0.0.0.0:9191' }",
            "ext_authz.listen: invalid address `0.0.0.0:9191`: other machines reach it",
        ),
        (
            "ext_authz: { listen: '10.0.0.1:9191' }",
            "listen on loopback or on a unix socket, or write `tls: {",
        ),
        (
            "ext_authz: { listen: 'unix:/run/a', tls: { certificate: /c, key: /k, client_ca: /ca } }",
            "ext_authz.tls: unsupported `tls` on a unix socket",
        ),
        ("ext_authz: { listen: '0.0.0.0:9191', tls: { certificate: /c, key: /k } }", "client_ca"),
        ("ext_authz: { listen: localhost:9191 }", "ext_authz.listen: invalid address"),
        ("ext_authz: 127.0.0.1:9191", "ext_authz"),
        ("ext_authz: {}", "listen"),
        ("ext_authz: { listen: '127.0.0.1:9191', tsl: 1 }", "tsl"),
        (
            "ext_authz: { listen: '127.0.0.1:9090' }",
            "ext_authz.listen: invalid address `127.0.0.1:9090`: `admin` uses it",
        ),
        (
            "redirect: '0.0.0.0:9090'",
            "redirect: invalid address `0.0.0.0:9090`: `admin` uses it (`127.0.0.1:9090`)",
        ),
        ("redirect: [ '0.0.0.0:80', '127.0.0.1:80' ]", "`redirect` uses it (`0.0.0.0:80`)"),
        ("redirect: '0.0.0.0:8080'", "redirect: invalid address `0.0.0.0:8080`: `listen` uses it"),
        ("redirect: 80", "redirect"),
        ("proxy_protocol: true", "proxy_protocol: missing `trusted_proxies`"),
        ("proxy_protocol: v2", "proxy_protocol"),
    ]
    .map(|(key, expected)| (format!("{key}\nsession:"), expected));
    let cases: Vec<_> =
        cases.iter().map(|(key, expected)| ("session:", key.as_str(), *expected)).collect();
    expect_each(&cases);
}

#[test]
fn plain_http_has_nothing_to_redirect_to() {
    let text = small_with("https://platform.example", "http://localhost:8080");
    let text = text.replacen("session:", "redirect: '0.0.0.0:80'\nsession:", 1);
    let problems = doorward::config::Config::parse("doorward.yaml", &text).unwrap_err();
    let said = problems.to_string();
    assert!(
        said.contains("redirect: no address to redirect to: `public_url` is plain http"),
        "{said}"
    );
}
