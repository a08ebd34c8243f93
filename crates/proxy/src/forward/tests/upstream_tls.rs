//! TLS to upstreams as routes configure it, with real certificates on both sides.

use std::path::Path;

use http::{HeaderValue, header};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{super::*, fixtures::*};
use crate::{
    config::{Pin, UpstreamHost, UpstreamTlsConfig},
    upstream::{TlsError, UpstreamTls},
};

/// An authority, and its certificate as a file.
fn authority(folder: &Path, name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join(name), authority.pem()).unwrap();
    authority
}

/// A certificate and its key: for `name`, by an authority or self-signed.
struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    fn signed(name: &str, by: &Issuer<'_, KeyPair>) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        Self { certificate: params.signed_by(&key, by).unwrap().der().clone(), key }
    }

    fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        Self { certificate: params.self_signed(&key).unwrap().der().clone(), key }
    }

    fn pin(&self) -> Pin {
        let key = rcgen::PublicKeyData::subject_public_key_info(&self.key);
        let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, &key);
        Pin(digest.as_ref().try_into().unwrap())
    }
}

/// Serves with an identity; clients need a certificate of `clients`, if there is one. Answers with the `Host` of the request.
async fn serve(identity: &Identity, clients: Option<&CertificateDer<'static>>) -> u16 {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::Pkcs8(identity.key.serialize_der().into());
    let config = builder.with_single_cert(vec![identity.certificate.clone()], key).unwrap();
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
                let head = String::from_utf8(head).unwrap();
                let host = fields(&head, "host").join("+");
                let length = host.len();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{host}");
                stream.write_all(answer.as_bytes()).await.unwrap();
                let _ = stream.read_u8().await;
            });
        }
    });
    port
}

async fn ask(port: u16, tls: &UpstreamTlsConfig) -> Result<String, String> {
    ask_host(&format!("https://127.0.0.1:{port}"), tls, &UpstreamHost::Client).await
}

async fn ask_host(
    url: &str,
    tls: &UpstreamTlsConfig,
    host: &UpstreamHost,
) -> Result<String, String> {
    let mut route = route(&["http://127.0.0.1:1".to_owned()]);
    let tls = UpstreamTls::configured(tls).unwrap();
    let upstream = Upstream::new(&[url.parse().unwrap()], &tls).unwrap().with_host(host);
    route.upstream = Some(upstream);
    match Stage::new().ask(&Arc::new(route), get("/")).await {
        Ok(response) => Ok(body(response).await.unwrap()),
        Err(refusal) => Err(reason(refusal)),
    }
}

fn refused(said: Result<String, String>, words: &str) {
    let said = said.unwrap_err();
    assert!(said.contains(words), "{said}");
}

#[tokio::test]
async fn only_the_authority_of_the_route_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (right, _) = (authority(folder.path(), "right.pem"), authority(folder.path(), "other.pem"));
    let port = serve(&Identity::signed("127.0.0.1", &right), None).await;
    let trusting = |name: &str| UpstreamTlsConfig {
        ca_file: Some(folder.path().join(name)),
        ..UpstreamTlsConfig::default()
    };
    assert_eq!(ask(port, &trusting("right.pem")).await.unwrap(), "platform.example");
    refused(ask(port, &trusting("other.pem")).await, "the certificate is not trusted");
    refused(ask(port, &UpstreamTlsConfig::default()).await, "the certificate is not trusted");
}

#[tokio::test]
async fn a_server_name_takes_the_place_of_the_targets_own() {
    let folder = tempfile::tempdir().unwrap();
    let right = authority(folder.path(), "ca.pem");
    let port = serve(&Identity::signed("console.internal", &right), None).await;
    let named = |name: Option<&str>| UpstreamTlsConfig {
        ca_file: Some(folder.path().join("ca.pem")),
        server_name: name.map(str::to_owned),
        ..UpstreamTlsConfig::default()
    };
    assert!(ask(port, &named(Some("console.internal"))).await.is_ok());
    for wrong in [None, Some("other.internal")] {
        refused(ask(port, &named(wrong)).await, "the certificate is not trusted");
    }
}

#[tokio::test]
async fn a_pinned_key_is_trusted_and_no_other() {
    let server = Identity::self_signed("whatever.test");
    let port = serve(&server, None).await;
    let pinned = |pin: Vec<Pin>| UpstreamTlsConfig { pin, ..UpstreamTlsConfig::default() };
    let other = Identity::self_signed("whatever.test").pin();
    assert!(ask(port, &pinned(vec![server.pin()])).await.is_ok());
    assert!(ask(port, &pinned(vec![other, server.pin()])).await.is_ok(), "during a rotation");
    let said = ask(port, &pinned(vec![other])).await;
    refused(said.clone(), &format!("its public key is not the pinned one but {}", server.pin()));
    refused(said, "the certificate is not trusted");
}

