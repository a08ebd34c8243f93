//! Upstreams over TLS: trusted certificates, and the errors for the others.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{super::*, fixtures::*};
use crate::upstream::{TlsError, UpstreamTls};

/// A server with a certificate for `localhost` that one authority signed, and that authority's file.
async fn server(folder: &Path, alpn: &[u8]) -> (u16, UpstreamTls) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let file = folder.join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                stream.write_all(answer).await.unwrap();
                let _ = stream.read_buf(&mut head).await;
            });
        }
    });
    (port, UpstreamTls::with_ca_file(&file).unwrap())
}

fn through(url: &str, tls: &UpstreamTls) -> Arc<Route> {
    let mut route = route(&["http://127.0.0.1:1".to_owned()]);
    route.upstream = Some(Upstream::new(&[url.parse().unwrap()], tls).unwrap());
    Arc::new(route)
}

#[tokio::test]
async fn a_custom_ca_is_trusted_only_for_the_name_it_signed() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let (port, tls) = server(folder.path(), b"http/1.1").await;
    let answer = stage.ask(&through(&format!("https://localhost:{port}"), &tls), get("/")).await;
    assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
    let other = through(&format!("https://127.0.0.1:{port}"), &tls);
    let said = reason(stage.ask(&other, get("/")).await.unwrap_err());
    assert!(said.contains("the certificate is not trusted"), "{said}");
    let system = UpstreamTls::platform();
    let unknown = through(&format!("https://localhost:{port}"), &system);
    let said = reason(stage.ask(&unknown, get("/")).await.unwrap_err());
    assert!(said.contains("the certificate is not trusted"), "{said}");
}

#[tokio::test]
async fn an_h2_upstream_must_agree_to_http2() {
    let stage = Stage::new();
    let folder = tempfile::tempdir().unwrap();
    let (port, tls) = server(folder.path(), b"http/1.1").await;
    let route = through(&format!("h2://localhost:{port}"), &tls);
    let said = reason(stage.ask(&route, get("/")).await.unwrap_err());
    assert!(said.contains("TLS handshake failed") || said.contains("unsupported HTTP/2"), "{said}");
}

#[test]
fn a_file_without_an_authority_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.pem");
    std::fs::write(&file, "nothing here\n").unwrap();
    assert!(matches!(UpstreamTls::with_ca_file(&file), Err(TlsError::Empty { .. })));
    let missing = folder.path().join("missing.pem");
    assert!(matches!(UpstreamTls::with_ca_file(&missing), Err(TlsError::Unreadable { .. })));
}
