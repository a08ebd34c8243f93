//! Header fields that cross the gateway: some are deleted, then others are set.
//!
//! On the way in, [`CanonicalRequest`](crate::listen::CanonicalRequest) has already removed hop-by-hop fields, those that
//! `Connection` names and the reserved namespace, in every spelling. This module removes the gateway's own credentials, and
//! then writes the fields that only the gateway may write. On the way back an upstream's fields pass, except those about the
//! connection and those reserved for the gateway ([RFC 9110 §7.6.1]).
//!
//! [RFC 9110 §7.6.1]: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1

pub use http_canonical::{
    forwarded::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO},
    request_id::{TRACEPARENT, X_REQUEST_ID},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_canonical::{
    OriginFields, RequestId, Scheme, TraceParent,
    reserved::is_hop_by_hop,
    trailers::{Announced, is_never_a_trailer},
};
use web_sessions::OwnNames;

use crate::{
    identify::{Credential, authorization::Carrier, possession::DPOP},
    route::Route,
};

/// `x-forwarded-prefix`: the prefix removed from the path.
pub const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// The beginning of header names that only the gateway may send.
const OURS: &str = "x-doorward-";

/// Origin of a request, as the gateway reports it.
pub(super) struct From<'a> {
    /// The host the client asked for, and the trusted addresses.
    pub(super) fields: OriginFields,
    /// The scheme the browser used.
    pub(super) scheme: Scheme,
    /// The prefix removed from the path.
    pub(super) prefix: Option<&'a str>,
    pub(super) request_id: &'a RequestId,
    pub(super) traceparent: Option<HeaderValue>,
}

/// Removes the credentials for the gateway, and the fields about the connection to it.
pub(super) fn take_credentials(
    headers: &mut HeaderMap,
    credential: &Credential,
    own_cookies: &OwnNames,
) {
    if let Some(Carrier::Bearer | Carrier::Dpop | Carrier::Basic) = credential.carrier() {
        headers.remove(header::AUTHORIZATION);
        // A proof is for the token that was removed. Beside `X-Doorward-Token` it is the application's.
        headers.remove(DPOP);
    }
    for name in [
        header::EXPECT,
        header::TE,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::HOST,
    ] {
        headers.remove(name);
    }
    if !headers.contains_key(header::COOKIE) {
        return;
    }
    let mut kept = headers.get_all(header::COOKIE).iter().filter_map(|all| own_cookies.strip(all));
    // A canonical request has one field of cookies, and this allocates nothing.
    let (first, more) = (kept.next(), kept.collect::<Vec<_>>());
    match first {
        Some(first) => drop(headers.insert(header::COOKIE, first)),
        None => drop(headers.remove(header::COOKIE)),
    }
    for value in more {
        headers.append(header::COOKIE, value);
    }
}

/// Removes fields that only the gateway writes on a route, trailers too: servers merge them into the headers. Then writes the
/// application's own credentials. No name has another spelling at this point, as names with `_` were removed before.
pub(super) fn take_reserved(headers: &mut HeaderMap, trailers: &mut Announced, route: &Route) {
    if route.identity.access_token.is_sent() || route.mcp.is_some() {
        // The application treats this field as verified. A server of MCP receives no token that a client sent.
        headers.remove(header::AUTHORIZATION);
    }
    for name in &route.reserved {
        headers.remove(name);
    }
    trailers.forbid(&route.reserved);
    if let Some(credentials) = &route.credentials {
        headers.insert(header::AUTHORIZATION, credentials.clone());
    }
}

/// Writes the fields about the origin of the request.
pub(super) fn set_origin(headers: &mut HeaderMap, from: From<'_>) {
    let OriginFields { host, forwarded_for, forwarded } = from.fields;
    headers.insert(X_FORWARDED_HOST, host);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(from.scheme.as_str()));
    if let Some(chain) = forwarded_for {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    headers.insert(header::FORWARDED, forwarded);
    if let Some(prefix) = from.prefix {
        set(headers, X_FORWARDED_PREFIX, prefix.to_owned());
    }
    headers.insert(X_REQUEST_ID, from.request_id.header_value());
    let trace = from.traceparent.unwrap_or_else(|| TraceParent::begin().header_value());
    headers.insert(TRACEPARENT, trace);
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: String) {
    match HeaderValue::try_from(value) {
        Ok(value) => drop(headers.insert(name, value)),
        // Text made here is always valid; otherwise the client's value must not stay.
        Err(_) => drop(headers.remove(name)),
    }
}

