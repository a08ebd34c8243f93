//! Verifiers from an address and an audience as text.

use dev_issuer::{DevClient, DevIssuer, Endpoint, Mint};
use oidc_core::Verifier;
use oidc_core::provider::InvalidIssuer;
use oidc_core::testing::TestIssuer;
use oidc_core::token::Algorithm;
use oidc_core::verify::{AssertionVerifier, VerifierSetupError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::test]
async fn the_first_token_fetches_the_keys() {
    let builder = DevIssuer::demo_builder().client(DevClient::confidential("lab", "s3cret"));
    let issuer = builder.start("127.0.0.1:0").await.unwrap();
    let mint = |audience| Mint::access("alice").client("lab").audience([audience]);
    let verifier = Verifier::for_issuer(issuer.url(), "hub").unwrap();
    assert_eq!(issuer.requests(Endpoint::Discovery), 0);

    let token = issuer.mint(mint("hub")).unwrap();
    let verified = verifier.access_token(&token).await.unwrap();
    assert_eq!(verified.preferred_username(), Some("alice"));
    verifier.access_token(&token).await.unwrap();
    assert_eq!((issuer.requests(Endpoint::Discovery), issuer.requests(Endpoint::Jwks)), (1, 1));

    let elsewhere = issuer.mint(mint("elsewhere")).unwrap();
    assert_eq!(verifier.access_token(&elsewhere).await.unwrap_err().code(), "wrong_audience");
}

#[tokio::test]
async fn an_invalid_issuer_is_refused_before_any_fetch() {
    for (text, expected) in [
        ("id.example/realms/lab", "is not a URL"),
        ("http://id.example/realms/lab", "must use https"),
        ("https://id.example/realms/lab?x=1", "neither query nor fragment"),
    ] {
        let error = Verifier::for_issuer(text, "hub").map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let VerifierSetupError::Issuer(_) = error else { unreachable!("{error}") };
    }
    let error: VerifierSetupError = "".parse::<oidc_core::Issuer>().unwrap_err().into();
    assert!(matches!(error, VerifierSetupError::Issuer(InvalidIssuer::NotAUrl { .. })));
}

/// Answers one request with this key set, and returns the path asked for.
async fn serve_keys(listener: TcpListener, keys: String) -> String {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut head = vec![0; 4096];
    let read = connection.read(&mut head).await.unwrap();
    head.truncate(read);
    let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap().to_owned();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{keys}",
        keys.len()
    );
    connection.write_all(answer.as_bytes()).await.unwrap();
    path
}

#[tokio::test]
async fn assertions_are_checked_with_the_keys_of_the_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway = TestIssuer::named(&url, Algorithm::ES256);
    let other = TestIssuer::named(&url, Algorithm::RS256);
    let served = tokio::spawn(serve_keys(listener, gateway.jwks()));

    let verifier = AssertionVerifier::for_gateway(&format!("{url}/"), "churn").unwrap();
    let verifier = verifier.with_clock(gateway.clock());
    let caller = verifier.assertion(&gateway.id_token("churn", None)).await.unwrap();
    assert_eq!(caller.preferred_username(), Some("alice"));
    assert_eq!(served.await.unwrap(), "/oauth2/jwks");

    for (assertion, code) in [
        (gateway.id_token("elsewhere", None), "wrong_audience"),
        (gateway.access_token("churn"), "wrong_type"),
        (other.id_token("churn", None), "algorithm_not_allowed"),
    ] {
        assert_eq!(verifier.assertion(&assertion).await.unwrap_err().code(), code);
    }
}

#[tokio::test]
async fn a_gateway_without_tls_is_refused_off_loopback() {
    let error = AssertionVerifier::for_gateway("http://gateway.example", "churn").unwrap_err();
    let VerifierSetupError::Issuer(InvalidIssuer::NotHttps { .. }) = error else {
        unreachable!("{error}")
    };
}
