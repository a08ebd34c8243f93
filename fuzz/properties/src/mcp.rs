//! Messages of MCP: one that is read says to a lenient server what it says to the gateway.

use doorward::mcp::{McpHeaders, read};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

/// Lines with the version, the method and the name of the header fields; the rest is the body.
pub fn mcp(data: &[u8]) {
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in ["mcp-protocol-version", "mcp-method", "mcp-name"] {
        let Some(line) = lines.next() else { return };
        match HeaderValue::from_bytes(line) {
            Ok(value) if !line.is_empty() => drop(headers.insert(name, value)),
            _ => {}
        }
    }
    let Ok(headers) = McpHeaders::of(&headers) else { return };
    assert!(headers.version.as_str() >= "2026-07-28");
    let body = lines.next().unwrap_or_default();
    let Ok(message) = read(&headers, body) else { return };
    assert_eq!(message.method, headers.method);
    // A server that is less strict reads the same.
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["method"], message.method.as_str());
    match message.method.as_str() {
        "tools/call" | "prompts/get" => {
            assert_eq!(body["params"]["name"].as_str(), message.name.as_deref());
            assert_eq!(headers.name, message.name);
        }
        "resources/read" => assert_eq!(body["params"]["uri"].as_str(), message.name.as_deref()),
        _ => {}
    }
    assert_eq!(message.tool().is_some(), message.method == "tools/call");
}
