//! `oauth2`'s own client gets tokens for a program.

use std::sync::Arc;
use std::time::Duration;

use dev_issuer::{DevClient, DevIssuer, Endpoint};
use oauth2::basic::{BasicClient, BasicErrorResponseType};
use oauth2::{
    AsyncHttpClient, ClientId, ClientSecret, EndpointNotSet, EndpointSet, IntrospectionUrl,
    RequestTokenError, Scope, TokenIntrospectionResponse as _, TokenResponse as _, TokenUrl,
};
use oidc_core::client::{ClientAuth, TokenEndpoint, TokenEndpointError, TokenSet, TokenType};
use oidc_core::dpop::DpopKey;
use oidc_core::http::HttpError;
use oidc_core::http::reqwest::{HttpOptions, ReqwestHttp};
use oidc_core::interop::oauth2::{AuthenticatedHttpClient, HttpClient};
use oidc_core::testing::TestIssuer;
use oidc_core::{Clock as _, SystemClock};

use crate::{authenticated, http, issuer, provider};

type Client = BasicClient<EndpointNotSet, EndpointNotSet, EndpointSet, EndpointNotSet, EndpointSet>;

/// The client of a program, as `oauth2` has it.
fn client(issuer: &DevIssuer, id: &str) -> Client {
    let at = |path: &str| format!("{}/protocol/openid-connect/{path}", issuer.url());
    BasicClient::new(ClientId::new(id.to_owned()))
        .set_token_uri(TokenUrl::new(at("token")).unwrap())
        .set_introspection_url(IntrospectionUrl::new(at("token/introspect")).unwrap())
}

#[tokio::test]
async fn oauth2_gets_tokens_through_our_http() {
    let issuer = issuer().await;
    let client = client(&issuer, "hub").set_client_secret(ClientSecret::new("s3cret".to_owned()));
    let request = client.exchange_client_credentials().add_scope(Scope::new("score".to_owned()));
    let response = request.request_async(&http()).await.unwrap();

    let now = SystemClock.now();
    let tokens = TokenSet::from_oauth2(&response, now).unwrap();
    assert!(tokens.access_token.matches(response.access_token().secret()));
    assert_eq!(tokens.expires_at, Some(now + response.expires_in().unwrap()));
    assert!(tokens.scope.unwrap().contains("score"));
    assert_eq!(tokens.token_type, TokenType::Bearer);
}

#[tokio::test]
async fn errors_of_oauth2_have_our_codes() {
    let issuer = issuer().await;
    let wrong = client(&issuer, "hub").set_client_secret(ClientSecret::new("wrong".to_owned()));
    let error = wrong.exchange_client_credentials().request_async(&http()).await.unwrap_err();
    let error = TokenEndpointError::from(error);
    assert!(matches!(error, TokenEndpointError::InvalidClient { .. }), "{error}");

    let limited = ReqwestHttp::new(HttpOptions::default().with_max_body(10)).unwrap();
    let limited = HttpClient::new(Arc::new(limited));
    let error = wrong.exchange_client_credentials().request_async(&limited).await.unwrap_err();
    assert!(
        matches!(error, RequestTokenError::Request(HttpError::BodyTooLarge { limit: 10, .. })),
        "{error}"
    );
    let error = TokenEndpointError::from(error);
    assert!(error.is_temporary(), "{error}");
}

#[tokio::test]
async fn a_private_key_authenticates_requests_of_oauth2() {
    let issuer = issuer().await;
    let (http, client) = (authenticated(&issuer), client(&issuer, "hub-key"));
    let response = client.exchange_client_credentials().request_async(&http).await.unwrap();
    assert!(response.expires_in().unwrap() > Duration::ZERO);
    let token = client.introspect(response.access_token()).request_async(&http).await.unwrap();
    assert!(token.active());
    assert_eq!(issuer.requests(Endpoint::Introspection), 1);
}

