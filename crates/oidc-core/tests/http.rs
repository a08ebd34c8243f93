//! The reqwest adapter against a server that misbehaves: no redirect is followed, no answer is
//! larger or later than allowed, nothing is decompressed.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use oidc_core::Issuer;
use oidc_core::http::reqwest::{HttpOptions, HttpSetupError, ReqwestHttp, install_crypto_provider};
use oidc_core::http::{FetchError, Http, HttpError};
use oidc_core::keys::{JwkSet, RemoteKeys};
use oidc_core::provider::{Provider, ProviderMetadata};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

const MIB: usize = 1024 * 1024;

/// Answer of a server to one request on a connection.
#[derive(Clone)]
enum Answer {
    Bytes(Vec<u8>),
    /// A head, then this many bytes of body at full speed.
    Flood(&'static str, usize),
    /// A head, then one byte of body each 50 ms.
    Drip(&'static str),
    /// No answer at all.
    Silence,
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answer: Answer) {
    let mut head: Vec<u8> = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(n) if n > 0 => head.extend(buffer.iter().take(n)),
            _ => return,
        }
    }
    let _ = match answer {
        Answer::Bytes(bytes) => stream.write_all(&bytes).await,
        Answer::Flood(head, size) => {
            let _ = stream.write_all(head.as_bytes()).await;
            let chunk = vec![b' '; 65_536];
            let mut left = size;
            loop {
                if left == 0 {
                    break Ok(());
                }
                left = left.saturating_sub(chunk.len());
                if stream.write_all(&chunk).await.is_err() {
                    break Ok(());
                }
            }
        }
        Answer::Drip(head) => {
            let _ = stream.write_all(head.as_bytes()).await;
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if stream.write_all(b" ").await.is_err() {
                    break Ok(());
                }
            }
        }
        Answer::Silence => std::future::pending().await,
    };
    let _ = stream.shutdown().await;
}

async fn server(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer.clone()));
        }
    });
    url
}

fn quick() -> ReqwestHttp {
    let options = HttpOptions::default()
        .with_timeout(Duration::from_millis(400))
        .with_connect_timeout(Duration::from_millis(400));
    ReqwestHttp::new(options).unwrap()
}

async fn get(http: &ReqwestHttp, url: &str) -> Result<Response<Bytes>, HttpError> {
    http.send(Request::get(url).body(Bytes::new()).unwrap()).await
}

