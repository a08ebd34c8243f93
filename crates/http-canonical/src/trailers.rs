//! Trailer fields ([RFC 9110 §6.5]): those of a request that are passed on, and names that no trailer may have.
//!
//! A client announces the trailer fields of its body in `Trailer`. Fields that it did not announce are left out, and so are those
//! that frame, route, authenticate or modify a message, because a server that merges trailers into its headers would act on
//! them ([RFC 9110 §6.5.1]).
//!
//! [RFC 9110 §6.5]: https://www.rfc-editor.org/rfc/rfc9110#section-6.5
//! [RFC 9110 §6.5.1]: https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::reserved::{is_hop_by_hop, is_reserved};

/// Names that no trailer field may have, sorted.
pub const NEVER: [&str; 29] = [
    "age",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "referer",
    "retry-after",
    "set-cookie",
    "vary",
    "www-authenticate",
];

/// Most fields in a trailer section.
pub(crate) const MOST: usize = 64;

/// Whether a name, in lower case, is one of framing, routing, authentication or control, which a trailer must not have.
pub fn is_never_a_trailer(name: &str) -> bool {
    NEVER.binary_search(&name).is_ok() || is_hop_by_hop(name)
}

/// Whether a client may send a trailer field with this name, in lower case.
pub(crate) fn may_be_sent(name: &str) -> bool {
    // Also what other servers read as one that may not: `_` for `-`.
    let trace = name == "traceparent" || name == "tracestate";
    let safe = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let of_browsers = name.starts_with("sec-") || name.starts_with("access-control-");
    safe && !trace && !of_browsers && !is_never_a_trailer(name) && !is_reserved(name)
}

/// The fields of a trailer section that a client may send; `None` when there are none.
pub fn scrubbed(trailers: HeaderMap) -> Option<HeaderMap> {
    without(trailers, |name| !may_be_sent(name.as_str()))
}

fn without(mut trailers: HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) -> Option<HeaderMap> {
    let unwanted: Vec<HeaderName> =
        trailers.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in unwanted {
        trailers.remove(name);
    }
    if trailers.is_empty() { None } else { Some(trailers) }
}

/// The trailer fields that a client announced and may send. Mostly none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced(Vec<HeaderName>);

impl Announced {
    /// Reads `Trailer`. Names that `Connection` lists belong to the connection.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(header::TRAILER) {
            return Self::default();
        }
        let of_connection: Vec<HeaderName> = listed(headers, &header::CONNECTION).collect();
        let mut names: Vec<HeaderName> = Vec::new();
        for name in listed(headers, &header::TRAILER).take(MOST) {
            if may_be_sent(name.as_str())
                && !of_connection.contains(&name)
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        Self(names)
    }

    /// Leaves out these names too.
    ///
    /// ```
    /// let mut announced = http_canonical::trailers::Announced::default();
    /// announced.forbid(&["x-remote-user".parse()?]);
    /// assert!(announced.is_empty());
    /// # Ok::<(), http::header::InvalidHeaderName>(())
    /// ```
    pub fn forbid(&mut self, names: &[HeaderName]) {
        self.0.retain(|name| !names.contains(name));
    }

    /// Whether no trailer field is passed on.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the value of `Trailer`; `None` when no trailer field is passed on.
    pub fn header_value(&self) -> Option<HeaderValue> {
        let names: Vec<&str> = self.0.iter().map(HeaderName::as_str).collect();
        if names.is_empty() { None } else { HeaderValue::try_from(names.join(", ")).ok() }
    }

    /// The fields of a trailer section that were announced; `None` when there are none.
    pub fn keep(&self, trailers: HeaderMap) -> Option<HeaderMap> {
        without(trailers, |name| !self.0.contains(name))
    }
}

/// The names that a list field has. Those that are no names are left out.
fn listed<'h>(headers: &'h HeaderMap, field: &HeaderName) -> impl Iterator<Item = HeaderName> + 'h {
    headers
        .get_all(field)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_list_is_sorted_for_the_search() {
        assert!(NEVER.is_sorted());
    }

    #[test]
    fn only_announced_trailers_are_kept() {
        let announced = Announced::of(&map(&[
            ("trailer", "X-Checksum, content-digest"),
            ("trailer", "X-CHECKSUM,,  bad name, grpc-x"),
        ]));
        assert_eq!(announced.header_value().unwrap(), "x-checksum, content-digest, grpc-x");
        let kept = announced.keep(map(&[
            ("x-checksum", "1"),
            ("x-checksum", "2"),
            ("x-unannounced", "3"),
            ("authorization", "Bearer x"),
        ]));
        assert_eq!(kept, Some(map(&[("x-checksum", "1"), ("x-checksum", "2")])));
        assert_eq!(announced.keep(map(&[("x-unannounced", "3")])), None);
        assert!(Announced::of(&map(&[("te", "trailers")])).is_empty());
    }

    #[test]
    fn no_field_that_a_server_acts_on_can_be_announced() {
        for name in [
            "authorization",
            "cookie",
            "host",
            "content-length",
            "transfer-encoding",
            "content-type",
            "connection",
            "trailer",
            "te",
            "expect",
            "range",
            "if-match",
            "x-forwarded-user",
            "x-forwarded-for",
            "x-doorward-token",
            "x-doorward-assertion",
            "x-request-id",
            "forwarded",
            "traceparent",
            "sec-websocket-key",
            "proxy-authorization",
            "x_checksum",
            "x.checksum",
        ] {
            assert!(Announced::of(&map(&[("trailer", name)])).is_empty(), "{name}");
        }
        // A field of the connection is not passed on, in whatever section.
        let hidden = map(&[("trailer", "x-hop, x-end"), ("connection", "X-Hop")]);
        assert_eq!(Announced::of(&hidden).header_value().unwrap(), "x-end");
    }
}
