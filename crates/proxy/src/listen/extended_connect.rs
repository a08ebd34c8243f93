//! WebSockets over HTTP/2 ([RFC 8441]).
//!
//! An extended CONNECT with `:protocol` `websocket` stands for the GET of an HTTP/1.1 handshake, and becomes that before anything judges
//! it: the same rules, the same `Origin`, the same upstream. CONNECT without `:protocol`, or with another, stays CONNECT and is
//! refused as everywhere. HTTP/2 has no 101: the answer that opens the tunnel is 200, and no other success may look like it.
//!
//! [RFC 8441]: https://www.rfc-editor.org/rfc/rfc8441

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::ext::Protocol;
use rand::RngExt as _;

/// Turns an extended CONNECT for a WebSocket into the handshake that it stands for. Returns whether the request is one.
pub(super) fn into_handshake<B>(request: &mut Request<B>) -> bool {
    if request.version() != Version::HTTP_2 || *request.method() != Method::CONNECT {
        return false;
    }
    let websocket = |protocol: &Protocol| protocol.as_str() == "websocket";
    if !request.extensions().get::<Protocol>().is_some_and(websocket) {
        return false;
    }
    *request.method_mut() = Method::GET;
    // RFC 8441 §5: HTTP/2 has no key; the upstream's handshake needs one.
    let key: [u8; 16] = rand::rng().random();
    if let Ok(key) = HeaderValue::try_from(STANDARD.encode(key)) {
        request.headers_mut().insert(header::SEC_WEBSOCKET_KEY, key);
    }
    true
}

/// The answer to an extended CONNECT. A success without a WebSocket would open a tunnel to no upstream; it becomes 502.
pub(super) fn answer(mut response: Response<Body>) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        *response.status_mut() = StatusCode::OK;
        for name in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT] {
            response.headers_mut().remove(name);
        }
        return response;
    }
    if response.status().is_success() {
        tracing::info!(
            status = response.status().as_u16(),
            "WebSocket refused: the answer opens none"
        );
        let mut refused = Response::new(Body::empty());
        *refused.status_mut() = StatusCode::BAD_GATEWAY;
        let no_store = HeaderValue::from_static("no-store");
        refused.headers_mut().insert(header::CACHE_CONTROL, no_store);
        return refused;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(protocol: Option<&'static str>, version: Version) -> Request<()> {
        let request = Request::builder().method("CONNECT").uri("https://a.example/ws?x=1");
        let mut request = request.version(version).body(()).unwrap();
        if let Some(protocol) = protocol {
            request.extensions_mut().insert(Protocol::from_static(protocol));
        }
        request.headers_mut().insert("sec-websocket-key", HeaderValue::from_static("own"));
        request
    }

    #[test]
    fn only_a_web_socket_becomes_a_handshake() {
        let mut request = connect(Some("websocket"), Version::HTTP_2);
        assert!(into_handshake(&mut request));
        assert_eq!((request.method(), request.uri().path()), (&Method::GET, "/ws"));
        assert_eq!(request.headers()["sec-websocket-key"].len(), 24);
        for protocol in [None, Some("WebSocket"), Some("connect-udp"), Some("websocket2"), Some("")]
        {
            let mut request = connect(protocol, Version::HTTP_2);
            assert!(!into_handshake(&mut request), "{protocol:?}");
            assert_eq!(*request.method(), Method::CONNECT);
        }
        assert!(!into_handshake(&mut connect(Some("websocket"), Version::HTTP_11)));
    }

    #[test]
    fn only_a_switch_is_a_success() {
        let with = |status: u16| {
            let answer = Response::builder().status(status).header("upgrade", "websocket");
            answer.header("sec-websocket-protocol", "v1").body(Body::from("x")).unwrap()
        };
        let opened = answer(with(101));
        assert_eq!(opened.status(), StatusCode::OK);
        assert!(opened.headers().get("upgrade").is_none());
        assert_eq!(opened.headers()["sec-websocket-protocol"], "v1");
        for status in [200, 202, 204, 206] {
            assert_eq!(answer(with(status)).status(), StatusCode::BAD_GATEWAY, "{status}");
        }
        for status in [302, 401, 403, 503] {
            assert_eq!(answer(with(status)).status().as_u16(), status);
        }
    }
}
