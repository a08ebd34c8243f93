//! Table of the header fields that the gateway writes for an upstream; the reference page is generated from it.

use http::{HeaderName, header};

use super::{
    X_DOORWARD_ASSERTION, X_FORWARDED_EMAIL, X_FORWARDED_GROUPS, X_FORWARDED_ISSUER,
    X_FORWARDED_PREFERRED_USERNAME, X_FORWARDED_ROLES, X_FORWARDED_USER,
    headers::{
        TRACEPARENT, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PREFIX, X_FORWARDED_PROTO,
        X_REQUEST_ID,
    },
};

/// A field that the gateway writes.
#[derive(Debug, Clone)]
pub struct UpstreamField {
    /// Name of the field.
    pub name: HeaderName,
    /// Condition under which it is sent.
    pub when: &'static str,
    /// Content of the field.
    pub what: &'static str,
}

const ALWAYS: &str = "always";
const HEADERS: &str = "`identity.headers`, and the caller is known";

/// Every field that the gateway writes on a request to an upstream.
pub fn upstream_fields() -> Vec<UpstreamField> {
    let field = |name, when, what| UpstreamField { name, when, what };
    vec![
        field(header::HOST, ALWAYS, "the host that the client requested"),
        field(X_FORWARDED_USER, HEADERS, "the subject (`sub`), unique within the issuer only"),
        field(
            X_FORWARDED_ISSUER,
            HEADERS,
            "the issuer's identifier (`iss`): with several issuers, identify people by it and the subject",
        ),
        field(X_FORWARDED_PREFERRED_USERNAME, HEADERS, "the user name, if the issuer states one"),
        field(
            X_FORWARDED_EMAIL,
            HEADERS,
            "the e-mail address, if the issuer states one and marks it as verified",
        ),
        field(X_FORWARDED_GROUPS, HEADERS, "the groups, separated by `,`"),
        field(
            X_FORWARDED_ROLES,
            HEADERS,
            "realm roles, then client roles as `client:role`, separated by `,`",
        ),
        field(
            X_DOORWARD_ASSERTION,
            "`identity.assertion`, and the caller is known",
            "a JWT (ES256) in which the gateway states the caller, with the issuer as `idp`; its key is at `/oauth2/jwks`",
        ),
        field(
            header::AUTHORIZATION,
            "`identity.access_token`, and the caller is known; or `identity.credentials`",
            "`Bearer` and the caller's access token, or the token that it is exchanged for; or the application's own credentials, whatever the client sent",
        ),
        field(
            X_FORWARDED_FOR,
            "the client has an address",
            "the trusted addresses, the client's first",
        ),
        field(X_FORWARDED_HOST, ALWAYS, "the host that the client requested"),
        field(X_FORWARDED_PROTO, ALWAYS, "`https` or `http`, as the browser sees it"),
        field(
            X_FORWARDED_PREFIX,
            "`rewrite.strip_prefix`",
            "the prefix that was removed from the path",
        ),
        field(header::FORWARDED, ALWAYS, "the same, as RFC 7239 writes it"),
        field(
            X_REQUEST_ID,
            ALWAYS,
            "the reference of the request, as in the audit line and on a refusal",
        ),
        field(TRACEPARENT, ALWAYS, "the client's trace, or a new one (W3C Trace Context)"),
    ]
}
