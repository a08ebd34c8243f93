//! The configuration file `doorward.yaml`: its values, its warnings and its problems.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use doorward::config::{
    AdminConfig, Allow, ByteSize, ClientAuth, Config, EmbeddedStore, HostPattern, Keep, Problem,
    Problems, SecretRef, SessionStoreConfig, SignedOut, UpstreamAddress, UpstreamProtocol,
    UpstreamUrl,
};

mod agents;
mod anchors;
mod api_keys;
mod applications;
mod any_text;
mod bound_tokens;
mod callers;
mod cookie_domain;
mod explained_certificates;
mod health;
mod included;
mod limits;
mod listening;
mod machines;
mod mistakes;
mod online;
mod online_targets;
mod outside;
mod presets;
mod platform;
mod profiles;
mod providers;
mod proxying;
mod revocation_lists;
mod runtime;
mod shared;
mod stopping;
mod telemetry;
mod weak;
mod workloads;

/// The smallest file for one application.
pub(crate) const SMALL: &str = "\
public_url: https://platform.example
issuers:
  main:
    url: https://keycloak.example/realms/platform
    client_id: gateway
    audience: [gateway]
session:
  key: { file: /run/secrets/session-key }
routes:
  app:
    match: { path: /app }
    upstream: http://app:8000
    access:
      - { allow: signed_in }
";

pub(crate) fn findings(result: Result<doorward::config::Loaded, Problems>) -> Vec<String> {
    result.err().map_or(Vec::new(), |error| error.problems.iter().map(Problem::to_string).collect())
}

pub(crate) fn problems(text: &str) -> Vec<String> {
    findings(Config::parse("doorward.yaml", text))
}

/// [`SMALL`] with one change.
pub(crate) fn small_with(old: &str, new: &str) -> String {
    assert!(SMALL.contains(old), "{old}");
    SMALL.replacen(old, new, 1)
}

