//! Reasons a message of the Model Context Protocol is refused.

use http::HeaderName;
use oidc_core::NotStrictJson;

use crate::json::OtherSpelling;

/// The oldest revision whose messages are read: before it, no header field repeats the method and the name.
pub const PROTOCOL_VERSION: &str = "2026-07-28";

/// Reason a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum McpFault {
    /// A field that the revision requires is missing.
    #[error("missing header `{name}`, which revision {PROTOCOL_VERSION} of MCP requires")]
    MissingHeader {
        /// its name
        name: &'static str,
    },
    /// A field occurs twice or is not text.
    #[error("header `{header}` occurs twice, or is not plain text")]
    Unreadable {
        /// its name
        header: HeaderName,
    },
    /// A field and the body disagree.
    #[error("header `{header}` and the body disagree")]
    Mismatch {
        /// its name
        header: &'static str,
    },
    /// The message is of a revision that does not repeat its method and its name in header fields.
    #[error("unsupported revision {asked:?} of MCP; send messages of {PROTOCOL_VERSION} or later")]
    Version {
        /// the revision, shortened
        asked: String,
    },
    /// Several messages in one request.
    #[error("a batch of messages; send each in a request of its own")]
    Batch,
    /// The body is no JSON, or servers could read it differently.
    #[error("the body is not one JSON-RPC message: {0}")]
    NotStrict(#[from] NotStrictJson),
    /// A name is written in another way than the protocol's.
    #[error(transparent)]
    OtherSpelling(#[from] OtherSpelling),
    /// The body is no request or notification of the protocol.
    #[error("the body is not a request or notification of MCP: {reason}")]
    Invalid {
        /// the cause
        reason: &'static str,
    },
}

impl McpFault {
    /// The code of the JSON-RPC error (MCP 2026-07-28).
    pub(crate) fn json_rpc_code(&self) -> i32 {
        match self {
            Self::MissingHeader { .. } | Self::Unreadable { .. } | Self::Mismatch { .. } => -32020,
            Self::Version { .. } => -32022,
            Self::NotStrict(_) => -32700,
            Self::Batch | Self::OtherSpelling(_) | Self::Invalid { .. } => -32600,
        }
    }
}
