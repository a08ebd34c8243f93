//! Names of the upstream's paths in its responses, as browsers reach them.
//!
//! `Location`, `Content-Location`, `Refresh` and the `Path` of cookies are mapped; bodies never are. A field that is not plain
//! ASCII stays as it is, and so does one that would lead to another host.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_canonical::CanonicalHost;

use crate::upstream::Upstream;

const REFRESH: HeaderName = HeaderName::from_static("refresh");

/// Maps the fields of a response to a client that asked for this host.
pub(super) fn map(headers: &mut HeaderMap, upstream: &Upstream, asked: &CanonicalHost) {
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        replace(headers, name, |reference| upstream.public_reference(reference, asked));
    }
    if upstream.renames_paths() {
        replace(headers, REFRESH, |value| refresh(value, upstream, asked));
        cookies(headers, upstream);
    }
}

fn replace(headers: &mut HeaderMap, name: HeaderName, public: impl FnOnce(&str) -> Option<String>) {
    // Two of them would have two readings; browsers take neither the same way, so they stay.
    let mut values = headers.get_all(&name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return };
    let mapped = value.to_str().ok().and_then(public);
    if let Some(value) = mapped.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(name, value);
    }
}

/// `5; url=/x`, with or without quotes, as browsers read it
/// ([HTML, shared declarative refresh steps](https://html.spec.whatwg.org/#shared-declarative-refresh-steps)).
fn refresh(value: &str, upstream: &Upstream, asked: &CanonicalHost) -> Option<String> {
    let at = value.find([';', ','])?;
    let (time, rest) = value.split_at_checked(at + 1)?;
    let named = rest.trim_start();
    let (key, url) = match named.split_once('=') {
        Some((key, url)) if key.trim_end().eq_ignore_ascii_case("url") => {
            ("url=", url.trim_start())
        }
        _ => ("", named),
    };
    let (quote, url) = match url.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inner = url.get(1..)?;
            (Some(quote), inner.split(quote).next().unwrap_or(inner))
        }
        _ => (None, url.trim_end()),
    };
    let public = upstream.public_reference(url, asked)?;
    let quote = quote.map(String::from).unwrap_or_default();
    Some(format!("{time} {key}{quote}{public}{quote}"))
}

fn cookies(headers: &mut HeaderMap, upstream: &Upstream) {
    if !headers.contains_key(header::SET_COOKIE) {
        return;
    }
    for (_, value) in headers.iter_mut().filter(|(name, _)| *name == header::SET_COOKIE) {
        let mapped = value.to_str().ok().and_then(|cookie| cookie_of(cookie, upstream));
        if let Some(mapped) = mapped.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
            *value = mapped;
        }
    }
}

/// The cookie with its `Path` mapped; `None` when it stays. One with the prefix `__Host-` must have the path `/`.
fn cookie_of(cookie: &str, upstream: &Upstream) -> Option<String> {
    let mut parts = cookie.split(';');
    let pair = parts.next()?;
    let host_only =
        pair.trim_start().get(..7).is_some_and(|start| start.eq_ignore_ascii_case("__host-"));
    if host_only {
        return None;
    }
    let mut changed = false;
    let mut mapped = pair.to_owned();
    for part in parts {
        mapped.push(';');
        let path = part.split_once('=').filter(|(key, _)| key.trim().eq_ignore_ascii_case("path"));
        match path.and_then(|(_, path)| upstream.cookie_path(path.trim())) {
            Some(path) => {
                changed = true;
                mapped.push_str(" Path=");
                mapped.push_str(&path);
            }
            None => mapped.push_str(part),
        }
    }
    changed.then_some(mapped)
}
