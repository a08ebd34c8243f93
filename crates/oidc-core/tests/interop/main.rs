//! Programs on the crates `oauth2` and `openidconnect`, over this crate's HTTP, client authentication
//! and verifier, against dev-issuer.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod client_credentials;
mod conversions;
mod events;
mod login;

use std::sync::Arc;

use dev_issuer::{DevClient, DevIssuer};
use oidc_core::Secret;
use oidc_core::client::{ClientAuth, PrivateKeyJwt, TokenEndpoint};
use oidc_core::http::Http;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::interop::oauth2::{AuthenticatedHttpClient, HttpClient};
use oidc_core::provider::Provider;

/// RFC 8037 §A.1
const PRIVATE: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"hub-1",
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const PUBLIC: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"hub-1",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
const CALLBACK: &str = "http://127.0.0.1:7777/callback";

/// The clients `hub` with a secret, and `hub-key` with a private key.
async fn issuer() -> DevIssuer {
    DevIssuer::demo_builder()
        .client(DevClient::confidential("hub", "s3cret").redirect_uri(CALLBACK).scope("score"))
        .client(DevClient::private_key_jwt("hub-key", PUBLIC).redirect_uri(CALLBACK))
        .start("127.0.0.1:0")
        .await
        .unwrap()
}

fn transport() -> Arc<dyn Http> {
    Arc::new(ReqwestHttp::new(HttpOptions::default()).unwrap())
}

fn http() -> HttpClient {
    HttpClient::new(transport())
}

fn provider(issuer: &DevIssuer) -> Provider {
    Provider::new(issuer.url().parse().unwrap(), transport())
}

/// Authenticates `hub-key` with its private key.
fn authenticated(issuer: &DevIssuer) -> AuthenticatedHttpClient {
    let key = PrivateKeyJwt::from_jwk(&Secret::from(PRIVATE)).unwrap();
    let auth = ClientAuth::PrivateKeyJwt(key);
    AuthenticatedHttpClient::new(TokenEndpoint::new(provider(issuer), "hub-key", auth))
}
