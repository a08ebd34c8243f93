//! Checks of `identity`: the names of the fields that it sets, and what else writes `Authorization`.

use std::collections::HashSet;

use http::HeaderName;
use http_canonical::reserved::is_hop_by_hop;

use super::Findings;
use crate::config::problem::KeyPath;
use crate::config::{BearerTokens, RouteConfig, UpstreamCredentials};

/// Fields that `identity.headers` writes.
const IDENTITY: [&str; 6] = [
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-issuer",
    "x-forwarded-preferred-username",
    "x-forwarded-roles",
    "x-forwarded-user",
];

/// Checks one route.
pub(super) fn check(here: &KeyPath, route: &RouteConfig, found: &mut Findings) {
    let here = here.key("identity");
    let mut taken: HashSet<HeaderName> = HashSet::new();
    for name in route.identity.set.keys() {
        let at = here.key("set").key(name);
        match field_name(name) {
            Err(reason) => found.problem(at, reason),
            Ok(field) => {
                if let Some(reason) = not_ours_to_fill(&field, route) {
                    found.problem(at, format!("invalid header `{name}`: {reason}"));
                } else if !taken.insert(field) {
                    let message = format!(
                        "invalid header `{name}`: it occurs twice; names are compared without case"
                    );
                    found.problem(at, message);
                }
            }
        }
    }
    credentials(&here.key("credentials"), route, found);
}

/// The name of a field, which no server reads as another.
///
/// # Errors
///
/// The problem with the name.
pub(super) fn field_name(name: &str) -> Result<HeaderName, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.contains('_') {
        let instead = name.replace('_', "-");
        return Err(format!(
            "invalid header name `{name}`: many servers read `_` as `-`; write `{instead}`"
        ));
    }
    HeaderName::from_bytes(name.as_bytes())
        .ok()
        .filter(|_| name.bytes().all(plain))
        .ok_or_else(|| format!("invalid header name {name:?}; write letters, digits and `-`"))
}

/// The reason a field is not filled from facts about the caller.
fn not_ours_to_fill(field: &HeaderName, route: &RouteConfig) -> Option<&'static str> {
    let name = field.as_str();
    let reason = match name {
        "authorization" => {
            "it holds credentials; write `identity.credentials`, or `identity.access_token`"
        }
        "cookie" | "set-cookie" => "it holds sessions; choose another name",
        "host" | "expect" => "it is part of the request's framing and routing; choose another name",
        "origin" | "referer" => "only browsers write it; choose another name",
        "forwarded" | "x-request-id" | "traceparent" | "tracestate" => {
            "the gateway writes it about every request; choose another name"
        }
        _ if is_hop_by_hop(name) => "it belongs to one connection; choose another name",
        _ if name.starts_with("content-") => "it describes the body; choose another name",
        _ if name.starts_with("sec-") || name.starts_with("access-control-") => {
            "only browsers write it; choose another name"
        }
        _ if name.starts_with("x-doorward-") => "the gateway writes it; choose another name",
        _ if IDENTITY.contains(&name) => match route.identity.headers {
            true => "`identity.headers` writes it; write `headers: false`, or choose another name",
            false => return None,
        },
        _ if name.starts_with("x-forwarded-") => {
            "the gateway writes these about every request; choose another name"
        }
        _ => return None,
    };
    Some(reason)
}

fn credentials(here: &KeyPath, route: &RouteConfig, found: &mut Findings) {
    let Some(credentials) = &route.identity.credentials else { return };
    if route.identity.access_token.is_sent() {
        let message = "invalid value: `identity.access_token` writes `Authorization` too; remove one of the two";
        found.problem(here.clone(), message);
    }
    if route.bearer == BearerTokens::Application {
        let message = "invalid value: these credentials replace the tokens that `bearer: application` passes on; \
                       remove one of the two";
        found.problem(here.clone(), message);
    }
    if route.upstream.is_empty() {
        let message = "invalid value: the route has no `upstream` that would receive them, and an answer to the proxy \
                       that asks could reach callers; have that proxy send them";
        found.problem(here.clone(), message);
    }
    if let UpstreamCredentials::Basic(basic) = credentials
        && basic.user.contains(|letter: char| letter == ':' || letter.is_control())
    {
        let message =
            "invalid user: a user of Basic has no `:` and no control characters (RFC 7617 §2)";
        found.problem(here.key("basic").key("user"), message);
    }
}
