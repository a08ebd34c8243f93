//! A login whose request the client signs and whose answer the provider signs, from end to end.

use dev_issuer::{DevClient, DevIssuer, SignInError};
use oidc_core::Secret;
use oidc_core::client::{ClientAuth, PrivateKeyJwt};
use oidc_core::login::LoginRequest;
use url::Url;

use crate::elsewhere::Elsewhere;

/// RFC 8037 §A.1
const PRIVATE: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"gateway-1",
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const PUBLIC: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"gateway-1",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
const CALLBACK: &str = "http://127.0.0.1:7777/callback";

async fn provider() -> Elsewhere {
    let gateway = DevClient::confidential("gateway", "s3cret")
        .redirect_uri(CALLBACK)
        .request_object_key(PUBLIC)
        .require_signed_request();
    Elsewhere::start(DevIssuer::demo_builder().client(gateway)).await
}

fn request() -> LoginRequest {
    LoginRequest::new(CALLBACK.parse().unwrap()).with_scopes(["profile"])
}

#[tokio::test(start_paused = true)]
async fn request_and_answer_are_signed() {
    let provider = provider().await;
    let client = provider.client("gateway", ClientAuth::SecretBasic("s3cret".into()));
    let key = PrivateKeyJwt::from_jwk(&Secret::from(PRIVATE)).unwrap();
    let signed = request().with_signed_request(key).with_response_mode_jwt();
    for request in [signed.clone(), signed.without_pushed_request()] {
        let (url, pending) = client.begin_login(request).await.unwrap();
        let back: Url = provider.issuer.sign_in(url.as_str(), "alice").unwrap().parse().unwrap();
        let query = back.query().unwrap();
        assert!(query.starts_with("response="));
        let code = client.parse_callback(query, &pending).await.unwrap();
        let login = client.finish_login(code, &pending).await.unwrap();
        assert_eq!(login.id_token.preferred_username(), Some("alice"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unsigned_request_goes_nowhere() {
    let provider = provider().await;
    let client = provider.client("gateway", ClientAuth::SecretBasic("s3cret".into()));
    let (url, _) = client.begin_login(request().without_pushed_request()).await.unwrap();
    let outcome = provider.issuer.sign_in(url.as_str(), "alice");
    assert!(matches!(outcome, Err(SignInError::Refused(_))));
    assert!(client.begin_login(request()).await.is_err(), "not even when it is pushed");
}
