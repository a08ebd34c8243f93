//! A refused message of MCP, as an error of JSON-RPC 2.0 §5.1: the form that clients of MCP read.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::mcp_fault::McpFault;

/// The answer to a message that is not read; its `id` is not known then.
pub(super) fn answer(fault: &McpFault, status: StatusCode, detail: &str) -> Response<Body> {
    let error = json!({ "code": fault.json_rpc_code(), "message": detail });
    let body = json!({ "jsonrpc": "2.0", "id": null, "error": error }).to_string();
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
