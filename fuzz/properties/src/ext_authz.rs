//! Questions of Envoy: whatever the bytes, a question is one request or none.

use doorward::ext_authz::read;
use http_canonical::{Arrival, CanonicalRequest, RequestId, Trust, ext_authz::Held};

/// The bytes of a message `CheckRequest`.
pub fn ext_authz(data: &[u8]) {
    let Ok(question) = read(data) else { return };
    let Held { request, scheme, asks_websocket } = question.held;
    // Nothing of HTTP/2's own is left, and one host.
    assert!(request.headers().keys().all(|name| !name.as_str().starts_with(':')));
    assert_eq!(request.headers().get_all("host").iter().count(), 1);
    let target = request.uri().to_string();
    assert!(target.starts_with('/') && !target.contains(['#', ' ', '\\', '\r', '\n']), "{target}");
    let peer = question.client;
    let arrival = Arrival {
        peer,
        scheme,
        request_id: RequestId::random(),
        asks_websocket,
        certificate: None,
    };
    let Ok(canonical) = CanonicalRequest::from_http(request, arrival, &Trust::none()) else {
        return;
    };
    assert_eq!(canonical.client_ip(), peer.ip());
    assert_eq!(canonical.scheme(), scheme);
}
