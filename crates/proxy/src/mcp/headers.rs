//! Header fields that repeat parts of a message, so that its body need not be read: `MCP-Protocol-Version`, `Mcp-Method`, `Mcp-Name`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};

use super::{McpFault, PROTOCOL_VERSION};

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// The fields of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpHeaders {
    /// `MCP-Protocol-Version`
    pub version: String,
    /// `Mcp-Method`
    pub method: String,
    /// `Mcp-Name`, decoded
    pub name: Option<String>,
}

impl McpHeaders {
    /// Reads the fields. A field that is missing, repeated or not text is refused, and so is a revision that does not have them.
    ///
    /// # Errors
    ///
    /// [`McpFault`]
    pub fn of(headers: &HeaderMap) -> Result<Self, McpFault> {
        let version = one(headers, &VERSION)?
            .ok_or(McpFault::MissingHeader { name: "MCP-Protocol-Version" })?;
        if !is_served(version) {
            return Err(McpFault::Version { asked: version.chars().take(20).collect() });
        }
        let method =
            one(headers, &METHOD)?.ok_or(McpFault::MissingHeader { name: "Mcp-Method" })?;
        let name = match one(headers, &NAME)? {
            None => None,
            Some(name) => Some(decoded(name).ok_or(McpFault::Mismatch { header: "Mcp-Name" })?),
        };
        Ok(Self { version: version.to_owned(), method: method.to_owned(), name })
    }
}

/// The value of a field that may occur once.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, McpFault> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    match (first, second) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            value.to_str().map(Some).map_err(|_| McpFault::Unreadable { header: name.clone() })
        }
        (Some(_), Some(_)) => Err(McpFault::Unreadable { header: name.clone() }),
    }
}

/// Revisions are dates, and later ones keep the fields.
fn is_served(version: &str) -> bool {
    let is_date = version.len() == PROTOCOL_VERSION.len()
        && version.bytes().zip(PROTOCOL_VERSION.bytes()).all(|(own, form)| match form {
            b'-' => own == b'-',
            _ => own.is_ascii_digit(),
        });
    is_date && version >= PROTOCOL_VERSION
}

/// The text of a field: as it is, or Base64 of UTF-8 between `=?base64?` and `?=`.
fn decoded(value: &str) -> Option<String> {
    let Some(packed) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="))
    else {
        return Some(value.to_owned());
    };
    // The engine refuses another form of the same bytes: missing padding, bits after the end.
    String::from_utf8(STANDARD.decode(packed).ok()?).ok()
}
