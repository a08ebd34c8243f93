//! `Client-Cert` of a trusted proxy: one reading, or none.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue};
use http_canonical::ClientCertificate;

/// Lines of `Client-Cert`, and after an empty line those of `Client-Cert-Chain`.
pub fn client_cert(data: &[u8]) {
    let mut headers = HeaderMap::new();
    let mut name = "client-cert";
    for line in data.split(|byte| *byte == b'\n').take(12) {
        if line.is_empty() {
            name = "client-cert-chain";
        } else if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name, value);
        }
    }
    let Ok(read) = ClientCertificate::of_proxy(&headers) else { return };
    let Some(certificate) = read else { return assert!(headers.is_empty()) };
    // What is read is written in one way, but for white space between the members of the chain.
    let item = |der: &[u8]| format!(":{}:", STANDARD.encode(der));
    let own = headers.get_all("client-cert").iter().collect::<Vec<_>>();
    assert_eq!(own, [&item(certificate.der())]);
    let written: Vec<String> = certificate.chain().map(item).collect();
    let lines = headers.get_all("client-cert-chain").iter();
    let given: Vec<u8> = lines
        .collect::<Vec<_>>()
        .iter()
        .map(|line| line.as_bytes())
        .collect::<Vec<_>>()
        .join(&b',');
    let given: Vec<u8> = given.into_iter().filter(|byte| !matches!(byte, b' ' | b'\t')).collect();
    assert_eq!(given, written.join(",").into_bytes());
    for der in std::iter::once(certificate.der()).chain(certificate.chain()) {
        assert_eq!(der[0], 0x30);
    }
}
