//! Texts of changes, with names that a shell or Terraform could read as their own.

use serde_json::json;

use super::super::finding::{Change, NewMapper, Setting, Terraform};
use super::{Changes, kcadm, terraform};

fn changes(all: &[Change]) -> Changes<'_> {
    Changes { server: "https://id.example", realm: "lab", all: all.iter().collect() }
}

#[test]
fn words_of_the_shell_are_quoted() {
    let setting = Setting::new("redirectUris", "valid_redirect_uris", json!(["https://a/'$(id)"]));
    let all = [Change::Client { client: "it's `id`".to_owned(), setting }];
    let script = kcadm::script(&changes(&all));
    assert!(script.contains(r#"-s 'redirectUris=["https://a/'\''$(id)"]'"#), "{script}");
    assert!(script.contains(r"$(client 'it'\''s `id`')"), "{script}");
}

#[test]
fn settings_of_a_resource_are_written_together() {
    let extra = Terraform::Extra("id.token.signed.response.alg", json!("RS256"));
    let all = [
        Change::Realm(Setting::new("sslRequired", "ssl_required", "external")),
        Change::Client {
            client: "1gate".to_owned(),
            setting: Setting::new("attributes.x", "x", "RS256").written_as(extra),
        },
        Change::Client {
            client: "1gate".to_owned(),
            setting: Setting::new("webOrigins", "web_origins", json!(["${path}"])),
        },
    ];
    let text = terraform::resources(&changes(&all));
    let expected = r#"
resource "keycloak_realm" "lab" {
  realm = "lab"
  ssl_required = "external"
}

resource "keycloak_openid_client" "_1gate" {
  realm_id = keycloak_realm.lab.id
  client_id = "1gate"
  web_origins = ["$${path}"]
  extra_config = {
    "id.token.signed.response.alg" = "RS256"
  }
}
"#;
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn an_audience_is_a_scope_with_a_mapper() {
    let mapper = NewMapper::CustomAudience("https://a/mcp".to_owned());
    let all = [Change::NewScope { name: "mcp-audience".to_owned(), mapper }];
    let (script, text) = (kcadm::script(&changes(&all)), terraform::resources(&changes(&all)));
    assert!(script.contains(r#""included.custom.audience":"https://a/mcp""#), "{script}");
    assert!(text.contains(r#"included_custom_audience = "https://a/mcp""#), "{text}");
    assert!(
        text.contains("client_scope_id = keycloak_openid_client_scope.mcp_audience.id"),
        "{text}"
    );
}
