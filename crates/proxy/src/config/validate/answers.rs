//! Checks of the route keys about answers: `headers.response` and `cors`.

use std::collections::HashSet;

use http::{HeaderName, HeaderValue};
use http_canonical::CanonicalMethod;
use http_canonical::reserved::is_hop_by_hop;

use super::Findings;
use super::identity::field_name;
use crate::config::problem::KeyPath;
use crate::config::{CorsConfig, CorsOrigin, RouteConfig};

/// Checks one route.
pub(super) fn check(here: &KeyPath, route: &RouteConfig, found: &mut Findings) {
    response(&here.key("headers").key("response"), route, found);
    if let Some(cors) = &route.cors {
        let here = here.key("cors");
        if route.upstream.is_empty() {
            let message = "invalid `cors`: the route has no `upstream`; the proxy that asks answers preflights itself";
            found.problem(here.clone(), message);
        }
        origins(&here, cors, found);
        names(&here, cors, found);
    }
}

fn response(here: &KeyPath, route: &RouteConfig, found: &mut Findings) {
    let rules = &route.headers.response;
    let mut taken: HashSet<HeaderName> = HashSet::new();
    for (name, value) in &rules.set {
        let at = here.key("set").key(name);
        if let Some(field) = changeable(&at, name, route, found)
            && !taken.insert(field)
        {
            let message = format!(
                "invalid header `{name}`: it occurs twice; names are compared without case"
            );
            found.problem(at.clone(), message);
        }
        let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !printable || value.trim() != value || HeaderValue::from_str(value).is_err() {
            let message =
                "invalid value: a header holds one line of ASCII text without spaces at its ends";
            found.problem(at, message);
        }
    }
    for name in &rules.remove {
        let at = here.key("remove");
        if let Some(field) = changeable(&at, name, route, found)
            && taken.contains(&field)
        {
            let message = format!(
                "invalid header `{name}`: `set` replaces the upstream's value already; remove it here"
            );
            found.problem(at, message);
        }
    }
}

/// The field, unless the gateway or the framing of the message owns it.
fn changeable(
    at: &KeyPath,
    name: &str,
    route: &RouteConfig,
    found: &mut Findings,
) -> Option<HeaderName> {
    let field = match field_name(name) {
        Ok(field) => field,
        Err(reason) => {
            found.problem(at.clone(), reason);
            return None;
        }
    };
    let reason = match field.as_str() {
        "content-length" | "content-encoding" | "content-range" => {
            "it says how to read the body; have the application change it"
        }
        "set-cookie" => {
            "the gateway's session cookie is among these; have the application change its own"
        }
        "location" => "the gateway writes where redirects lead; have the application change it",
        name if is_hop_by_hop(name) => "it belongs to one connection",
        name if name.starts_with("x-doorward-") => {
            "the gateway owns it, and removes the upstream's already"
        }
        name if name.starts_with("sec-websocket-") => "it belongs to the handshake of a WebSocket",
        name if name.starts_with("access-control-") && route.cors.is_some() => {
            "`cors` of this route writes it, and removes the upstream's already"
        }
        _ => return Some(field),
    };
    found.problem(at.clone(), format!("invalid header `{name}`: {reason}"));
    None
}

fn origins(here: &KeyPath, cors: &CorsConfig, found: &mut Findings) {
    let any = cors.origins.contains(&CorsOrigin::Any);
    if any && cors.credentials {
        let message = "invalid value: with `credentials` every page on the internet could act as the user; name the \
                       origins, such as `[https://apps.example]`";
        found.problem(here.key("origins"), message);
    } else if any && cors.origins.len() > 1 {
        let message = "invalid list: `*` is every origin; remove it, or the others";
        found.problem(here.key("origins"), message);
    }
}

fn names(here: &KeyPath, cors: &CorsConfig, found: &mut Findings) {
    for method in &cors.methods {
        if let Err(error) = method.parse::<CanonicalMethod>() {
            found.problem(here.key("methods"), format!("invalid method `{method}`: {error}"));
        }
    }
    for (key, names) in [("headers", &cors.headers), ("expose", &cors.expose)] {
        for name in names {
            if let Err(reason) = field_name(name) {
                found.problem(here.key(key), reason);
            }
        }
    }
    found.duration(here.key("max_age"), cors.max_age);
}
