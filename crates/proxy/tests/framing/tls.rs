//! TLS: both protocols by ALPN, a certificate that changes, a handshake that never ends.

use std::{fs, path::Path, sync::Arc, time::Duration};

use doorward::{
    config::{ClientCertificates, Tls},
    listen::{Certificates, Limits},
};
use http::Request;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    http2::{speak, text},
    test_listener::TestListener,
};

type Pair = rcgen::CertifiedKey<rcgen::KeyPair>;

fn pair() -> Pair {
    pair_for("localhost")
}

fn pair_for(name: &str) -> Pair {
    rcgen::generate_simple_self_signed([name.to_owned()]).unwrap()
}

fn write(folder: &Path, pair: &Pair) -> Arc<Certificates> {
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    fs::write(&certificate, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    Certificates::load(&[Tls {
        certificate,
        key,
        names: Vec::new(),
        client_ca: None,
        client_crl: None,
        client_certificates: ClientCertificates::Request,
    }])
    .unwrap()
}

fn written(folder: &Path, pair: &Pair, names: &[&str]) -> Tls {
    let file = |kind: &str| folder.join(format!("{}.{kind}", names.join("+")));
    let (certificate, key) = (file("crt"), file("key"));
    fs::write(&certificate, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    Tls {
        certificate,
        key,
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        client_ca: None,
        client_crl: None,
        client_certificates: ClientCertificates::Request,
    }
}

async fn connect(
    listener: &TestListener,
    trusted: &Pair,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_to("localhost", listener, trusted, alpn).await
}

async fn connect_to(
    name: &'static str,
    listener: &TestListener,
    trusted: &Pair,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.cert.der().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(listener.address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(name.try_into().unwrap(), stream).await
}

#[tokio::test]
async fn alpn_chooses_the_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let own = pair();
    let listener = TestListener::with(Limits::default(), Some(write(folder.path(), &own))).await;

    let secured = connect(&listener, &own, &[b"h2", b"http/1.1"]).await.unwrap();
    let mut sender = speak(secured).await;
    let request = Request::get("https://localhost/h2").body(text("")).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);

    for alpn in [&[b"http/1.1".as_slice()] as &[&[u8]], &[]] {
        let mut secured = connect(&listener, &own, alpn).await.unwrap();
        secured
            .write_all(b"GET /h1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        secured.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("/h1"), "{answer}");
    }
    let mut secured = connect(&listener, &own, &[b"http/1.1"]).await.unwrap();
    secured.write_all(b"GET /bad HTTP/1.1\nHost: localhost\n\n").await.unwrap();
    let mut answer = String::new();
    secured.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(listener.targets(), ["/h2", "/h1", "/h1"]);
}

#[tokio::test]
async fn a_new_certificate_serves_only_new_handshakes() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (pair(), pair());
    let certificates = write(folder.path(), &old);
    let listener = TestListener::with(Limits::default(), Some(Arc::clone(&certificates))).await;
    let mut before = connect(&listener, &old, &[]).await.unwrap();
    assert!(connect(&listener, &new, &[]).await.is_err());

    fs::write(folder.path().join("tls.crt"), new.cert.pem()).unwrap();
    assert!(certificates.reload().is_err(), "the key belongs to another certificate");
    connect(&listener, &old, &[]).await.unwrap();

    write(folder.path(), &new);
    certificates.reload().unwrap();
    connect(&listener, &new, &[]).await.unwrap();
    before
        .write_all(b"GET /old HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    before.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("/old"), "{answer}");
}

#[tokio::test]
async fn each_host_gets_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b, others) = (pair_for("a.test"), pair_for("*.b.test"), pair_for("127.0.0.1"));
    let certificates = Certificates::load(&[
        written(folder.path(), &a, &["a.test"]),
        written(folder.path(), &b, &["*.b.test"]),
        written(folder.path(), &others, &[]),
    ]);
    let listener = TestListener::with(Limits::default(), Some(certificates.unwrap())).await;
    connect_to("a.test", &listener, &a, &[]).await.unwrap();
    connect_to("A.test", &listener, &a, &[]).await.unwrap();
    connect_to("x.b.test", &listener, &b, &[]).await.unwrap();
    // An address is no name (RFC 6066 §3): the client sends none.
    connect_to("127.0.0.1", &listener, &others, &[]).await.unwrap();
    assert!(connect_to("c.test", &listener, &a, &[]).await.is_err());
}

#[tokio::test]
async fn a_slow_handshake_times_out() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { first_head: Duration::from_millis(300), ..Limits::default() };
    let listener = TestListener::with(limits, Some(write(folder.path(), &pair()))).await;
    let mut client = listener.connect().await;
    client.send(b"\x16\x03\x01\x02\x00\x01").await;
    assert_eq!(client.until_closed().await, []);
}