/// Reason the head of a response is unusable; it is never repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadResponse {
    #[error("two `Content-Length`")]
    TwoLengths,
    #[error("`Content-Length` together with `Transfer-Encoding`")]
    TwoFramings,
    #[error("a `Transfer-Encoding` other than `chunked`")]
    Encoding,
    #[error("101 Switching Protocols, which the request did not ask for")]
    Unasked,
}

/// Refuses the head of a response that two parsers could read differently.
pub(crate) fn check_response(status: StatusCode, headers: &HeaderMap) -> Result<(), BadResponse> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(BadResponse::Unasked);
    }
    let several = |name| headers.get_all(name).iter().nth(1).is_some();
    if several(header::CONTENT_LENGTH) {
        return Err(BadResponse::TwoLengths);
    }
    if let Some(encoding) = headers.get(header::TRANSFER_ENCODING) {
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(BadResponse::TwoFramings);
        }
        let chunked = encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        if several(header::TRANSFER_ENCODING) || !chunked {
            return Err(BadResponse::Encoding);
        }
    }
    Ok(())
}

/// Removes from a response the fields about the upstream's connection and those reserved for the gateway. Returns whether a
/// cookie of the gateway's was among them.
pub(crate) fn clean_response(headers: &mut HeaderMap, own_cookies: &OwnNames) -> bool {
    let mut gone: Vec<HeaderName> = Vec::new();
    for connection in headers.get_all(header::CONNECTION) {
        let named = connection.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        gone.extend(named.filter_map(|name| HeaderName::from_bytes(name).ok()));
    }
    gone.extend(
        headers
            .keys()
            .filter(|name| {
                // `Trailer` announces the trailers that are passed on.
                (is_hop_by_hop(name.as_str()) && **name != header::TRAILER)
                    || name.as_str().starts_with(OURS)
            })
            .cloned(),
    );
    for name in gone {
        headers.remove(name);
    }
    let ours = |value: &HeaderValue| names_our_cookie(value, own_cookies);
    if !headers.get_all(header::SET_COOKIE).iter().any(ours) {
        return false;
    }
    let kept: Vec<HeaderValue> =
        headers.get_all(header::SET_COOKIE).iter().filter(|value| !ours(value)).cloned().collect();
    headers.remove(header::SET_COOKIE);
    for value in kept {
        headers.append(header::SET_COOKIE, value);
    }
    true
}

/// Whether a `Set-Cookie` would set, or clear, a cookie of the gateway's.
fn names_our_cookie(value: &HeaderValue, own_cookies: &OwnNames) -> bool {
    let pair = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    HeaderValue::from_bytes(pair.trim_ascii())
        .is_ok_and(|pair| !pair.is_empty() && own_cookies.strip(&pair).is_none())
}

