//! Keys of a route about the way to its upstream and back.

use doorward::config::{Config, TrustedProxy, UpstreamHost};

use super::{config, expect_each, small_with};

const PIN: &str = "sha256/YLh1dUR9y6Kja30RrAn7JKnbQG/uEtLMkBgFF2Fuihg=";

#[test]
fn tls_to_an_upstream_is_configured_by_route() {
    let text = small_with(
        "    upstream: http://app:8000\n",
        &format!(
            "    upstream: https://app:8443\n    upstream_host: console.internal\n    \
             upstream_tls: {{ pin: [{PIN}], server_name: console.internal, client_certificate: /c, client_key: /k }}\n"
        ),
    );
    let config = config(&text);
    let route = config.routes.get("app").unwrap();
    assert_eq!(route.upstream_host, UpstreamHost::Named("console.internal".parse().unwrap()));
    assert_eq!(route.upstream_tls.pin.first().unwrap().to_string(), PIN);
    let files = config.files();
    assert!(
        ["/c", "/k"].iter().all(|file| files.contains(std::path::Path::new(file))),
        "{files:?}"
    );
}

#[test]
fn mistakes_about_tls_to_an_upstream_are_named() {
    let tls = |keys: &str| format!("https://app:8443\n    upstream_tls: {{ {keys} }}");
    let (no_key, no_certificate) = (tls("client_certificate: /c"), tls("client_key: /k"));
    let (two, name) = (tls(&format!("ca_file: /ca, pin: {PIN}")), tls("server_name: 'a:443'"));
    let (short, unprefixed) =
        (tls("pin: sha256/AAAA"), tls(&PIN["sha256/".len()..].replace("YL", "pin: YL")));
    let key = "routes.app.upstream_tls";
    let at = |rest: &str| format!("{key}{rest}");
    let cases = [
        (
            no_key,
            at(".client_certificate: missing `client_key`: write it beside `client_certificate`"),
        ),
        (no_certificate, at(".client_key: missing `client_certificate`")),
        (two, at(".pin: invalid `pin`: it is trusted instead of `ca_file`; omit one of them")),
        (name, at(".server_name: invalid name `a:443`: no certificate can have it")),
        (
            short,
            at(".pin: invalid pin `sha256/AAAA`; write `sha256/` and the output of `openssl x509"),
        ),
        (unprefixed, at(".pin: invalid pin `YLh1")),
        (
            "http://app:8000\n    upstream_tls: { ca_file: /ca }".to_owned(),
            at(": invalid `upstream_tls`: the upstream does not use TLS; write it as `https:`"),
        ),
        (
            "http://app:8000\n    upstream_host: http://x".to_owned(),
            "routes.app.upstream_host: invalid host `http://x`: ".to_owned(),
        ),
    ];
    let cases: Vec<_> =
        cases.iter().map(|(new, said)| ("http://app:8000", new.as_str(), said.as_str())).collect();
    expect_each(&cases);
}

#[test]
fn missing_files_for_an_upstream_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doorward.yaml");
    let (key, absent) = (folder.path().join("session.key"), folder.path().join("absent"));
    std::fs::write(&key, "k".repeat(44)).unwrap();
    let tls = format!("ca_file: {0}, client_certificate: {0}, client_key: {0}", absent.display());
    let text =
        small_with("http://app:8000", &format!("https://app:8443\n    upstream_tls: {{ {tls} }}"))
            .replace("/run/secrets/session-key", key.to_str().unwrap())
            .replacen(
                "session:\n",
                &format!(
                    "session:\n  store: {{ embedded: {{ path: {} }} }}\n",
                    folder.path().join("db").display()
                ),
                1,
            );
    std::fs::write(&file, text).unwrap();
    let problems = super::findings(Config::load(&file));
    for key in ["ca_file", "client_certificate", "client_key"] {
        let start = format!("routes.app.upstream_tls.{key}: cannot read `{}`", absent.display());
        assert!(problems.iter().any(|problem| problem.contains(&start)), "{key}: {problems:#?}");
    }
    assert_eq!(problems.len(), 3, "{problems:#?}");
}

#[test]
fn trusted_proxies_may_be_peers_on_unix_sockets() {
    let with = |keys: &str| {
        small_with(
            "public_url: https://platform.example\n",
            &format!("public_url: https://platform.example\n{keys}\n"),
        )
    };
    let config =
        config(&with("listen: unix:/run/doorward.sock\ntrusted_proxies: [unix, 10.0.0.0/8]"));
    assert_eq!(
        config.trusted_proxies,
        [TrustedProxy::Unix, TrustedProxy::Network("10.0.0.0/8".parse().unwrap())]
    );
    let loaded = Config::parse("doorward.yaml", &with("trusted_proxies: unix")).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings.iter().any(|one| one.contains("trusted_proxies: `unix` trusts no peer")),
        "{warnings:?}"
    );
    expect_each(&[
        (
            "platform.example\n",
            "platform.example\ntrusted_proxies: [socket]\n",
            "trusted_proxies#1: invalid value `socket`; write a network",
        ),
        (
            "http://app:8000",
            "http://app:8000\n    headers: { underscores: keep }",
            "routes.app.headers.underscores: unsupported value `keep`; write `drop` or `refuse`",
        ),
    ]);
}
