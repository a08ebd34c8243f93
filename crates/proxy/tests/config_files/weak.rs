//! Warnings about settings that are valid and weak.

use std::fs;

use doorward::config::Config;

use super::{SMALL, small_with};

/// The warnings about a text.
fn warned(text: &str) -> Vec<String> {
    let loaded = Config::parse("doorward.yaml", text).unwrap();
    loaded.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn networks_wider_than_private_ones_are_a_warning() {
    for (network, expected) in [
        ("0.0.0.0/0", Some("`0.0.0.0/0` trusts the `X-Forwarded-*` headers of every client")),
        ("\"::/0\"", Some("of every client")),
        ("128.0.0.0/1", Some("of more addresses than any private network has")),
        ("\"2000::/3\"", Some("of more addresses than any private network has")),
        ("10.0.0.0/8", None),
        ("\"fc00::/7\"", None),
    ] {
        let keys = format!("trusted_proxies: [{network}]\nroutes:\n");
        let found = warned(&small_with("routes:\n", &keys));
        match (expected, found.as_slice()) {
            (None, []) => {}
            (Some(expected), [only]) => {
                assert!(only.contains("trusted_proxies: ") && only.contains(expected), "{only}");
            }
            (_, found) => panic!("{network}: {found:?}"),
        }
    }
}

#[test]
fn a_session_of_more_than_a_day_is_a_warning() {
    let with = |lifetime: &str| {
        let session = format!("session:\n  lifetime: {lifetime}\n");
        warned(&small_with("session:\n", &session))
    };
    assert_eq!(with("1d"), [""; 0]);
    let found = with("7d");
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert!(only.contains("session.lifetime: a session lives for 7days"), "{only}");
}

#[test]
fn plain_http_over_a_public_network_is_a_warning() {
    for (upstream, far) in [
        ("http://app:8000", false),
        ("http://app.models:8000", false),
        ("http://app.models.svc.cluster.local:8000", false),
        ("http://127.0.0.1:8000", false),
        ("http://10.1.2.3:8000", false),
        ("http://100.64.0.1:8000", false),
        ("'http://[fd00::1]:8000'", false),
        ("'http://[::ffff:10.0.0.1]:8000'", false),
        ("unix:/run/app.sock", false),
        ("https://app.corp.example", false),
        ("http://app.corp.example", true),
        ("h2c://app.corp.example:50051", true),
        ("http://203.0.113.7", true),
        ("http://100.128.0.1", true),
        ("'http://[2001:db8::1]'", true),
    ] {
        let found = warned(&small_with("http://app:8000", upstream));
        let named = found.iter().filter(|one| one.contains("routes.app.upstream: ")).count();
        assert_eq!(
            (named, found.len()),
            (usize::from(far), usize::from(far)),
            "{upstream}: {found:?}"
        );
    }
    let text = small_with("http://app:8000", "http://app.corp.example")
        .replace("    access:", "    identity: { access_token: true }\n    access:");
    let found = warned(&text);
    assert!(
        found.iter().any(|one| one.contains("the token or password that this route adds")),
        "{found:?}"
    );
}

#[test]
fn secrets_that_can_be_guessed_are_a_warning_without_their_text() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let text = SMALL
        .replace("/run/secrets/session-key", &at("key"))
        .replace(
            "session:\n",
            &format!("session:\n  store: {{ embedded: {{ path: {} }} }}\n", at("sessions")),
        )
        .replace(
            "    client_id: gateway\n",
            &format!(
                "    client_id: gateway\n    client_auth: {{ secret: {{ file: {} }} }}\n",
                at("secret")
            ),
        )
        .replace(
            "    access:",
            &format!(
                "    identity: {{ credentials: {{ bearer: {{ file: {} }} }} }}\n    access:",
                at("token")
            ),
        );
    fs::write(at("doorward.yaml"), text).unwrap();
    let good = "q3H8vX0rT5kLw9ZsYb2NfD7mJc4GpA1e";
    let warned = |secret: &str, key: &str, token: &str| -> Vec<String> {
        for (name, value) in [("secret", secret), ("key", key), ("token", token)] {
            fs::write(at(name), value).unwrap();
        }
        let loaded = Config::load(&folder.path().join("doorward.yaml")).unwrap();
        loaded.warnings.iter().map(ToString::to_string).collect()
    };
    assert_eq!(warned(good, good, good), [""; 0]);
    let repeated = "abc".repeat(20);
    for (secret, key, token, path, expected) in [
        ("changeme\n", good, good, "issuers.main.client_auth.secret", "a secret of examples"),
        ("password", good, good, "issuers.main.client_auth.secret", "a secret of examples"),
        ("fifteen-letters", good, good, "issuers.main.client_auth.secret", "fewer than 16 bytes"),
        (good, repeated.as_str(), good, "session.key", "repeats a few characters"),
        (good, good, "admin", "routes.app.identity.credentials", "a secret of examples"),
    ] {
        let found = warned(secret, key, token);
        let [only] = found.as_slice() else { panic!("{path}: {found:#?}") };
        assert!(only.contains(path) && only.contains(expected), "{only}");
        assert!(secret == good || !only.contains(secret.trim()), "{only}");
    }
}
