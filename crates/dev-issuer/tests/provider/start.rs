use dev_issuer::{DevClient, DevIssuer, StartError};

use crate::browser::http;
use crate::party::provider;

#[tokio::test]
async fn refuses_to_listen_beyond_this_machine() {
    for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let refused = provider().start(addr).await;
        assert!(matches!(refused, Err(StartError::NotLoopback(_))), "{addr}: {refused:?}");
    }
}

#[tokio::test]
async fn listens_on_every_loopback_name() {
    for addr in ["127.0.0.1:0", "[::1]:0", "localhost:0"] {
        let issuer = provider().start(addr).await.unwrap();
        assert!(issuer.addr().ip().is_loopback());
        assert!(issuer.url().ends_with("/realms/dev"));
    }
}

#[tokio::test]
async fn names_the_client_whose_logout_uri_is_elsewhere() {
    let client =
        DevClient::confidential("x", "y").backchannel_logout_uri("https://example.com/out");
    let error = DevIssuer::builder().client(client).start("127.0.0.1:0").await.unwrap_err();
    assert!(error.to_string().contains("\"x\""), "{error}");
}

#[tokio::test]
async fn refuses_a_realm_that_is_not_a_path_segment() {
    let refused = provider().realm("a/b").start("127.0.0.1:0").await;
    assert!(matches!(refused, Err(StartError::Realm(_))));
}

#[tokio::test]
async fn discovery_names_the_issuer_under_both_well_known_paths() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let origin = issuer.url().strip_suffix("/realms/dev").unwrap();
    let rfc8414 = format!("{origin}/.well-known/oauth-authorization-server/realms/dev");
    for url in [issuer.discovery_url(), rfc8414] {
        let metadata: serde_json::Value =
            http().get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(metadata["issuer"], issuer.url());
        for endpoint in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            assert!(metadata[endpoint].as_str().unwrap().starts_with(issuer.url()));
        }
    }
}

#[tokio::test]
async fn resumes_at_the_same_address_after_a_stop() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let http = http();
    let kid = issuer.signing_key_id();
    assert!(http.get(issuer.discovery_url()).send().await.is_ok());
    issuer.stop().await;
    assert!(http.get(issuer.discovery_url()).send().await.is_err());
    issuer.resume().await.unwrap();
    assert!(http.get(issuer.discovery_url()).send().await.is_ok());
    assert_eq!(issuer.signing_key_id(), kid);
}

#[tokio::test]
async fn a_dropped_provider_stops_listening() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let (url, addr) = (issuer.discovery_url(), issuer.addr());
    let http = http();
    assert!(http.get(&url).send().await.is_ok());
    drop(issuer);
    let mut free = tokio::net::TcpListener::bind(addr).await;
    while free.is_err() {
        tokio::task::yield_now().await;
        free = tokio::net::TcpListener::bind(addr).await;
    }
}

#[test]
fn a_provider_can_be_shared_between_threads() {
    fn is_shareable<T: Send + Sync + 'static>() {}
    is_shareable::<DevIssuer>();
}
