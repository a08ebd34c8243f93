//! A client that authenticates with a certificate (RFC 8705), against a server that requires one.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use oidc_core::Secret;
use oidc_core::client::{AutoAuth, ClientAuth, TokenEndpoint, TokenEndpointError, TokenHint};
use oidc_core::http::reqwest::{HttpOptions, HttpSetupError, ReqwestHttp, install_crypto_provider};
use oidc_core::http::{Http, HttpError};
use oidc_core::provider::Provider;
use oidc_core::testing::TestIssuer;
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::own_right;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn certificate(name: &str) -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed([name.to_owned()]).unwrap()
}

/// A server that accepts holders of one certificate only, and answers each with a token.
struct Guarded {
    url: String,
    trusted: NamedTempFile,
    /// Path and form of each request that got through.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Guarded {
    async fn for_client(client: &CertifiedKey<KeyPair>) -> Self {
        install_crypto_provider();
        let own = certificate("localhost");
        let trusted = file(&own.cert.pem());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(client.cert.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let request = read(&mut stream).await;
                    seen.lock().unwrap().push(request);
                    let body = r#"{"access_token":"bound","token_type":"Bearer"}"#;
                    let head =
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                    let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { url, trusted, asked }
    }
}

/// Path and body of one request.
async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> (String, String) {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer).await.unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if n == 0 {
                return Default::default();
            }
            continue;
        };
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.trim().parse().unwrap());
        if body.len() >= length || n == 0 {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            return (path, body.to_owned());
        }
    }
}

/// The issuer in memory, but requests to `localhost` go over the network.
#[derive(Debug)]
struct Mixed {
    issuer: TestIssuer,
    real: ReqwestHttp,
}

#[async_trait]
impl Http for Mixed {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        match request.uri().host() {
            Some("localhost") => self.real.send(request).await,
            _ => self.issuer.http().send(request).await,
        }
    }
}

struct World {
    issuer: TestIssuer,
    server: Guarded,
    certificate: NamedTempFile,
    key: NamedTempFile,
}

impl World {
    async fn new() -> Self {
        let client = certificate("job");
        let server = Guarded::for_client(&client).await;
        let issuer = TestIssuer::new();
        let aliases = json!({
            "token_endpoint": format!("{}/mtls/token", server.url),
            "revocation_endpoint": format!("{}/mtls/revoke", server.url),
        });
        issuer.set_metadata("mtls_endpoint_aliases", aliases);
        let key = file(&client.signing_key.serialize_pem());
        Self { issuer, server, certificate: file(&client.cert.pem()), key }
    }

    fn endpoint(&self, options: HttpOptions, auth: ClientAuth) -> TokenEndpoint {
        let options = options.with_ca_file(self.server.trusted.path());
        let real = ReqwestHttp::new(options).unwrap();
        let http = Arc::new(Mixed { issuer: self.issuer.clone(), real });
        TokenEndpoint::new(Provider::new(self.issuer.issuer(), http), "job", auth)
    }

    fn showing(&self) -> HttpOptions {
        HttpOptions::default().with_client_certificate(self.certificate.path(), self.key.path())
    }

    fn asked(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.server.asked.lock().unwrap())
    }
}

#[tokio::test]
async fn a_certificate_is_used_at_the_aliases_with_only_the_id() {
    let world = World::new().await;
    let endpoint = world.endpoint(world.showing(), ClientAuth::MutualTls);
    let tokens = endpoint.request(own_right()).await.unwrap();
    assert_eq!(tokens.access_token.expose(), "bound");
    endpoint.revoke(&Secret::from("t"), TokenHint::AccessToken).await.unwrap();
    assert_eq!(
        world.asked(),
        [
            ("/mtls/token".to_owned(), "grant_type=client_credentials&client_id=job".to_owned()),
            (
                "/mtls/revoke".to_owned(),
                "token=t&token_type_hint=access_token&client_id=job".to_owned()
            ),
        ]
    );
    assert_eq!(world.issuer.requests("token") + world.issuer.requests("revoke"), 0);

    let secret = world.endpoint(world.showing(), ClientAuth::SecretBasic("s".into()));
    secret.request(own_right()).await.unwrap();
    assert_eq!(world.issuer.requests("token"), 1, "others ask where all ask");

    world.issuer.set_metadata("mtls_endpoint_aliases", Value::Null);
    let endpoint = world.endpoint(world.showing(), ClientAuth::MutualTls);
    endpoint.request(own_right()).await.unwrap();
    assert_eq!(world.issuer.requests("token"), 2, "no alias: the usual place");
}

#[tokio::test]
async fn without_the_right_certificate_there_is_no_answer() {
    let world = World::new().await;
    let other = certificate("job");
    let (cert, key) = (file(&other.cert.pem()), file(&other.signing_key.serialize_pem()));
    let stranger = HttpOptions::default().with_client_certificate(cert.path(), key.path());
    for options in [HttpOptions::default(), stranger.clone()] {
        let error =
            world.endpoint(options, ClientAuth::MutualTls).request(own_right()).await.unwrap_err();
        assert!(matches!(error, TokenEndpointError::Unavailable { .. }), "{error}");
    }
    assert!(world.asked().is_empty());

    // If the server refuses the certificate, the secret is still tried.
    let auto = AutoAuth::new().with_certificate().with_secret("short");
    let endpoint = world.endpoint(stranger, ClientAuth::Auto(auto));
    endpoint.request(own_right()).await.unwrap();
    assert_eq!(world.issuer.requests("token"), 1);
    assert!(world.issuer.last_request("token").unwrap().authorization.is_some());
}

#[tokio::test]
async fn a_certificate_comes_before_a_secret() {
    let world = World::new().await;
    let auto = AutoAuth::new().with_secret("s".repeat(32)).with_certificate();
    world.endpoint(world.showing(), ClientAuth::Auto(auto)).request(own_right()).await.unwrap();
    assert_eq!(world.asked().len(), 1);
    assert_eq!(world.issuer.requests("token"), 0);
}

#[test]
fn an_unusable_certificate_is_refused_when_it_is_read() {
    let (own, other) = (certificate("job"), certificate("other"));
    let cert = file(&own.cert.pem());
    let key = file(&own.signing_key.serialize_pem());
    let other_key = file(&other.signing_key.serialize_pem());
    let setup = |cert: &std::path::Path, key: &std::path::Path| {
        ReqwestHttp::new(HttpOptions::default().with_client_certificate(cert, key))
    };
    let nowhere = std::path::Path::new("/nowhere.pem");
    let error = setup(nowhere, key.path()).unwrap_err();
    assert!(matches!(error, HttpSetupError::ClientCertificateFile { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere.pem"), "{error}");
    let error = setup(key.path(), key.path()).unwrap_err();
    assert!(matches!(error, HttpSetupError::EmptyClientCertificate { .. }), "{error}");
    for bad in [nowhere, cert.path()] {
        let error = setup(cert.path(), bad).unwrap_err();
        assert!(matches!(error, HttpSetupError::ClientKeyFile { .. }), "{error}");
    }
    let error = setup(cert.path(), other_key.path()).unwrap_err();
    assert!(matches!(error, HttpSetupError::ClientCertificate { .. }), "{error}");
    assert!(error.to_string().contains("key it was made for"), "{error}");
    let both = file(&format!("{}{}", own.cert.pem(), own.signing_key.serialize_pem()));
    setup(both.path(), both.path()).unwrap();
}
