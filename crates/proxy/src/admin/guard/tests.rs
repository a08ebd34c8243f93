use axum::http::{Request, Version};

use super::*;
use crate::config::SecretRef;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A guard of a listener at `bound`, with a token in a file where `token` is given.
fn guard(bound: &str, token: Option<&tempfile::NamedTempFile>) -> Guard {
    let token = token.map(|file| SecretRef::File(file.path().to_owned()));
    let listen = bound.parse().unwrap();
    Guard::new(AdminConfig { listen, token }, listen)
}

fn token_file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn ask(target: &str, fields: &[(&str, &str)]) -> Parts {
    let request = fields
        .iter()
        .fold(Request::get(target), |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

fn with_token(host: &str, authorization: &str) -> Parts {
    ask("/sessions", &[("host", host), ("authorization", authorization)])
}

#[tokio::test]
async fn probes_and_metrics_are_open_by_any_host() {
    let file = token_file(TOKEN);
    for bound in ["127.0.0.1:9090", "0.0.0.0:9090", "10.0.0.7:9090"] {
        for token in [None, Some(&file)] {
            let guard = guard(bound, token);
            for path in OPEN {
                for fields in [
                    &[][..],
                    &[("host", "10.0.0.7:9090")],
                    &[("host", "a"), ("host", "b")],
                    &[("host", "rebound.test:9090"), ("origin", "http://rebound.test:9090")],
                ] {
                    assert_eq!(guard.admit(&ask(path, fields)).await, Ok(()), "{bound} {path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn other_spellings_of_an_open_path_are_not_open() {
    let guard = guard("0.0.0.0:9090", None);
    for path in [
        "/",
        "/sessions",
        "//sessions",
        "/sessions/",
        "/%73essions",
        "/nowhere",
        "//healthz",
        "/healthz/",
        "/%68ealthz",
        "/healthz/../sessions",
        "/metrics;x",
        "/HEALTHZ",
        "/healthz%2f",
    ] {
        let request = ask(path, &[("host", "10.0.0.7:9090")]);
        assert_eq!(guard.admit(&request).await, Err(Denied::Unprotected), "{path}");
    }
}

#[tokio::test]
async fn a_loopback_listener_takes_loopback_hosts_only() {
    for bound in ["127.0.0.1:9090", "127.0.0.9:9090", "[::1]:9090", "[::ffff:127.0.0.1]:9090"] {
        let guard = guard(bound, None);
        for host in [
            "localhost",
            "localhost:9090",
            "LOCALHOST:9090",
            "a.localhost",
            "127.0.0.1",
            "127.0.0.1:9090",
            "127.255.1.2:9090",
            "[::1]",
            "[::1]:9090",
            "[0:0::1]:9090",
            "[::ffff:127.0.0.1]:9090",
        ] {
            let request = ask("/sessions", &[("host", host)]);
            assert_eq!(guard.admit(&request).await, Ok(()), "{bound} {host}");
        }
        for host in [
            "rebound.test",
            "rebound.test:9090",
            "localhost:9091",
            "127.0.0.1:80",
            "[::1]:80",
            "localhost.test",
            "notlocalhost",
            "10.0.0.7:9090",
            "0.0.0.0:9090",
            "[::]:9090",
            "127.0.0.1.nip.io",
            "128.0.0.1",
        ] {
            let request = ask("/sessions", &[("host", host)]);
            assert_eq!(guard.admit(&request).await, Err(Denied::ForeignHost), "{bound} {host}");
        }
        for host in ["", "localhost.", "localhost:", "user@localhost", "127.1", "2130706433", "a b"]
        {
            let request = ask("/sessions", &[("host", host)]);
            assert_eq!(guard.admit(&request).await, Err(Denied::Host), "{bound} {host:?}");
        }
    }
}

#[tokio::test]
async fn a_request_has_exactly_one_host() {
    let guard = guard("127.0.0.1:9090", None);
    let two = [("host", "localhost"), ("host", "localhost")];
    assert_eq!(guard.admit(&ask("/sessions", &two)).await, Err(Denied::Host));
    assert_eq!(guard.admit(&ask("/sessions", &[])).await, Err(Denied::Host));
    let target = "http://localhost:9090/sessions";
    assert_eq!(guard.admit(&ask(target, &[])).await, Err(Denied::Host));
    assert_eq!(guard.admit(&ask(target, &[("host", "localhost:9090")])).await, Ok(()));
    for host in ["localhost", "rebound.test", "127.0.0.1:9090"] {
        assert_eq!(guard.admit(&ask(target, &[("host", host)])).await, Err(Denied::Host), "{host}");
    }
    let foreign = ask("http://rebound.test/sessions", &[("host", "rebound.test")]);
    assert_eq!(guard.admit(&foreign).await, Err(Denied::ForeignHost));
    let mut http2 = ask(target, &[]);
    http2.version = Version::HTTP_2;
    assert_eq!(guard.admit(&http2).await, Ok(()));
    let mut http10 = ask("/sessions", &[]);
    http10.version = Version::HTTP_10;
    assert_eq!(guard.admit(&http10).await, Err(Denied::Host));
}

#[tokio::test]
async fn other_machines_need_a_token() {
    for bound in ["0.0.0.0:9090", "[::]:9090", "10.0.0.7:9090", "[::ffff:10.0.0.7]:9090"] {
        let guard = guard(bound, None);
        for host in ["localhost:9090", "10.0.0.7:9090", "doorward.internal"] {
            let request = with_token(host, "Bearer anything-that-is-long-enough");
            assert_eq!(guard.admit(&request).await, Err(Denied::Unprotected), "{bound} {host}");
        }
    }
    assert!(Denied::Unprotected.to_string().contains("`admin.token`"));
}

#[tokio::test]
async fn the_token_is_needed_wherever_it_is_configured() {
    let file = token_file(&format!("{TOKEN}\n"));
    for (bound, host) in [("127.0.0.1:9090", "localhost:9090"), ("0.0.0.0:9090", "gateway.test")] {
        let guard = guard(bound, Some(&file));
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let request = with_token(host, &format!("{scheme} {TOKEN}"));
            assert_eq!(guard.admit(&request).await, Ok(()), "{bound} {scheme}");
        }
        let without = ask("/sessions", &[("host", host)]);
        assert_eq!(guard.admit(&without).await, Err(Denied::NoToken), "{bound}");
        for wrong in ["Bearer", "Bearer ", "Basic YTpi", TOKEN, &format!("Basic {TOKEN}")] {
            let request = with_token(host, wrong);
            assert_eq!(guard.admit(&request).await, Err(Denied::NoToken), "{wrong}");
        }
        let cut = TOKEN.get(1..).unwrap();
        for wrong in [cut, "x", &format!("{TOKEN}x"), &format!("{TOKEN} x"), &format!("{TOKEN},x")]
        {
            let request = with_token(host, &format!("Bearer {wrong}"));
            assert_eq!(guard.admit(&request).await, Err(Denied::WrongToken), "{wrong}");
        }
        let good = format!("Bearer {TOKEN}");
        let twice = [("host", host), ("authorization", &*good), ("authorization", &*good)];
        assert_eq!(guard.admit(&ask("/sessions", &twice)).await, Err(Denied::NoToken));
        let nowhere = ask("/nowhere", &[("host", host)]);
        assert_eq!(guard.admit(&nowhere).await, Err(Denied::NoToken));
    }
}

#[tokio::test]
async fn a_token_does_not_excuse_a_foreign_host_or_page() {
    let file = token_file(TOKEN);
    let guard = guard("127.0.0.1:9090", Some(&file));
    let good = format!("Bearer {TOKEN}");
    let rebound = with_token("rebound.test:9090", &good);
    assert_eq!(guard.admit(&rebound).await, Err(Denied::ForeignHost));
    for (name, value) in [
        ("origin", "null"),
        ("origin", "https://evil.test"),
        ("origin", "http://localhost:9090"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "None"),
    ] {
        let fields = [("host", "localhost"), ("authorization", &*good), (name, value)];
        assert_eq!(guard.admit(&ask("/sessions", &fields)).await, Err(Denied::Page), "{value}");
    }
    let mixed =
        [("host", "localhost"), ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")];
    assert_eq!(guard.admit(&ask("/sessions", &mixed)).await, Err(Denied::Page));
    for own in ["none", "same-origin"] {
        let fields = [("host", "localhost"), ("authorization", &*good), ("sec-fetch-site", own)];
        assert_eq!(guard.admit(&ask("/sessions", &fields)).await, Ok(()), "{own}");
    }
}

#[tokio::test]
async fn a_changed_token_counts_at_once_and_a_lost_one_opens_nothing() {
    let file = token_file(TOKEN);
    let guard = guard("0.0.0.0:9090", Some(&file));
    let asked = |token: &str| with_token("gateway.test", &format!("Bearer {token}"));
    assert_eq!(guard.admit(&asked(TOKEN)).await, Ok(()));
    let another = "another token without spaces".replace(' ', "-");
    std::fs::write(file.path(), &another).unwrap();
    assert_eq!(guard.admit(&asked(TOKEN)).await, Err(Denied::WrongToken));
    assert_eq!(guard.admit(&asked(&another)).await, Ok(()));
    for unusable in ["", "\n", "short", "has spaces in its middle"] {
        std::fs::write(file.path(), unusable).unwrap();
        let request = asked(if unusable.trim().is_empty() { "x" } else { unusable });
        assert_eq!(guard.admit(&request).await, Err(Denied::Unreadable), "{unusable:?}");
    }
    let path = file.path().to_owned();
    drop(file);
    assert!(!path.exists());
    assert_eq!(guard.admit(&asked(&another)).await, Err(Denied::Unreadable));
}
