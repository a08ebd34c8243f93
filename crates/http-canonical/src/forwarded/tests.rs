use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn origin(peer: &str, lines: &[(&'static str, &'static str)]) -> Origin {
    let trust = Trust::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    Origin::of(&headers(lines), Peer::Tcp(peer.parse().unwrap()), &trust).unwrap()
}

fn chain(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

#[test]
fn forwarding_fields_of_an_untrusted_peer_are_ignored() {
    let said = origin(
        "203.0.113.7:1",
        &[
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1;proto=https;host=evil.test"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.test"),
        ],
    );
    assert_eq!(said, Origin { chain: chain(&["203.0.113.7"]), scheme: None, host: None });
    let trust = Trust::none();
    assert!(!trust.trusts(Peer::Tcp("127.0.0.1:1".parse().unwrap())));
    assert!(!Trust::new(vec!["0.0.0.0/0".parse().unwrap()]).trusts(Peer::Unix));
}

#[test]
fn a_trusted_unix_peer_names_the_client() {
    let trust = Trust::new(Vec::new());
    let fields: HeaderMap =
        [(X_FORWARDED_FOR, "203.0.113.7, 10.0.0.2".parse().unwrap())].into_iter().collect();
    let said = |trust: &Trust| Origin::of(&fields, Peer::Unix, trust).unwrap().chain;
    assert_eq!(said(&trust), chain(&[]));
    trust.replace(Vec::new(), true);
    assert_eq!(said(&trust), chain(&["10.0.0.2"]));
    trust.replace(vec!["10.0.0.0/8".parse().unwrap()], true);
    assert_eq!(said(&trust), chain(&["203.0.113.7", "10.0.0.2"]));
    assert!(!trust.trusts(Peer::Tcp("127.0.0.1:1".parse().unwrap())));
}

#[test]
fn the_client_is_the_nearest_address_that_is_not_a_proxy() {
    let said = origin("10.0.0.1:1", &[("x-forwarded-for", "1.1.1.1, 203.0.113.7, 10.0.0.2")]);
    assert_eq!(said.chain, chain(&["203.0.113.7", "10.0.0.2", "10.0.0.1"]));
    let lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.7:4444")];
    assert_eq!(origin("10.0.0.1:1", &lines).chain, chain(&["203.0.113.7", "10.0.0.1"]));
    let garbled = [("x-forwarded-for", "203.0.113.7, unknown, 10.0.0.2")];
    assert_eq!(origin("10.0.0.1:1", &garbled).chain, chain(&["10.0.0.2", "10.0.0.1"]));
    assert_eq!(origin("[::ffff:10.0.0.1]:1", &[("x-forwarded-for", "203.0.113.7")]).chain.len(), 2);
}

#[test]
fn the_standard_field_is_read_too() {
    let said = origin(
        "10.0.0.1:1",
        &[(
            "forwarded",
            "for=1.1.1.1;proto=http, for=\"[2001:db8::7]:99\";proto=https;host=\"a.example:8443\"",
        )],
    );
    assert_eq!(said.chain, chain(&["2001:db8::7", "10.0.0.1"]));
    assert_eq!(said.scheme, Some(Scheme::Https));
    assert_eq!(said.host.as_deref(), Some("a.example:8443"));
}

#[test]
fn two_fields_that_differ_are_both_ignored() {
    let lines = [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=198.51.100.9")];
    assert_eq!(origin("10.0.0.1:1", &lines).chain, chain(&["10.0.0.1"]));
    let lines = [("x-forwarded-proto", "http"), ("forwarded", "host=b.example;proto=https")];
    let said = origin("10.0.0.1:1", &lines);
    assert_eq!((said.scheme, said.host.as_deref()), (None, Some("b.example")));
    let lines = [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=203.0.113.7")];
    assert_eq!(origin("10.0.0.1:1", &lines).chain, chain(&["203.0.113.7", "10.0.0.1"]));
}

#[test]
fn two_hosts_are_refused_and_never_fall_back() {
    let said = |lines: &[(&'static str, &'static str)]| {
        let trust = Trust::new(vec!["10.0.0.0/8".parse().unwrap()]);
        Origin::of(&headers(lines), Peer::Tcp("10.0.0.1:1".parse().unwrap()), &trust)
    };
    let lines = [("x-forwarded-host", "a.example"), ("forwarded", "host=b.example;proto=https")];
    assert_eq!(said(&lines), Err(RequestRefusal::TwoForwardedHosts));
    let lines = [("x-forwarded-host", "a.example"), ("forwarded", "for=1.1.1.1;host=A.example")];
    assert_eq!(said(&lines).unwrap().host.as_deref(), Some("a.example"));
}
