//! Keys from a file, and requests with a token from a file.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use oidc_core::http::{BearerFile, Http, HttpError};
use oidc_core::keys::{FileKeys, KeySource as _, KeysFileError};
use oidc_core::testing::TestIssuer;
use oidc_core::{Validation, Verifier};

#[tokio::test(start_paused = true)]
async fn keys_in_a_file_are_read_again_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.json");
    let issuer = TestIssuer::new();
    std::fs::write(&file, issuer.jwks()).unwrap();
    let keys = FileKeys::open(&file).unwrap();
    let rules = Validation::new(issuer.issuer(), "hub");
    let verifier = Verifier::new(rules, Arc::new(keys.clone())).with_clock(issuer.clock());
    assert!(verifier.access_token(&issuer.access_token("hub")).await.is_ok());
    let generation = keys.generation();

    issuer.rotate();
    std::fs::write(&file, issuer.jwks()).unwrap();
    let next = issuer.access_token("hub");
    // Unknown keys of strangers do not have the file read at each request.
    assert_eq!(verifier.access_token(&next).await.unwrap_err().code(), "unknown_key");
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(verifier.access_token(&next).await.is_ok());
    assert_ne!(keys.generation(), generation);

    // A file that cannot be used changes nothing.
    let generation = keys.generation();
    for bad in ["", "{}", r#"{"keys":[]}"#] {
        std::fs::write(&file, bad).unwrap();
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(keys.refreshed(Some("unknown")).await.is_ok());
        assert_eq!(keys.generation(), generation, "{bad}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(FileKeys::open(&file), Err(KeysFileError::Read { .. })));
    std::fs::write(&file, r#"{"keys":[]}"#).unwrap();
    assert!(matches!(FileKeys::open(&file), Err(KeysFileError::Empty { .. })));
}

/// Notes the requests that would be sent.
#[derive(Debug, Default)]
struct Sent(Mutex<Vec<(String, Option<String>)>>);

#[async_trait]
impl Http for Sent {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let token = request.headers().get("authorization");
        let token = token.map(|value| value.to_str().unwrap().to_owned());
        self.0.lock().unwrap().push((request.uri().to_string(), token));
        Ok(Response::new(Bytes::new()))
    }
}

#[tokio::test]
async fn a_token_from_a_file_goes_out_over_tls_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let sent = Arc::new(Sent::default());
    let http = BearerFile::new(Arc::clone(&sent) as _, &file);
    let get = |url: &str| Request::get(url).body(Bytes::new()).unwrap();
    http.send(get("https://10.0.0.1:6443/openid/v1/jwks")).await.unwrap();
    // The platform replaces it.
    std::fs::write(&file, "second").unwrap();
    http.send(get("http://127.0.0.1:8001/openid/v1/jwks")).await.unwrap();
    assert!(http.send(get("http://10.0.0.1/openid/v1/jwks")).await.is_err());
    let post = Request::post("https://10.0.0.1/token").body(Bytes::new()).unwrap();
    assert!(http.send(post).await.is_err());
    std::fs::write(&file, "a\nb").unwrap();
    assert!(http.send(get("https://10.0.0.1/x")).await.is_err());
    std::fs::remove_file(&file).unwrap();
    let error = http.send(get("https://10.0.0.1/x")).await.unwrap_err().to_string();
    assert!(error.contains("token") && !error.contains("second"), "{error}");
    let sent = sent.0.lock().unwrap();
    let tokens: Vec<_> = sent.iter().map(|(_, token)| token.as_deref()).collect();
    assert_eq!(tokens, [Some("Bearer first"), Some("Bearer second")]);
}
