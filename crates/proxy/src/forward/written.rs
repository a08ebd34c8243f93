//! Header fields that an upstream receives: the reference page is made of this table.

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
pub struct Written {
    /// Its name.
    pub name: HeaderName,
    /// Condition under which it is sent.
    pub when: &'static str,
    /// Its content.
    pub what: &'static str,
}

const ALWAYS: &str = "always";
const HEADERS: &str = "`identity.headers`, and the caller is known";

/// Every field that the gateway writes on a request to an upstream.
pub fn written() -> Vec<Written> {
    let field = |name, when, what| Written { name, when, what };
    vec![
        field(header::HOST, ALWAYS, "the host that the client asked for"),
        field(X_FORWARDED_USER, HEADERS, "the subject (`sub`), unique within the issuer only"),
        field(
            X_FORWARDED_ISSUER,
            HEADERS,
            "the issuer's identifier (`iss`): with several issuers, key people by it and the subject",
        ),
        field(X_FORWARDED_PREFERRED_USERNAME, HEADERS, "the user name, if the issuer tells one"),
        field(
            X_FORWARDED_EMAIL,
            HEADERS,
            "the e-mail address, if the issuer tells one and says that it was verified",
        ),
        field(X_FORWARDED_GROUPS, HEADERS, "the groups, with `,` between them"),
        field(
            X_FORWARDED_ROLES,
            HEADERS,
            "realm roles, then client roles as `client:role`, with `,` between them",
        ),
        field(
            X_DOORWARD_ASSERTION,
            "`identity.assertion`, and the caller is known",
            "a JWT (ES256) by which the gateway vouches for the caller, with the issuer as `idp`; its key is at `/oauth2/jwks`",
        ),
        field(
            header::AUTHORIZATION,
            "`identity.access_token`, and the caller is known",
            "`Bearer` and the caller's access token",
        ),
        field(
            X_FORWARDED_FOR,
            "the client has an address",
            "the addresses that are believed, the client's first",
        ),
        field(X_FORWARDED_HOST, ALWAYS, "the host that the client asked for"),
        field(X_FORWARDED_PROTO, ALWAYS, "`https` or `http`, as the browser sees it"),
        field(X_FORWARDED_PREFIX, "`rewrite.strip_prefix`", "what was taken off the path"),
        field(header::FORWARDED, ALWAYS, "the same in the words of RFC 7239"),
        field(X_REQUEST_ID, ALWAYS, "the reference that the audit line and a refusal also have"),
        field(TRACEPARENT, ALWAYS, "the trace the client is in, or a new one (W3C Trace Context)"),
    ]
}