/// Whether a trailer field may be passed on: none for framing, routing or authentication, and none reserved for the gateway
/// ([RFC 9110 §6.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1)).
pub(crate) fn may_be_trailer(name: &HeaderName) -> bool {
    let name = name.as_str();
    !is_never_a_trailer(name) && !name.starts_with(OURS)
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

    fn token(carrier: Carrier) -> Credential {
        Credential::Bearer {
            token: oidc_core::Secret::from("t"),
            good_until: Some(std::time::SystemTime::UNIX_EPOCH),
            carrier,
        }
    }

    #[test]
    fn only_a_verified_token_is_removed() {
        let mut headers = map(&[("authorization", "Bearer t")]);
        take_credentials(&mut headers, &token(Carrier::Bearer), &OwnNames::default());
        assert!(headers.is_empty());
        let mut headers = map(&[("authorization", "DPoP t"), ("dpop", "x.y.z")]);
        take_credentials(&mut headers, &token(Carrier::Dpop), &OwnNames::default());
        assert!(headers.is_empty());
        let mut headers = map(&[("authorization", "Basic bjp0")]);
        take_credentials(&mut headers, &token(Carrier::Basic), &OwnNames::default());
        assert!(headers.is_empty());
        let mut headers = map(&[("authorization", "Bearer the-applications-own")]);
        take_credentials(&mut headers, &token(Carrier::OwnField), &OwnNames::default());
        assert_eq!(headers.len(), 1);
        for own in ["token abc", "Basic dXNlcjpwdw==", "Bearer the-applications-own"] {
            let mut headers = map(&[("authorization", own)]);
            take_credentials(&mut headers, &Credential::None, &OwnNames::default());
            assert_eq!(headers[header::AUTHORIZATION], own);
        }
    }

    #[test]
    fn an_upstream_never_sees_the_gateways_cookies() {
        let mut headers = map(&[
            ("cookie", "a=1; __Host-doorward=secret; b=2; doorward=x"),
            ("cookie", "doorward=secret"),
            ("cookie", "c=3"),
        ]);
        take_credentials(&mut headers, &Credential::None, &OwnNames::default());
        let kept: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(kept, ["a=1; b=2", "c=3"]);
    }

    #[test]
    fn what_a_client_says_of_its_origin_is_replaced() {
        let host = "platform.example:8443".parse().unwrap();
        let chain = ["203.0.113.7".parse().unwrap()];
        let mut headers = map(&[("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=evil")]);
        set_origin(
            &mut headers,
            From {
                fields: OriginFields::new(&host, Scheme::Https, &chain).unwrap(),
                scheme: Scheme::Https,
                prefix: Some("/app"),
                request_id: &RequestId::random(),
                traceparent: None,
            },
        );
        assert_eq!(headers[X_FORWARDED_FOR], "203.0.113.7");
        assert_eq!(headers[X_FORWARDED_HOST], "platform.example:8443");
        assert_eq!(headers[X_FORWARDED_PROTO], "https");
        assert_eq!(headers[X_FORWARDED_PREFIX], "/app");
        assert_eq!(
            headers[header::FORWARDED],
            "for=203.0.113.7;host=\"platform.example:8443\";proto=https"
        );
        assert_eq!(headers[TRACEPARENT].len(), 55);
        assert!(headers.iter().all(|(name, _)| headers.get_all(name).iter().count() == 1));
    }

    #[test]
    fn a_response_that_can_be_read_in_two_ways_is_refused() {
        let check = |fields: &[(&'static str, &str)]| check_response(StatusCode::OK, &map(fields));
        assert_eq!(check(&[("content-length", "5")]), Ok(()));
        assert_eq!(check(&[("transfer-encoding", "Chunked")]), Ok(()));
        assert_eq!(
            check(&[("content-length", "5"), ("content-length", "5")]),
            Err(BadResponse::TwoLengths)
        );
        assert_eq!(
            check(&[("content-length", "5"), ("transfer-encoding", "chunked")]),
            Err(BadResponse::TwoFramings)
        );
        for bad in ["gzip", "gzip, chunked", "chunked, chunked", "identity"] {
            assert_eq!(check(&[("transfer-encoding", bad)]), Err(BadResponse::Encoding), "{bad}");
        }
        let switching = check_response(StatusCode::SWITCHING_PROTOCOLS, &HeaderMap::new());
        assert_eq!(switching, Err(BadResponse::Unasked));
    }

    #[test]
    fn connection_and_gateway_fields_of_a_response_are_removed() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Secret-Hop"),
            ("keep-alive", "timeout=5"),
            ("x-secret-hop", "1"),
            ("upgrade", "h2c"),
            ("x-doorward-assertion", "forged"),
            ("set-cookie", "theme=dark; Path=/"),
            ("set-cookie", "__Host-doorward=stolen; Path=/; Secure"),
            ("set-cookie", "doorward=; Max-Age=0"),
            ("content-type", "text/plain"),
        ]);
        assert!(clean_response(&mut headers, &OwnNames::default()));
        assert_eq!(
            headers,
            map(&[("set-cookie", "theme=dark; Path=/"), ("content-type", "text/plain")])
        );
        assert!(!clean_response(&mut headers, &OwnNames::default()));
    }

    #[test]
    fn trailers_pass_but_never_become_framing_or_credentials() {
        for name in ["grpc-status", "grpc-message", "server-timing", "x-checksum"] {
            assert!(may_be_trailer(&HeaderName::from_static(name)), "{name}");
        }
        for name in [
            "content-length",
            "transfer-encoding",
            "set-cookie",
            "x-doorward-assertion",
            "connection",
        ] {
            assert!(!may_be_trailer(&HeaderName::from_static(name)), "{name}");
        }
    }
}
