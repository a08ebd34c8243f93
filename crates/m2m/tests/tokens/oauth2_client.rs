//! A program that asks with the client of the crate `oauth2`, and keeps its tokens here.

use std::sync::Arc;

use dev_issuer::{DevClient, DevIssuer, Endpoint};
use m2m::{AccessToken, CachedTokens, TokenError, TokenSource};
use oauth2::basic::BasicClient;
use oauth2::{ClientId, ClientSecret, EndpointNotSet, EndpointSet, TokenUrl};
use oidc_core::client::{TokenEndpointError, TokenSet};
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::interop::oauth2::HttpClient;
use oidc_core::{Clock as _, SystemClock};

type Client =
    BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

#[derive(Debug)]
struct AskedByOauth2 {
    client: Client,
    http: HttpClient,
}

#[async_trait::async_trait]
impl TokenSource for AskedByOauth2 {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        let request = self.client.exchange_client_credentials();
        let response = request.request_async(&self.http).await.map_err(TokenEndpointError::from)?;
        Ok(TokenSet::from_oauth2(&response, SystemClock.now())?.try_into()?)
    }
}

fn source(issuer: &DevIssuer, secret: &str) -> AskedByOauth2 {
    let token_url = format!("{}/protocol/openid-connect/token", issuer.url());
    let client = BasicClient::new(ClientId::new("job".to_owned()))
        .set_client_secret(ClientSecret::new(secret.to_owned()))
        .set_token_uri(TokenUrl::new(token_url).unwrap());
    let http = Arc::new(ReqwestHttp::new(HttpOptions::default()).unwrap());
    AskedByOauth2 { client, http: HttpClient::new(http) }
}

#[tokio::test]
async fn tokens_of_an_oauth2_client_are_kept() {
    let builder = DevIssuer::demo_builder().client(DevClient::confidential("job", "s3cret"));
    let issuer = builder.start("127.0.0.1:0").await.unwrap();
    let tokens = CachedTokens::new(source(&issuer, "s3cret"));
    let first = tokens.token().await.unwrap();
    for _ in 0..10 {
        assert!(tokens.token().await.unwrap() == first);
    }
    assert_eq!(issuer.requests(Endpoint::Token), 1);

    let error = CachedTokens::new(source(&issuer, "wrong")).token().await.unwrap_err();
    assert!(matches!(error, TokenError::Refused { .. }), "{error}");
}
