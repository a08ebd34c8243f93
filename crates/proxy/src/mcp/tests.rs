use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::*;

/// The fields of one request.
fn fields(version: &str, method: &str, name: Option<&str>) -> HeaderMap {
    let fields =
        [("mcp-protocol-version", Some(version)), ("mcp-method", Some(method)), ("mcp-name", name)];
    let written = fields.into_iter().filter_map(|(field, value)| {
        Some((HeaderName::from_static(field), HeaderValue::from_bytes(value?.as_bytes()).unwrap()))
    });
    written.collect()
}

fn read_as(method: &str, name: Option<&str>, body: &str) -> Result<McpMessage, McpFault> {
    read(&McpHeaders::of(&fields("2026-07-28", method, name)).unwrap(), body.as_bytes())
}

fn call(tool: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": {} } }).to_string()
}

#[test]
fn a_message_says_the_same_as_its_fields() {
    let message = read_as("tools/call", Some("query_sales"), &call("query_sales")).unwrap();
    assert_eq!(message.tool(), Some("query_sales"));
    let packed = read_as("tools/call", Some("=?base64?w6k=?="), &call("é")).unwrap();
    assert_eq!(packed.tool(), Some("é"));
    let list = r#"{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let list = read_as("tools/list", None, list).unwrap();
    assert_eq!((list.method.as_str(), list.tool()), ("tools/list", None));
    let notification = r#" {"jsonrpc":"2.0","method":"notifications/cancelled"} "#;
    read_as("notifications/cancelled", None, notification).unwrap();
    let read_of =
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a b"}}"#;
    let resource = read_as("resources/read", Some("file:///a b"), read_of).unwrap();
    assert_eq!((resource.tool(), resource.name.as_deref()), (None, Some("file:///a b")));
}

#[test]
fn fields_that_disagree_with_the_body_are_refused() {
    let mismatch = |header| Err(McpFault::Mismatch { header });
    assert_eq!(read_as("tools/list", None, &call("x")), mismatch("Mcp-Method"));
    assert_eq!(read_as("Tools/Call", Some("x"), &call("x")), mismatch("Mcp-Method"));
    assert_eq!(read_as("tools/call", Some("query_sales"), &call("drop")), mismatch("Mcp-Name"));
    assert_eq!(read_as("tools/call", Some("DROP"), &call("drop")), mismatch("Mcp-Name"));
    let missing = Err(McpFault::MissingHeader { name: "Mcp-Name" });
    assert_eq!(read_as("tools/call", None, &call("x")), missing);
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
    assert_eq!(read_as("tools/list", Some("query_sales"), list), mismatch("Mcp-Name"));
    let other = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25"}}}"#;
    assert_eq!(read_as("tools/list", None, other), mismatch("MCP-Protocol-Version"));
}

#[test]
fn a_body_with_two_readings_is_refused() {
    for body in [
        "",
        "null",
        "\u{feff}{}",
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}{"jsonrpc":"2.0","id":2,"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","meth\u006fd":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":1,"a":2}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#,
        r#"{"id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    ] {
        assert!(read_as("tools/list", None, body).is_err(), "{body}");
    }
    for params in [
        r#"{"name":"query_a","name":"drop"}"#,
        r#"{"name":"query_a","Name":"drop"}"#,
        r#"{"name":["query_a"]}"#,
        r#"{"name":""}"#,
        "{}",
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        assert!(read_as("tools/call", Some("query_a"), &body).is_err(), "{params}");
    }
}

#[test]
fn an_older_revision_is_refused_by_its_fields() {
    for version in [
        "2025-11-25",
        "2025-06-18",
        "2026-07-27",
        "DRAFT-2026",
        "9",
        "2026-7-28",
        "",
        "2026-07-28 ",
    ] {
        let refused = McpHeaders::of(&fields(version, "tools/list", None));
        assert!(matches!(refused, Err(McpFault::Version { .. })), "{version}: {refused:?}");
    }
    McpHeaders::of(&fields("2027-01-01", "tools/list", None)).unwrap();
    let mut fields = fields("2026-07-28", "tools/list", None);
    fields.remove("mcp-protocol-version");
    let missing = McpFault::MissingHeader { name: "MCP-Protocol-Version" };
    assert_eq!(McpHeaders::of(&fields), Err(missing));
}

#[test]
fn a_field_that_occurs_twice_is_refused() {
    for name in ["mcp-protocol-version", "mcp-method", "mcp-name"] {
        let mut fields = fields("2026-07-28", "tools/call", Some("a"));
        let again = fields[name].clone();
        fields.append(HeaderName::from_static(name), again);
        assert!(matches!(McpHeaders::of(&fields), Err(McpFault::Unreadable { .. })), "{name}");
    }
    for name in ["=?base64?w6k?=", "=?base64?****?=", "=?base64?/w==?="] {
        let refused = McpHeaders::of(&fields("2026-07-28", "tools/call", Some(name)));
        assert_eq!(refused, Err(McpFault::Mismatch { header: "Mcp-Name" }), "{name}");
    }
}

#[test]
fn a_document_is_where_the_resource_says() {
    let resource = |url: &str| {
        let issuers = ["https://id.example/realms/lab".to_owned()];
        Resource::new(&url.parse().unwrap(), "Warehouse", &issuers, &["tools".to_owned()])
    };
    let one = resource("https://platform.example/mcp/warehouse");
    assert_eq!(
        one.metadata,
        "https://platform.example/.well-known/oauth-protected-resource/mcp/warehouse"
    );
    let answers = |resources: &[&Resource], host: &str, path: &str| {
        let resources = Resources::new(resources.iter().copied());
        let (method, host) = ("GET".parse().unwrap(), host.parse().unwrap());
        resources.answer(&method, &host, &path.parse().unwrap()).is_some()
    };
    let own = format!("{WELL_KNOWN}/mcp/warehouse");
    assert!(answers(&[&one], "platform.example", &own));
    assert!(answers(&[&one], "platform.example", WELL_KNOWN));
    let other = resource("https://platform.example/mcp/other");
    assert!(answers(&[&one, &other], "platform.example", &own));
    assert!(!answers(&[&one, &other], "platform.example", WELL_KNOWN));
    let elsewhere = resource("https://tools.example/mcp/other");
    assert!(answers(&[&one, &elsewhere], "platform.example", WELL_KNOWN));
    let root = resource("https://platform.example/");
    assert!(answers(&[&one, &root], "platform.example", WELL_KNOWN));
    assert!(answers(&[&one, &root], "platform.example", &own));
    for (host, path) in [
        ("other.example", own.as_str()),
        ("platform.example", "/.well-known/oauth-protected-resource/mcp"),
        ("platform.example", "/.well-known/oauth-protected-resourcex"),
        ("platform.example", "/.well-known/oauth-authorization-server"),
    ] {
        assert!(!answers(&[&one], host, path), "{host}{path}");
    }
    assert_eq!(one.scopes_with(&["more".into(), "tools".into()]), ["tools", "more"]);
}
