//! Checks over facts that a live Keycloak does not show in a test, and the forms that settings have.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::facts::{Administration, Client, Facts, Mapper, OwnToken};
use super::super::needs::Needs;
use super::{CHECKS, judge};
use crate::config::Config;

/// The requirements of a configuration with these settings of the issuer and routes.
fn needs(issuer: Value, routes: Value) -> Needs {
    let mut settings = json!({
        "url": "https://id.example/realms/lab",
        "client_id": "gateway",
        "client_auth": { "secret": { "file": "/secret" } },
    });
    settings.as_object_mut().unwrap().extend(issuer.as_object().unwrap().clone());
    let config: Config = serde_json::from_value(json!({
        "public_url": "https://platform.example",
        "issuers": { "main": settings },
        "routes": routes,
    }))
    .unwrap();
    Needs::new("main", &config.issuers["main"], &config)
}

fn names(needs: &Needs, facts: &Facts) -> BTreeSet<&'static str> {
    judge(needs, facts).iter().map(|finding| finding.check.name).collect()
}

fn client(members: Value) -> Client {
    let mut client = json!({
        "id": "1", "clientId": "gateway",
        "redirectUris": ["https://platform.example/oauth2/callback"],
        "attributes": {
            "pkce.code.challenge.method": "S256",
            "post.logout.redirect.uris": "https://platform.example/oauth2/signed_out",
            "backchannel.logout.url": "http://gateway.svc:8080/oauth2/backchannel_logout",
            "backchannel.logout.session.required": "true",
        },
    });
    client.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    serde_json::from_value(client).unwrap()
}

fn facts(client: Client) -> Facts {
    let realm = serde_json::from_value(json!({
        "sslRequired": "external", "bruteForceProtected": true, "passwordPolicy": "length(12)",
        "accessTokenLifespan": 300, "ssoSessionIdleTimeout": 3600, "ssoSessionMaxLifespan": 43_200,
    }))
    .unwrap();
    let administration =
        Administration { realm, clients: vec![client], ..Administration::default() };
    Facts { keycloak: true, administration: Some(administration), ..Facts::default() }
}

fn page() -> Value {
    json!({ "page": { "match": { "path": "/" }, "access": [{ "allow": "signed_in" }] } })
}

#[test]
fn names_of_checks_are_unique_and_stable_words() {
    let mut seen = BTreeSet::new();
    for check in CHECKS {
        assert!(seen.insert(check.name), "{} occurs twice", check.name);
        assert!(check.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", check.name);
        assert!(check.summary.ends_with('.') && !check.effect.ends_with('.'), "{}", check.name);
    }
}

#[test]
fn a_right_client_has_no_finding() {
    let needs = needs(json!({}), page());
    assert_eq!(names(&needs, &facts(client(json!({})))), BTreeSet::new());
    let uris =
        json!({ "redirectUris": ["/oauth2/callback"], "rootUrl": "https://platform.example/" });
    assert_eq!(names(&needs, &facts(client(uris))), BTreeSet::new());
}

#[test]
fn a_clock_within_the_leeway_is_right() {
    let needs = needs(json!({ "leeway": "30s" }), page());
    for (ahead, found) in [(30, false), (-30, false), (31, true), (-31, true), (i64::MIN, true)] {
        let facts = Facts { clock_ahead: Some(ahead), ..Facts::default() };
        assert_eq!(names(&needs, &facts).contains("clock_skew"), found, "{ahead}");
    }
}

#[test]
fn plain_http_is_found_off_loopback_only() {
    for (url, found) in [
        ("http://id.example/realms/lab", true),
        ("http://127.0.0.1:8080/realms/lab", false),
        ("https://id.example/realms/lab", false),
    ] {
        let needs = needs(json!({ "url": url, "dangerous_allow_http": ["id.example"] }), page());
        assert_eq!(names(&needs, &Facts::default()).contains("issuer_over_http"), found, "{url}");
    }
}

#[test]
fn a_client_that_does_not_exist_is_one_finding() {
    let needs = needs(json!({ "client_id": "elsewhere" }), page());
    assert_eq!(names(&needs, &facts(client(json!({})))), BTreeSet::from(["client_missing"]));
}

#[test]
fn every_host_needs_its_redirect_uri() {
    let routes = json!({
        "page": { "match": { "path": "/" }, "access": [{ "allow": "signed_in" }] },
        "other": { "match": { "host": "apps.example", "path": "/" }, "access": [{ "allow": "signed_in" }] },
    });
    let needs = needs(json!({}), routes);
    let facts = facts(client(json!({})));
    let findings = judge(&needs, &facts);
    let of = |name: &str| {
        let finding = findings.iter().find(|finding| finding.check.name == name).unwrap();
        finding.problem.value.clone()
    };
    assert_eq!(of("redirect_uri_missing"), "https://apps.example/oauth2/callback");
    assert_eq!(of("post_logout_uri_missing"), "https://apps.example/oauth2/signed_out");
}

#[test]
fn an_own_token_shows_what_it_lacks() {
    let needs = needs(json!({ "audience": ["gateway"], "algorithms": ["RS256"] }), page());
    let token = OwnToken {
        algorithm: "ES256".to_owned(),
        kind: Some("at+jwt".to_owned()),
        lifetime: Some(20),
        audience: vec!["account".to_owned()],
    };
    let facts = Facts { keycloak: true, own_token: Some(token), ..Facts::default() };
    let expected = [
        "access_token_short",
        "algorithm_not_accepted",
        "audience_missing",
        "full_scope_allowed",
        "token_type_not_accepted",
    ];
    assert_eq!(names(&needs, &facts), expected.into());
}

#[test]
fn a_wildcard_in_the_middle_is_no_pattern() {
    let client = client(json!({}));
    let uri = "https://platform.example/oauth2/callback".parse().unwrap();
    for (registered, covered) in [
        ("https://platform.example/oauth2/callback", true),
        ("https://platform.example/*", true),
        ("*", true),
        ("https://*.example/oauth2/callback", false),
        ("https://platform.example/oauth2/callback/", false),
        ("https://platform.example.evil/*", false),
        ("", false),
    ] {
        assert_eq!(client.covers(&[registered.to_owned()], &uri), covered, "{registered}");
    }
}

#[test]
fn an_escaped_dot_in_a_claim_name_is_read() {
    let mapper: Mapper = serde_json::from_value(json!({
        "config": { "claim.name": "https://acme\\.example/groups", "id.token.claim": "true" },
    }))
    .unwrap();
    assert!(mapper.writes("https://acme.example/groups"));
    assert!(!mapper.writes("groups"));
}

#[test]
fn an_issuer_that_does_not_answer_is_one_finding() {
    let needs = needs(json!({ "audience": ["gateway"] }), page());
    let facts = Facts { unreachable: Some("no connection".to_owned()), ..Facts::default() };
    assert_eq!(names(&needs, &facts), BTreeSet::from(["issuer_unreachable"]));
}
