//! One message of a client: a JSON-RPC request or notification, whose header fields say the same as its body.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, Method, header};
use oidc_core::strict_json;
use serde_json::{Map, Value};

use super::{McpFault, McpHeaders};
use crate::{
    json::member,
    listen::{Body, CanonicalRequest, NotWhole, whole_body},
    refusal::Refusal,
};

/// The largest message, in bytes.
const LARGEST: usize = 1024 * 1024;
/// Levels of a message.
const DEEPEST: usize = 64;
/// The longest method and the longest name, in bytes.
const LONGEST: usize = 4096;
/// The member of `params._meta` with the revision of the message.
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// A message that a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpMessage {
    /// `method`
    pub method: String,
    /// The name of the tool, the prompt or the resource that it is about.
    pub name: Option<String>,
}

impl McpMessage {
    /// The tool that is called.
    pub fn tool(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| self.method == "tools/call")
    }

    /// The message as rules see it.
    pub(crate) fn as_seen(&self) -> access_policy::Message<'_> {
        access_policy::Message::Read { method: &self.method, name: self.name.as_deref() }
    }
}

/// Reads the message of a request on a route whose rules speak of messages; `None` for a request that carries none. The request
/// keeps its body.
///
/// # Errors
///
/// [`Refusal::McpMessage`], [`Refusal::BodyTooLarge`], and [`Refusal::Malformed`] for a body that is broken off.
pub(crate) async fn read_from(
    request: &mut CanonicalRequest,
) -> Result<Option<McpMessage>, Refusal> {
    if request.method().as_str() != Method::POST.as_str() {
        // A server that reads the body of another method would obey a message that no rule has judged.
        return match http_body::Body::is_end_stream(&request.body_mut().body) {
            true => Ok(None),
            false => Err(Refusal::McpMessage(invalid("only POST carries messages"))),
        };
    }
    let headers = McpHeaders::of(request.headers()).map_err(Refusal::McpMessage)?;
    if !is_json(request.headers()) {
        let fault =
            invalid("`Content-Type` is not `application/json`, or there is a `Content-Encoding`");
        return Err(Refusal::McpMessage(fault));
    }
    let body = std::mem::replace(&mut request.body_mut().body, Body::empty());
    let whole = whole_body(body, LARGEST).await.map_err(|failed| match failed {
        NotWhole::TooLarge => Refusal::BodyTooLarge { limit: LARGEST as u64 },
        NotWhole::BrokenOff => Refusal::Malformed {
            status: http::StatusCode::BAD_REQUEST,
            reason: Cow::Borrowed("the client broke off its upload"),
        },
    })?;
    let message = read(&headers, &whole).map_err(Refusal::McpMessage)?;
    request.body_mut().body = Body::from(whole);
    Ok(Some(message))
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let media_type = media_type.and_then(|value| value.split(|byte| *byte == b';').next());
    let is_json = media_type
        .is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"application/json"));
    is_json && !headers.contains_key(header::CONTENT_ENCODING)
}

/// Reads a message, which must say the same as its header fields.
///
/// # Errors
///
/// [`McpFault`]
pub fn read(headers: &McpHeaders, body: &[u8]) -> Result<McpMessage, McpFault> {
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(McpFault::Batch);
    }
    let message = strict_json(body, DEEPEST)?;
    if member(&message, "jsonrpc")? != Some(&Value::from("2.0")) {
        return Err(invalid("`jsonrpc` is not \"2.0\""));
    }
    match member(&message, "id")? {
        None | Some(Value::String(_) | Value::Number(_)) => {}
        Some(_) => return Err(invalid("`id` is neither a text nor a number")),
    }
    let Some(Value::String(method)) = member(&message, "method")? else {
        return Err(invalid("it has no `method`: answers of clients are of an older revision"));
    };
    if method.is_empty() || method.len() > LONGEST {
        return Err(invalid("`method` is empty or too long"));
    }
    if *method != headers.method {
        return Err(McpFault::Mismatch { header: "Mcp-Method" });
    }
    let empty = Map::new();
    let params = match member(&message, "params")? {
        None => &empty,
        Some(Value::Object(params)) => params,
        Some(_) => return Err(invalid("`params` is not an object")),
    };
    version(headers, params)?;
    let name = name(headers, method, params)?;
    Ok(McpMessage { method: method.clone(), name })
}

fn version(headers: &McpHeaders, params: &Map<String, Value>) -> Result<(), McpFault> {
    let meta = match member(params, "_meta")? {
        None => return Ok(()),
        Some(Value::Object(meta)) => meta,
        Some(_) => return Err(invalid("`_meta` is not an object")),
    };
    match meta.get(META_VERSION) {
        None => Ok(()),
        Some(Value::String(stated)) if *stated == headers.version => Ok(()),
        Some(_) => Err(McpFault::Mismatch { header: "MCP-Protocol-Version" }),
    }
}

/// The name that the message is about, in its body and in its field.
fn name(
    headers: &McpHeaders,
    method: &str,
    params: &Map<String, Value>,
) -> Result<Option<String>, McpFault> {
    let own = match method {
        "tools/call" | "prompts/get" => member(params, "name")?,
        "resources/read" => member(params, "uri")?,
        // A field that repeats something else has nothing to agree with.
        _ if headers.name.is_some() => {
            let names = [member(params, "name")?, member(params, "uri")?, params.get("taskId")];
            let stated = headers.name.as_deref();
            return match names.into_iter().flatten().any(|name| name.as_str() == stated) {
                true => Ok(headers.name.clone()),
                false => Err(McpFault::Mismatch { header: "Mcp-Name" }),
            };
        }
        _ => return Ok(None),
    };
    let Some(Value::String(own)) = own else {
        return Err(invalid("it does not name its tool, prompt or resource"));
    };
    if own.is_empty() || own.len() > LONGEST {
        return Err(invalid("the name of its tool, prompt or resource is empty or too long"));
    }
    match headers.name.as_deref() {
        None => Err(McpFault::MissingHeader { name: "Mcp-Name" }),
        Some(stated) if stated == own => Ok(Some(own.clone())),
        Some(_) => Err(McpFault::Mismatch { header: "Mcp-Name" }),
    }
}

fn invalid(reason: &'static str) -> McpFault {
    McpFault::Invalid { reason }
}
