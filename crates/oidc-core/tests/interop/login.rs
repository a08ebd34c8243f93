//! `openidconnect`'s own client logs in.

use std::sync::Arc;

use dev_issuer::{DevIssuer, Endpoint};
use oauth2::AsyncHttpClient;
use oidc_core::client::{ClientAuth, TokenSet};
use oidc_core::interop::openidconnect::WholeProviderMetadata;
use oidc_core::keys::{KeySource as _, RemoteKeys};
use oidc_core::login::LoginRequest;
use oidc_core::provider::ProviderMetadata;
use oidc_core::verify::IdTokenExpectations;
use oidc_core::{Client, Clock as _, Secret, SystemClock, Validation, Verifier};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreIdTokenClaims, CoreProviderMetadata, CoreTokenResponse,
    CoreUserInfoClaims,
};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse as _,
};
use url::Url;

use crate::{CALLBACK, authenticated, http, issuer, provider};

/// A login: `hub` with its secret, or `hub-key` through an HTTP client that authenticates it.
async fn log_in<C>(issuer: &DevIssuer, id: &str, secret: Option<&str>, http: &C)
where
    C: for<'c> AsyncHttpClient<'c, Error: Send + Sync>,
{
    let issuer_url = IssuerUrl::new(issuer.url().to_owned()).unwrap();
    let discovered = WholeProviderMetadata::discover_async(issuer_url, http).await.unwrap();
    let client = CoreClient::from_provider_metadata(
        discovered.clone(),
        ClientId::new(id.to_owned()),
        secret.map(|secret| ClientSecret::new(secret.to_owned())),
    )
    .set_redirect_uri(RedirectUrl::new(CALLBACK.to_owned()).unwrap());

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let (url, state, nonce) = client
        .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
        .add_scope(Scope::new("profile".to_owned()))
        .set_pkce_challenge(challenge)
        .url();
    let back: Url = issuer.sign_in(url.as_str(), "alice").unwrap().parse().unwrap();
    let value = |name: &str| back.query_pairs().find(|(other, _)| other == name).unwrap().1;
    assert_eq!(value("state"), state.secret().as_str());

    let code = AuthorizationCode::new(value("code").into_owned());
    let tokens = client
        .exchange_code(code.clone())
        .unwrap()
        .set_pkce_verifier(verifier)
        .request_async(http)
        .await
        .unwrap();
    let id_token = tokens.id_token().unwrap();
    let rules = client.id_token_verifier();
    let claims = id_token.claims(&rules, &nonce).unwrap();
    let hash = AccessTokenHash::from_token(
        tokens.access_token(),
        id_token.signing_alg().unwrap(),
        id_token.signing_key(&rules).unwrap(),
    )
    .unwrap();
    assert_eq!(claims.access_token_hash(), Some(&hash));

    // This crate agrees, with metadata that `openidconnect` discovered.
    let metadata =
        ProviderMetadata::from_openidconnect(&issuer.url().parse().unwrap(), &discovered).unwrap();
    assert!(metadata.authorization_response_iss_parameter_supported);
    let keys = Arc::new(RemoteKeys::new(provider(issuer)));
    let ours = Verifier::new(Validation::new(metadata.issuer.clone(), id), keys);
    let expected = IdTokenExpectations::default()
        .with_nonce(Secret::from(&nonce))
        .with_access_token(Secret::from(tokens.access_token()))
        .with_code(Secret::from(&code));
    let verified = ours.openidconnect_id_token(id_token, &expected).await.unwrap();
    assert_eq!(verified.subject(), claims.subject().as_str());
    let converted: CoreIdTokenClaims = verified.to_openidconnect().unwrap();
    assert_eq!(serde_json::to_value(&converted).unwrap(), serde_json::to_value(claims).unwrap());
    let other = expected.with_nonce(Secret::from("another"));
    let refusal = ours.openidconnect_id_token(id_token, &other).await.unwrap_err();
    assert_eq!(refusal.code(), "wrong_nonce");

    let user: CoreUserInfoClaims = client
        .user_info(tokens.access_token().clone(), Some(claims.subject().clone()))
        .unwrap()
        .request_async(http)
        .await
        .unwrap();
    assert_eq!(user.preferred_username().map(|name| name.as_str()), Some("alice"));

    let refreshed = client
        .exchange_refresh_token(tokens.refresh_token().unwrap())
        .unwrap()
        .request_async(http)
        .await
        .unwrap();
    let again = refreshed.id_token().unwrap().claims(&rules, |_: Option<&Nonce>| Ok(())).unwrap();
    assert_eq!(again.subject(), claims.subject());
}

#[tokio::test]
async fn openidconnect_logs_in_through_our_http() {
    let issuer = issuer().await;
    log_in(&issuer, "hub", Some("s3cret"), &http()).await;
    assert_eq!(issuer.requests(Endpoint::Token), 2);
}

#[tokio::test]
async fn a_private_key_authenticates_a_login_of_openidconnect() {
    let issuer = issuer().await;
    log_in(&issuer, "hub-key", None, &authenticated(&issuer)).await;
    assert_eq!(issuer.requests(Endpoint::Token), 2);
}

/// The other way round: this crate's metadata, keys and tokens, and the client of `openidconnect`.
#[tokio::test]
async fn openidconnect_verifies_with_our_metadata_and_keys() {
    let issuer = issuer().await;
    let keys = Arc::new(RemoteKeys::new(provider(&issuer)));
    let auth = ClientAuth::SecretBasic("s3cret".into());
    let client = Client::new(provider(&issuer), Arc::clone(&keys) as _, "hub", auth);
    let request = LoginRequest::new(CALLBACK.parse().unwrap());
    let (url, pending) = client.begin_login(request).await.unwrap();
    let back: Url = issuer.sign_in(url.as_str(), "alice").unwrap().parse().unwrap();
    let code = client.parse_callback(back.query().unwrap(), &pending).await.unwrap();
    let login = client.finish_login(code, &pending).await.unwrap();

    let keys = keys.current().unwrap();
    let metadata = client.provider().metadata().await.unwrap();
    let metadata: CoreProviderMetadata = metadata.to_openidconnect(&keys).unwrap();
    let theirs =
        CoreClient::from_provider_metadata(metadata, ClientId::new("hub".to_owned()), None);
    let tokens: CoreTokenResponse = login.tokens.to_oauth2(SystemClock.now()).unwrap();
    let claims = tokens
        .id_token()
        .unwrap()
        .claims(&theirs.id_token_verifier(), |_: Option<&Nonce>| Ok(()))
        .unwrap();
    assert_eq!(claims.subject().as_str(), login.id_token.subject());
    let back = TokenSet::from_oauth2(&tokens, SystemClock.now()).unwrap();
    assert!(back.id_token.unwrap().matches(login.tokens.id_token.unwrap().expose()));
}