#[tokio::test]
async fn oauth2_reads_the_error_of_an_authenticated_request() {
    let issuer = issuer().await;
    let code = oauth2::AuthorizationCode::new("unknown".to_owned());
    let client = client(&issuer, "hub-key");
    let error =
        client.exchange_code(code).request_async(&authenticated(&issuer)).await.unwrap_err();
    let RequestTokenError::ServerResponse(answer) = error else { unreachable!("{error}") };
    assert_eq!(*answer.error(), BasicErrorResponseType::InvalidGrant);
}

#[tokio::test]
async fn tokens_for_oauth2_are_bound_to_a_dpop_key() {
    let job = DevClient::confidential("job", "s3cret").require_dpop();
    let builder = DevIssuer::demo_builder().client(job).require_dpop_nonce();
    let issuer = builder.start("127.0.0.1:0").await.unwrap();
    let auth = ClientAuth::SecretBasic("s3cret".into());
    let endpoint = TokenEndpoint::new(provider(&issuer), "job", auth);
    let http = endpoint.clone().with_dpop(Arc::new(DpopKey::generate().unwrap()));
    let http = AuthenticatedHttpClient::new(http);
    let request = client(&issuer, "job");
    let response = request.exchange_client_credentials().request_async(&http).await.unwrap();
    let tokens = TokenSet::from_oauth2(&response, SystemClock.now()).unwrap();
    assert_eq!(tokens.token_type, TokenType::DPoP);
}

#[tokio::test]
async fn an_unbound_token_is_refused_where_a_proof_was_sent() {
    let provider = TestIssuer::new();
    provider.answer("/token", 200, r#"{"access_token":"x","token_type":"Bearer"}"#);
    let endpoint = TokenEndpoint::new(provider.provider(), "job", ClientAuth::None)
        .with_dpop(Arc::new(DpopKey::generate().unwrap()));
    let http = AuthenticatedHttpClient::new(endpoint);
    let client = BasicClient::new(ClientId::new("job".to_owned()))
        .set_token_uri(TokenUrl::new(format!("{}/token", provider.issuer())).unwrap());
    let error = client.exchange_client_credentials().request_async(&http).await.unwrap_err();
    assert!(matches!(error, RequestTokenError::Request(TokenEndpointError::NotBound)), "{error}");
}

/// A request that is not this client's alone is refused, and nothing is sent.
async fn refused(issuer: &DevIssuer, client: Client) -> String {
    let http = authenticated(issuer);
    let error = client.exchange_client_credentials().request_async(&http).await.unwrap_err();
    assert_eq!(issuer.requests(Endpoint::Token), 0);
    let RequestTokenError::Request(error) = error else { unreachable!("{error}") };
    assert_eq!(error.code(), "not_this_client");
    assert!(!error.is_temporary());
    error.to_string()
}

#[tokio::test]
async fn a_client_is_authenticated_once_and_as_itself() {
    let issuer = issuer().await;
    let secret = || ClientSecret::new("s3cret".to_owned());
    let basic = client(&issuer, "hub-key").set_client_secret(secret());
    let post = basic.clone().set_auth_type(oauth2::AuthType::RequestBody);
    for twice in [basic, post] {
        let error = refused(&issuer, twice).await;
        assert!(error.contains("authenticated already"), "{error}");
    }
    let error = refused(&issuer, client(&issuer, "hub")).await;
    assert!(error.contains("another client_id"), "{error}");
}

#[tokio::test]
async fn no_credential_goes_to_another_server() {
    let (issuer, other) = (issuer().await, issuer().await);
    let elsewhere = format!("{}/protocol/openid-connect/token", other.url());
    let client = client(&issuer, "hub-key").set_token_uri(TokenUrl::new(elsewhere).unwrap());
    let error = refused(&issuer, client).await;
    assert!(error.contains("no endpoint of the provider"), "{error}");
    assert_eq!(other.requests(Endpoint::Token), 0);
}

#[tokio::test]
async fn requests_without_a_form_are_sent_unchanged() {
    let issuer = issuer().await;
    let request = http::Request::get(issuer.discovery_url()).body(Vec::new()).unwrap();
    let answer = authenticated(&issuer).call(request).await.unwrap();
    assert_eq!(answer.status(), http::StatusCode::OK);
}
