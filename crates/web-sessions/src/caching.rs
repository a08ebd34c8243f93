//! `Cache-Control` of answers that are not for everyone ([RFC 9111 §5.2.2]).
//!
//! An upstream does not know that the gateway protects it, and may mark an answer as public.
//!
//! [RFC 9111 §5.2.2]: https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Forbids every cache to store an answer, and a shared cache to serve it for another cookie.
pub fn forbid(headers: &mut HeaderMap) {
    remove_for_some_caches(headers);
    headers.remove(header::EXPIRES);
    headers.remove(header::PRAGMA);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    vary_by_cookie(headers);
}

/// Forbids shared caches to store an answer. Other directives stay, so that a browser keeps what it may keep.
pub fn forbid_sharing(headers: &mut HeaderMap) {
    remove_for_some_caches(headers);
    let mut lines = headers.get_all(header::CACHE_CONTROL).iter();
    let private = match (lines.next(), lines.next()) {
        (None, _) => HeaderValue::from_static("private"),
        // The commonest lines, as the general way below would answer them.
        (Some(line), None) if matches!(line.as_bytes(), b"no-store" | b"private") => return,
        (Some(line), None) if line == "no-cache" => HeaderValue::from_static("private, no-cache"),
        (Some(line), None) if is_private(line) => return,
        _ => private(headers),
    };
    headers.insert(header::CACHE_CONTROL, private);
}

fn remove_for_some_caches(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| is_for_some_caches(name.as_str())) {
        return;
    }
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| is_for_some_caches(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn directives(line: &HeaderValue) -> impl Iterator<Item = &str> {
    line.to_str().unwrap_or_default().split(',').map(str::trim)
}

/// Whether a line forbids sharing and nothing in it says otherwise.
fn is_private(line: &HeaderValue) -> bool {
    let is = |directive: &str, name: &str| directive.eq_ignore_ascii_case(name);
    directives(line).any(|directive| is(directive, "private") || is(directive, "no-store"))
        && !directives(line).any(is_about_sharing)
}

/// `public`, `s-maxage`, `proxy-revalidate`, and `private` with an argument, which is about some fields only.
fn is_about_sharing(directive: &str) -> bool {
    let (name, argument) = directive
        .split_once('=')
        .map_or((directive, None), |(name, argument)| (name.trim(), Some(argument)));
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    is("public") || is("s-maxage") || is("proxy-revalidate") || is("private") && argument.is_some()
}

/// The same directives without those about sharing, and `private`. Nothing else is kept of a line with a quoted argument, whose
/// commas do not separate.
fn private(headers: &HeaderMap) -> HeaderValue {
    let lines = headers.get_all(header::CACHE_CONTROL).iter();
    let kept = lines.filter(|line| !line.as_bytes().contains(&b'"')).flat_map(directives).filter(
        |directive| {
            let own = directive.eq_ignore_ascii_case("private");
            !directive.is_empty() && !own && !is_about_sharing(directive)
        },
    );
    let text = std::iter::once("private").chain(kept).collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("private"))
}

/// Fields that some caches prefer to `Cache-Control`: those of nginx, Varnish and Akamai, and the
/// targeted fields of RFC 9213 §2, such as `CDN-Cache-Control`.
fn is_for_some_caches(name: &str) -> bool {
    matches!(name, "x-accel-expires" | "surrogate-control" | "edge-control")
        || name.ends_with("-cache-control")
}

fn vary_by_cookie(headers: &mut HeaderMap) {
    let varies = |value: &HeaderValue| {
        let mut names = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"cookie"))
    };
    if !headers.get_all(header::VARY).iter().any(varies) {
        headers.append(header::VARY, HeaderValue::from_static("Cookie"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_shared(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        forbid_sharing(&mut headers);
        headers
    }

    #[test]
    fn shared_caches_store_nothing_that_is_protected() {
        for (lines, expected) in [
            (&[][..], "private"),
            (&["public, max-age=600"], "private, max-age=600"),
            (&["max-age=600"], "private, max-age=600"),
            (&["Public, S-MaxAge=60, max-age=5, immutable"], "private, max-age=5, immutable"),
            (&["s-maxage = 60"], "private"),
            (&["max-age=5", "public"], "private, max-age=5"),
            (&["private=\"set-cookie, x\", max-age=5"], "private"),
            (&["private, s-maxage=5"], "private"),
            (&["no-store, public"], "private, no-store"),
            (&["private, max-age=5"], "private, max-age=5"),
            (&["PRIVATE"], "PRIVATE"),
            (&["no-store"], "no-store"),
            (&["no-cache"], "private, no-cache"),
            (&["No-Cache"], "private, No-Cache"),
            (&["max-age=5,,"], "private, max-age=5"),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("cache-control", *line)).collect();
            let headers = not_shared(&lines);
            let found: Vec<_> = headers.get_all(header::CACHE_CONTROL).iter().collect();
            assert_eq!(found, [expected], "{lines:?}");
        }
    }

    #[test]
    fn fields_for_some_caches_are_removed_and_others_stay() {
        let headers = not_shared(&[
            ("expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
            ("etag", "\"1\""),
            ("cdn-cache-control", "max-age=5"),
            ("surrogate-control", "max-age=5"),
            ("x-accel-expires", "5"),
        ]);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["cache-control", "etag", "expires"]);
    }
}