fn ok(body: &str) -> Answer {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
    Answer::Bytes(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

#[tokio::test]
async fn an_ordinary_answer_arrives() {
    let url = server(ok("{}")).await;
    let answer = get(&quick(), &url).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.body(), "{}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_a_way() {
    let elsewhere = server(ok(r#"{"keys":[]}"#)).await;
    let answer =
        format!("HTTP/1.1 302 Found\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n");
    let url = server(Answer::Bytes(answer.into_bytes())).await;
    assert_eq!(get(&quick(), &url).await.unwrap().status(), 302);
    let issuer: Issuer = url.parse().unwrap();
    let error = ProviderMetadata::discover(&issuer, &quick()).await.unwrap_err();
    assert!(error.to_string().contains("redirect"), "{error}");
}

#[tokio::test]
async fn a_flood_stops_at_the_limit() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ] {
        let url = server(Answer::Flood(head, 64 * MIB)).await;
        let http = ReqwestHttp::new(HttpOptions::default()).unwrap();
        let error = get(&http, &url).await.unwrap_err();
        assert!(matches!(error, HttpError::BodyTooLarge { limit: MIB, .. }), "{error}");
    }
    let small = server(Answer::Flood("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 65_536)).await;
    let http = ReqwestHttp::new(HttpOptions::default().with_max_body(65_536)).unwrap();
    assert_eq!(get(&http, &small).await.unwrap().body().len(), 65_536);
}

#[tokio::test]
async fn a_drip_or_silence_ends_at_the_time_limit() {
    for answer in [Answer::Drip("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"), Answer::Silence] {
        let url = server(answer).await;
        let begun = Instant::now();
        let error = get(&quick(), &url).await.unwrap_err();
        assert!(matches!(error, HttpError::TimedOut { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn nothing_is_unpacked() {
    // 20 bytes of gzip that would unpack to one.
    let packed: &[u8] =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00";
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    );
    let url = server(Answer::Bytes([head.as_bytes(), packed].concat())).await;
    assert_eq!(get(&quick(), &url).await.unwrap().body(), packed);
    let issuer: Issuer = url.parse().unwrap();
    assert!(ProviderMetadata::discover(&issuer, &quick()).await.is_err());
}

#[tokio::test]
async fn a_cut_answer_is_an_error() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"keys\":";
    let url = server(Answer::Bytes(cut.as_bytes().to_vec())).await;
    let error = get(&quick(), &url).await.unwrap_err();
    assert!(matches!(error, HttpError::Exchange { .. }), "{error}");
}

#[tokio::test]
async fn a_refused_connection_names_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = get(&quick(), &format!("http://{address}/x?secret=1")).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn bad_discovery_documents_and_key_sets_are_said_to_be_bad() {
    for answer in [ok("<html>"), ok(""), ok("[]"), ok("{}")] {
        let url = server(answer).await;
        let issuer: Issuer = url.parse().unwrap();
        assert!(ProviderMetadata::discover(&issuer, &quick()).await.is_err());
        let keys = RemoteKeys::new(Provider::new(issuer, Arc::new(quick())));
        assert!(keys.refresh_now().await.is_err());
    }
    assert!(JwkSet::parse(b"{}").is_err());
    let url = server(Answer::Bytes(
        b"HTTP/1.1 503 x\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n".to_vec(),
    ))
    .await;
    let error = ProviderMetadata::discover(&url.parse().unwrap(), &quick()).await.unwrap_err();
    let oidc_core::provider::DiscoveryError::Fetch(FetchError::Status {
        status, retry_after, ..
    }) = error
    else {
        panic!("{error}")
    };
    assert_eq!((status, retry_after), (503, Some(Duration::from_secs(7))));
}

/// A server with a certificate of its own, and the file that makes it trusted.
async fn tls_server(name: &str) -> (String, tempfile::NamedTempFile) {
    install_crypto_provider();
    let certified = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(certified.cert.pem().as_bytes()).unwrap();
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, ok("{}")).await;
                }
            });
        }
    });
    (url, file)
}

#[tokio::test]
async fn only_a_trusted_certificate_for_the_right_name_is_accepted() {
    let (url, ca) = tls_server("localhost").await;
    let trusting = |path: &std::path::Path| {
        ReqwestHttp::new(HttpOptions::default().with_ca_file(path)).unwrap()
    };
    assert_eq!(get(&trusting(ca.path()), &url).await.unwrap().body(), "{}");
    let error = get(&ReqwestHttp::new(HttpOptions::default()).unwrap(), &url).await.unwrap_err();
    assert!(matches!(error, HttpError::Certificate { .. }), "{error}");
    let (other, other_ca) = tls_server("elsewhere.test").await;
    for url in [&other, &url] {
        let error = get(&trusting(other_ca.path()), url).await.unwrap_err();
        assert!(matches!(error, HttpError::Certificate { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_port_for_plain_http_is_told_from_an_outage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ =
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let error = get(&ReqwestHttp::new(HttpOptions::default()).unwrap(), &url).await.unwrap_err();
    assert!(matches!(error, HttpError::NotTls { .. }), "{error}");
}

#[test]
fn a_ca_file_without_certificates_is_named_in_the_error() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let error = ReqwestHttp::new(HttpOptions::default().with_ca_file(empty.path())).unwrap_err();
    assert!(matches!(error, HttpSetupError::EmptyCaFile { .. }), "{error}");
    let error = ReqwestHttp::new(HttpOptions::default().with_ca_file("/nowhere.pem")).unwrap_err();
    assert!(error.to_string().contains("/nowhere.pem"), "{error}");
}
