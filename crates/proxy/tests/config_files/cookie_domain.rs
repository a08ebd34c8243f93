//! The domain whose hosts share one session.

use doorward::config::Config;

const FILE: &str = "\
public_url: https://app.lab.example
issuers:
  main: { url: https://id.example, client_id: gateway }
session:
  dangerous_cookie_domain: lab.example
  key: { file: /run/secrets/session-key }
routes:
  console:
    match: { host: console.lab.example }
    upstream: http://console:8000
    access: [{ allow: signed_in }]
";

#[test]
fn a_shared_session_is_warned_about() {
    for domain in ["lab.example", "app.lab.example"] {
        let host = format!("host: console.{domain}");
        let text = FILE.replace("domain: lab.example", &format!("domain: {domain}"));
        let text = text.replace("host: console.lab.example", &host);
        let loaded = Config::parse("doorward.yaml", &text).unwrap();
        assert_eq!(loaded.config.session.dangerous_cookie_domain.as_deref(), Some(domain));
        let warned = loaded.warnings.iter().find(|it| it.path == "session.dangerous_cookie_domain");
        assert!(warned.unwrap().message.contains("every server of"), "{warned:?}");
    }
}

#[test]
fn every_host_is_of_the_domain_of_the_session() {
    for host in ["console.example", "'*.example'", "evillab.example", "'*.other.example'"] {
        let text = FILE.replace("console.lab.example", host);
        let problems = Config::parse("doorward.yaml", &text).unwrap_err().to_string();
        assert!(problems.contains("routes.console.match.host: invalid host"), "{problems}");
        assert!(problems.contains("session.dangerous_cookie_domain"), "{problems}");
    }
    for host in ["lab.example", "'*.lab.example'", "'*.deep.lab.example'"] {
        assert!(
            Config::parse("doorward.yaml", &FILE.replace("console.lab.example", host)).is_ok(),
            "{host}"
        );
    }
    let address = FILE
        .replace("app.lab.example", "192.0.2.7")
        .replace("domain: lab.example", "domain: 0.2.7");
    assert!(Config::parse("doorward.yaml", &address).is_err());
}
