//! What `doorward.yaml` may say, and what is said about one that is wrong.
#![expect(clippy::unwrap_used, reason = "tests")]

use doorward::config::{Config, Problems};

fn problems(text: &str) -> Vec<String> {
    match Config::parse("doorward.yaml", text) {
        Ok(_) => Vec::new(),
        Err(Problems { problems, .. }) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_file_with_ten_mistakes_is_told_all_ten_with_their_lines() {
    let text = r#"
listen: 8443
public_url: https://platform.example/app
trusted_proxies: [10.0.0.0]
issuers:
  main:
    url: http://keycloak.example/realms/platform
    client_id: gateway
    client_auth: { secret: hunter2 }
session:
  idle: 30
  key: { file: /run/secrets/session-key }
routes:
  jupyter:
    match: { path: /jupyter }
    upstram: http://jupyterhub:8000
    access:
      - { path: /jupiter/hub/health, allow: anyone }
      - { allow: { roles: [data-scientist], isuers: [mian] } }
      - { allow: { issuers: [mian] } }
  scoring:
    match: { path: /models/churn/ }
    upstream: ftp://churn:8080
    sign_in: chalenge
    access: []
"#;
    for line in problems(text) { println!("{line}"); }
    panic!();
}
