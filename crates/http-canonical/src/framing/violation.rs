//! Violations of the HTTP/1 rules on a connection, each with its status ([RFC 9112]).
//!
//! [RFC 9112]: https://www.rfc-editor.org/rfc/rfc9112

use http::StatusCode;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident $status:ident $word:literal $sentence:literal)+) => {
        /// The broken rule.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The status of the answer.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// The word for logs and metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// A sentence for the caller.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)+ }
            }
        }
    };
}

reasons! {
    /// CR without LF, or LF without CR.
    BareLineEnd BAD_REQUEST "bare_line_end" "A line ends in CR or LF alone."
    /// Neither method, target and version, nor separated by single spaces.
    RequestLine BAD_REQUEST "request_line" "The request line is not `METHOD /path HTTP/1.1`."
    /// The target is neither a path nor a URL of http or https.
    Target BAD_REQUEST "target" "The request target is not a path in visible ASCII without `#` and `\\`."
    /// Another version.
    Version HTTP_VERSION_NOT_SUPPORTED "version" "Only HTTP/1.0 and HTTP/1.1 are supported."
    /// `CONNECT` or `TRACE`.
    Method NOT_IMPLEMENTED "method" "This method is not supported."
    /// The request line is too long.
    TargetTooLong URI_TOO_LONG "target_too_long" "The request line is too long."
    /// The header section is too long, or has too many fields.
    HeadTooLarge REQUEST_HEADER_FIELDS_TOO_LARGE "head_too_large" "The header section is too large."
    /// A line folded into the next (obs-fold).
    Folded BAD_REQUEST "folded" "A header line begins with white space."
    /// A header name with other characters than letters, digits, `-` and `_`, no colon right after it, or one with `_` that some
    /// server takes for a reserved name.
    HeaderName BAD_REQUEST "header_name" "A header name has a character other than letters, digits and `-`, or imitates a reserved name."
    /// A control character in a header value.
    HeaderValue BAD_REQUEST "header_value" "A header value has a control character."
    /// A field that may occur once occurs twice.
    Duplicate BAD_REQUEST "duplicate_header" "A header that may occur once occurs more than once."
    /// No `Host`, several, or an invalid one.
    Host BAD_REQUEST "host" "The request must have one `Host`: a host with an optional port."
    /// `Content-Length` is not one number.
    ContentLength BAD_REQUEST "content_length" "`Content-Length` must be one number."
    /// `Transfer-Encoding` is not `chunked` alone, or occurs in HTTP/1.0.
    TransferEncoding BAD_REQUEST "transfer_encoding" "`Transfer-Encoding` must be `chunked` alone, in HTTP/1.1."
    /// `Content-Length` and `Transfer-Encoding` together.
    TwoFramings BAD_REQUEST "two_framings" "`Content-Length` and `Transfer-Encoding` exclude each other."
    /// Another expectation than `100-continue`.
    Expect EXPECTATION_FAILED "expect" "Only `Expect: 100-continue` is supported."
    /// A WebSocket handshake with a body.
    UpgradeBody BAD_REQUEST "upgrade_body" "A WebSocket handshake must be an HTTP/1.1 GET without a body."
    /// A switch to another protocol than WebSocket, without which the request means something else.
    Upgrade NOT_IMPLEMENTED "upgrade" "Only WebSocket is supported as another protocol."
    /// The chunked coding is malformed.
    Chunk BAD_REQUEST "chunk" "The chunked body is malformed."
    /// A trailer section is malformed or too large.
    Trailer BAD_REQUEST "trailer" "The trailer section is malformed."
    /// The head did not arrive in time.
    HeadTimeout REQUEST_TIMEOUT "head_timeout" "The request head took too long."
    /// The body arrives too slowly.
    BodyTimeout REQUEST_TIMEOUT "body_timeout" "The request body arrives too slowly."
    /// 101 in answer to a request that asked for no WebSocket.
    UnaskedUpgrade BAD_GATEWAY "unasked_upgrade" "The service switched protocols, which the request did not ask for."
}

/// One broken rule, and its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    reason: Reason,
}

impl Violation {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.reason.status()
    }

    /// The broken rule.
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

// === impl Reason ===

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.sentence())
    }
}

// === impl Violation ===

impl From<Reason> for Violation {
    fn from(reason: Reason) -> Self {
        Self { reason }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for Violation {}