#[tokio::test]
async fn a_pin_is_no_use_without_the_private_key() {
    let victim = Identity::self_signed("whatever.test");
    let thief =
        Identity { certificate: victim.certificate.clone(), key: KeyPair::generate().unwrap() };
    let key = PrivateKeyDer::Pkcs8(thief.key.serialize_der().into());
    let signer = ::rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![thief.certificate], signer);
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = acceptor.accept(stream).await;
    });
    let pin = vec![victim.pin()];
    let said = ask(port, &UpstreamTlsConfig { pin, ..UpstreamTlsConfig::default() }).await;
    refused(said, "the certificate is not trusted: invalid peer certificate: BadSignature");
}

#[tokio::test]
async fn an_upstream_that_wants_a_certificate_gets_ours() {
    let folder = tempfile::tempdir().unwrap();
    let servers = authority(folder.path(), "servers.pem");
    let (clients, strangers) =
        (authority(folder.path(), "clients.pem"), authority(folder.path(), "strangers.pem"));
    for (name, by) in [("ours", &clients), ("strange", &strangers)] {
        let own = Identity::signed("gateway", by);
        let pem = rcgen::KeyPair::serialize_pem(&own.key);
        std::fs::write(folder.path().join(format!("{name}.key")), pem).unwrap();
        let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, own.certificate);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n");
        std::fs::write(folder.path().join(format!("{name}.crt")), pem).unwrap();
    }
    let port = serve(&Identity::signed("127.0.0.1", &servers), Some(clients.der())).await;
    let with = |certificate: Option<&str>, key: Option<&str>| UpstreamTlsConfig {
        ca_file: Some(folder.path().join("servers.pem")),
        client_certificate: certificate.map(|name| folder.path().join(format!("{name}.crt"))),
        client_key: key.map(|name| folder.path().join(format!("{name}.key"))),
        ..UpstreamTlsConfig::default()
    };
    assert!(ask(port, &with(Some("ours"), Some("ours"))).await.is_ok());
    refused(ask(port, &with(None, None)).await, "the upstream wants a client certificate; set");
    let strange = ask(port, &with(Some("strange"), Some("strange"))).await;
    refused(strange, "the upstream refused the client certificate");
    let swapped = UpstreamTls::configured(&with(Some("ours"), Some("strange"))).unwrap();
    let target = ["https://localhost".parse().unwrap()];
    let error = Upstream::new(&target, &swapped).unwrap_err().to_string();
    assert!(error.contains("its key must belong to it"), "{error}");
    assert!(matches!(
        UpstreamTls::configured(&with(Some("none"), Some("ours"))),
        Err(TlsError::Unreadable { .. })
    ));
    assert!(!format!("{swapped:?}").contains("PRIVATE"), "a key is never shown");
}

#[tokio::test]
async fn the_host_for_the_upstream_is_the_configured_one() {
    let server = Identity::self_signed("x.test");
    let port = serve(&server, None).await;
    let tls = UpstreamTlsConfig { pin: vec![server.pin()], ..UpstreamTlsConfig::default() };
    let url = format!("https://127.0.0.1:{port}");
    for (host, seen) in [
        ("client", "platform.example".to_owned()),
        ("upstream", format!("127.0.0.1:{port}")),
        ("console.internal:8443", "console.internal:8443".to_owned()),
    ] {
        assert_eq!(ask_host(&url, &tls, &host.parse().unwrap()).await.unwrap(), seen);
    }
}

#[tokio::test]
async fn a_host_of_our_own_leaves_the_clients_in_forwarding_fields() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let mut route = route(&[raw.url()]);
    let host = "app.internal".parse().unwrap();
    route.upstream = route.upstream.map(|upstream| upstream.with_host(&host));
    let route = Arc::new(route);
    let answer =
        "HTTP/1.1 302 Found\r\nLocation: http://app.internal/x\r\nContent-Length: 0\r\n\r\n";
    let (response, head) = tokio::join!(stage.ask(&route, get("/")), raw.serve_one(answer));
    assert_eq!(fields(&head, "host"), ["app.internal"]);
    assert_eq!(fields(&head, "x-forwarded-host"), ["platform.example"]);
    assert_eq!(response.unwrap().headers()[header::LOCATION], HeaderValue::from_static("/x"));
}
