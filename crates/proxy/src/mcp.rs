//! Routes to servers of the Model Context Protocol, by its revision 2026-07-28.
//!
//! The gateway is the resource server of the protocol's authorization specification: it publishes the metadata of the resource
//! ([RFC 9728]), challenges with it, and accepts tokens for the resource alone. Where rules speak of methods or tools, it reads
//! the message of each request, which must have one reading only.
//!
//! [RFC 9728]: https://www.rfc-editor.org/rfc/rfc9728

mod headers;
mod message;
mod resource;

pub use crate::mcp_fault::{McpFault, PROTOCOL_VERSION};
pub use headers::McpHeaders;
pub(crate) use message::read_from;
pub use message::{McpMessage, read};
pub use resource::{Resource, Resources, WELL_KNOWN};

#[cfg(test)]
mod tests;
