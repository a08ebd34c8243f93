//! The way to a provider, and the requests to it.

use doorward::config::{Config, UserInfo, WithoutRefresh};

use super::{config, expect_each, small_with};

const URL: &str = "    url: https://keycloak.example/realms/platform\n";

fn with(lines: &str) -> String {
    small_with(URL, &format!("{URL}{lines}"))
}

fn warnings(text: &str) -> Vec<(String, String)> {
    let loaded = Config::parse("doorward.yaml", text).unwrap();
    loaded.warnings.iter().map(|warning| (warning.path.clone(), warning.message.clone())).collect()
}

#[test]
fn a_provider_is_reached_as_configured() {
    let text = with(
        "    discovery_url: http://keycloak.svc:8080/realms/platform\n    dangerous_allow_http: keycloak.svc\n    \
         authorization: { prompt: login, max_age: \"3600\" }\n    userinfo: always\n    without_refresh: keep_identity\n    \
         email: { require_verified: false }\n",
    );
    let config = config(&text);
    let issuer = config.issuers.get("main").unwrap();
    assert_eq!(issuer.dangerous_allow_http, ["keycloak.svc"]);
    assert_eq!(issuer.authorization.get("prompt").map(String::as_str), Some("login"));
    assert_eq!(issuer.userinfo, UserInfo::Always);
    assert_eq!(issuer.without_refresh, WithoutRefresh::KeepIdentity);
    assert!(!issuer.email.require_verified);
}

#[test]
fn the_defaults_weaken_nothing() {
    let config = config(super::SMALL);
    let issuer = config.issuers.get("main").unwrap();
    assert!(issuer.discovery_url.is_none() && issuer.dangerous_allow_http.is_empty());
    assert_eq!(issuer.userinfo, UserInfo::WhenMissing);
    assert_eq!(issuer.without_refresh, WithoutRefresh::EndWithToken);
    assert!(issuer.email.require_verified && issuer.authorization.is_empty());
}

#[test]
fn an_address_that_cannot_be_used_is_named() {
    let cases = [
        (
            "    discovery_url: keycloak\n",
            "main.discovery_url: invalid URL: relative URL without a base; write where the issuer is reached",
        ),
        (
            "    discovery_url: http://keycloak.svc:8080/realms/platform\n",
            "main.discovery_url: address \"http://keycloak.svc:8080/realms/platform\" must use https",
        ),
        (
            "    discovery_url: ftp://keycloak.svc/realms/platform\n",
            "main.discovery_url: address \"ftp://keycloak.svc/realms/platform\" must use https",
        ),
        (
            "    discovery_url: https://u:p@keycloak.svc/realms/platform\n",
            "main.discovery_url: invalid URL: it holds a user name or password; remove them",
        ),
        (
            "    discovery_url: https://keycloak.svc/realms/platform#x\n",
            "main.discovery_url: invalid URL: it has a fragment; remove it",
        ),
        (
            "    dangerous_allow_http: [\"http://keycloak.svc\"]\n",
            "main.dangerous_allow_http: invalid host: \"http://keycloak.svc\" is not a host; write its name or address alone",
        ),
        (
            "    dangerous_allow_http: [\"*\"]\n",
            "main.dangerous_allow_http: invalid host: \"*\" is not a host",
        ),
        ("    dangerous_allow_htp: [keycloak.svc]\n", "did you mean `dangerous_allow_http`?"),
    ];
    for (lines, expected) in cases {
        expect_each(&[(URL, &format!("{URL}{lines}"), expected)]);
    }
}

#[test]
fn parameters_of_the_protocol_are_refused() {
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "request",
        "request_uri",
        "dpop_jkt",
        "client_secret",
        "client_assertion",
    ] {
        let lines = format!("{URL}    authorization: {{ {name}: x }}\n");
        let expected = format!(
            "main.authorization.{name}: invalid parameter `{name}`: the protocol sets it; remove it"
        );
        expect_each(&[(URL, &lines, &expected)]);
    }
    for (parameter, expected) in [
        ("prompt: none", "invalid `prompt`: with `none` the provider shows no sign-in page"),
        ("prompt: login none", "invalid `prompt`"),
        ("max_age: soon", "invalid `max_age`: not a number of seconds"),
        ("\"a b\": x", "invalid parameter: its name is empty or has white space"),
        ("max_age: 3600", "found the number `3600`"),
    ] {
        let lines = format!("{URL}    authorization: {{ {parameter} }}\n");
        expect_each(&[(URL, &lines, expected)]);
    }
}

#[test]
fn weaker_settings_are_warned_of() {
    let plain = warnings(&with("    dangerous_allow_http: [keycloak.svc]\n"));
    assert!(plain[0].0.ends_with("dangerous_allow_http"), "{plain:?}");
    let kept = with("    without_refresh: keep_identity\n");
    assert_eq!(warnings(&kept), []);
    let sending = kept.replace("upstream:", "identity: { access_token: true }\n    upstream:");
    assert!(warnings(&sending).iter().any(|(path, _)| path.ends_with("without_refresh")));
    let unverified = with("    email: { require_verified: false }\n");
    assert_eq!(warnings(&unverified), []);
    let ruled = unverified.replace("allow: signed_in", "allow: { email_domains: [corp.example] }");
    assert!(warnings(&ruled).iter().any(|(path, _)| path.ends_with("email.require_verified")));
}