/// Each change of [`SMALL`] must give exactly the one problem.
pub(crate) fn expect_each(cases: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (old, new, expected) in cases {
        let found = problems(&small_with(old, new));
        if !matches!(found.as_slice(), [only] if only.contains(expected)) {
            wrong.push(format!("{new}\n  found {found:#?}\n  not   {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

pub(crate) fn config(text: &str) -> Config {
    Config::parse("doorward.yaml", text).unwrap().config
}

#[test]
fn a_small_file_is_enough() {
    let config = config(SMALL);
    assert_eq!(config.listen.len(), 1);
    assert_eq!(config.endpoints, "/oauth2");
    assert_eq!(config.session.idle, Duration::from_secs(3600));
    let issuer = config.issuers.get("main").unwrap();
    assert_eq!(issuer.scopes, ["openid", "profile", "email"]);
    assert_eq!(issuer.claim_paths().roles, ["realm_access.roles"]);
    let route = config.routes.get("app").unwrap();
    assert_eq!(route.access.first().unwrap().allow, Allow::SignedIn);
    assert_eq!(route.timeouts.idle, Duration::from_secs(600));
    assert!(route.identity.assertion && !route.identity.access_token.is_sent());
}

#[test]
fn doubtful_settings_are_warnings() {
    let text = small_with("https://platform.example", "http://platform.example")
        .replace("session:", "admin: 0.0.0.0:9090\ntrusted_proxies: [0.0.0.0/0]\nsession:");
    let loaded = Config::parse("doorward.yaml", &text).unwrap();
    let warnings: Vec<_> =
        loaded.warnings.iter().map(|warning| (warning.line, warning.path.as_str())).collect();
    assert_eq!(warnings, [(1, "public_url"), (7, "admin"), (8, "trusted_proxies")]);
    let loopback = small_with("https://platform.example", "http://localhost:8080");
    assert_eq!(Config::parse("doorward.yaml", &loopback).unwrap().warnings, []);
}

#[test]
fn the_admin_listener_is_an_address_or_keys() {
    let admin =
        |text: &str| config(&small_with("session:", &format!("admin: {text}\nsession:"))).admin;
    let token = |listen: &str| AdminConfig {
        listen: listen.parse().unwrap(),
        token: Some(SecretRef::File("/run/t".into())),
    };
    assert_eq!(config(SMALL).admin, admin("127.0.0.1:9090"));
    assert_eq!(admin("\"[::1]:9091\"").listen.port(), 9091);
    assert_eq!(admin("{ listen: 0.0.0.0:9090, token: { file: /run/t } }"), token("0.0.0.0:9090"));
    assert_eq!(admin("{ token: { file: /run/t } }"), token("127.0.0.1:9090"));
    assert_eq!(admin("{ listen: 127.0.0.1:1 }"), admin("127.0.0.1:1"));
}

#[test]
fn an_exposed_admin_listener_without_a_token_is_a_warning() {
    let warned = |text: &str| {
        let text = small_with("session:", &format!("admin: {text}\nsession:"));
        let loaded = Config::parse("doorward.yaml", &text).unwrap();
        loaded.warnings.iter().map(|warning| warning.message.clone()).collect::<Vec<_>>()
    };
    for open in ["0.0.0.0:9090", "10.0.0.7:9090", "\"[::]:9090\"", "{ listen: 0.0.0.0:9090 }"] {
        let warnings = warned(open);
        let [only] = warnings.as_slice() else { panic!("{open}: {warnings:?}") };
        assert!(only.starts_with("missing `admin.token`: "), "{only}");
    }
    let guarded = "{ listen: 0.0.0.0:9090, token: { env: ADMIN_TOKEN } }";
    for closed in ["127.0.0.1:9090", "\"[::1]:9090\"", "\"[::ffff:127.0.0.1]:9090\"", guarded] {
        assert!(warned(closed).is_empty(), "{closed}");
    }
}

#[test]
fn a_rule_that_may_mean_less_than_before_is_a_warning() {
    let warned = |allow: &str| -> Vec<String> {
        let text = small_with("{ allow: signed_in }", &format!("{{ allow: {allow} }}"));
        let loaded = Config::parse("doorward.yaml", &text).unwrap();
        loaded.warnings.iter().map(ToString::to_string).collect()
    };
    assert_eq!(warned("{ users: [alice, svc-churn, 12-34] }"), Vec::<String>::new());
    for (user, key) in
        [("boss@corp.example", "emails"), ("9f1c2b3a-0d4e-4f5a-8b6c-7d8e9f0a1b2c", "subjects")]
    {
        let said = warned(&format!("{{ users: [alice, '{user}'] }}"));
        let [said] = said.as_slice() else { panic!("{said:?}") };
        assert!(said.contains(user) && said.contains(&format!("write it in `{key}`")), "{said}");
    }
}

#[test]
fn with_several_issuers_a_rule_should_name_one() {
    let warned = |allow: &str| -> usize {
        let text = small_with("{ allow: signed_in }", &format!("{{ allow: {allow} }}"));
        let text = text.replacen(
            "issuers:\n",
            "issuers:\n  partner: { url: https://partner.example, client_id: gateway }\n",
            1,
        );
        let loaded = Config::parse("doorward.yaml", &text).unwrap();
        loaded.warnings.iter().filter(|said| said.to_string().contains("missing `issuers`")).count()
    };
    assert_eq!(warned("anyone"), 0);
    assert_eq!(warned("signed_in"), 1);
    assert_eq!(warned("{ roles: [admin] }"), 1);
    assert_eq!(warned("{ roles: [admin], issuers: [main] }"), 0);
    assert_eq!(warned("[ { issuers: [main] }, { roles: [admin] } ]"), 1);
}

#[test]
fn one_value_is_read_as_a_list_of_one() {
    let one = config(&small_with("[gateway]", "gateway"));
    assert_eq!(one, config(SMALL));
    let list = config(&small_with("http://app:8000", "[http://a:1, unix:/run/b.sock]"));
    let upstream = &list.routes.get("app").unwrap().upstream;
    let [tcp, unix] = upstream.as_slice() else { panic!("{upstream:?}") };
    assert_eq!(tcp.address(), &UpstreamAddress::Tcp { host: "a".to_owned(), port: 1 });
    assert_eq!(unix.address(), &UpstreamAddress::Unix("/run/b.sock".into()));
}

#[test]
fn the_scheme_of_an_upstream_is_its_protocol() {
    for (text, protocol, port) in [
        ("http://a", UpstreamProtocol::Http, 80),
        ("https://a/", UpstreamProtocol::Https, 443),
        ("h2c://a:50051", UpstreamProtocol::H2c, 50051),
        ("h2://a", UpstreamProtocol::H2, 443),
    ] {
        let upstream: UpstreamUrl = text.parse().unwrap();
        assert_eq!(upstream.protocol(), protocol);
        assert_eq!(upstream.address(), &UpstreamAddress::Tcp { host: "a".to_owned(), port });
        assert_eq!(upstream.to_string().parse::<UpstreamUrl>().unwrap(), upstream);
    }
    for text in ["", "/", "unix:", "unix://a", "unix:a", "a", "a:1", "http://", "gopher://a"] {
        assert!(text.parse::<UpstreamUrl>().is_err(), "{text}");
    }
}

#[test]
fn a_preset_fills_in_missing_keys() {
    let text = small_with(
        "    access:",
        "    preset: jupyterhub\n    paths: { double_slash: refuse }\n    access:",
    );
    let config = config(&text);
    let route = config.routes.get("app").unwrap();
    assert_eq!(route.paths.encoded_slash, Keep::Keep);
    assert_eq!(route.paths.double_slash, Keep::Refuse);
    assert_eq!(route.timeouts.idle, Duration::from_secs(3600));
    assert_eq!(route.timeouts.connect, Duration::from_secs(5));
    assert_eq!(route.signed_out, SignedOut::Retry, "JupyterLab waits on 424");
    for preset in ["streamlit", "grafana", "generic"] {
        self::config(&small_with("    access:", &format!("    preset: {preset}\n    access:")));
    }
}

#[test]
fn stores_and_client_authentication_are_choices() {
    let store = |text: &str| {
        config(&small_with("session:", &format!("session:\n  store: {text}"))).session.store
    };
    let embedded = |path: &str| SessionStoreConfig::Embedded(EmbeddedStore { path: path.into() });
    assert_eq!(store("embedded"), embedded("/var/lib/doorward/sessions.redb"));
    assert_eq!(store("{ embedded: { path: /data/s.redb } }"), embedded("/data/s.redb"));
    assert_eq!(store("cookie"), SessionStoreConfig::Cookie);
    let text =
        small_with("    client_id", "    client_auth: { secret: { env: SECRET } }\n    client_id");
    let auth = config(&text).issuers.get("main").unwrap().client_auth.clone();
    assert_eq!(auth, ClientAuth::Secret(SecretRef::Env("SECRET".to_owned())));
}

#[test]
fn sizes_and_hosts_are_read_exactly() {
    for (text, size) in [("1B", 1), ("512KiB", 524_288), ("10GiB", 10 << 30), ("2 MB", 2_000_000)] {
        assert_eq!(text.parse::<ByteSize>().unwrap().0, size);
    }
    for text in ["", "5", "-1B", "1.5GiB", "99999999999TiB", "KiB"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text}");
    }
    let below: HostPattern = "*.example".parse().unwrap();
    assert!(
        below.matches("a.b.example") && !below.matches("example") && !below.matches("aexample")
    );
    for text in ["*", "a*.example", "a.*.example", "example.", "exa mple", "", "http://a", "a/b"] {
        assert!(text.parse::<HostPattern>().is_err(), "{text}");
    }
}

#[test]
fn the_schema_knows_every_key() {
    let schema: serde_json::Value =
        serde_json::from_str(&doorward::commands::schema::schema()).unwrap();
    let properties = schema.get("properties").unwrap().as_object().unwrap();
    for key in ["listen", "tls", "public_url", "issuers", "session", "routes", "outbound", "log"] {
        assert!(properties.contains_key(key), "{key}");
    }
    assert_eq!(schema.get("additionalProperties"), Some(&serde_json::Value::Bool(false)));
}
