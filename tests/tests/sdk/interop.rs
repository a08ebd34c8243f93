//! Programs on the crates `oauth2` and `openidconnect` at Keycloak, over this project's HTTP and verifier.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use e2e::keycloak::Realm;
use oauth2::basic::BasicClient;
use oidc_core::client::TokenSet;
use oidc_core::interop::oauth2::HttpClient;
use oidc_core::interop::openidconnect::WholeProviderMetadata;
use oidc_core::keys::RemoteKeys;
use oidc_core::provider::ProviderMetadata;
use oidc_core::verify::IdTokenExpectations;
use oidc_core::{Clock as _, Secret, SystemClock, Validation, Verifier};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse as _, TokenUrl,
    core::{CoreAuthenticationFlow, CoreClient, CoreUserInfoClaims},
};

use crate::lab::{Lab, REDIRECT, sign_in};

#[tokio::test(flavor = "multi_thread")]
async fn openidconnect_logs_in_and_both_verify_the_id_token() -> Result<()> {
    const CLIENT: &str = "notebook";
    let lab = Lab::common().await?;
    let provider = lab.provider()?;
    let http = HttpClient::new(Arc::clone(provider.http()));
    let issuer = IssuerUrl::new(lab.issuer().to_string())?;
    let discovered = WholeProviderMetadata::discover_async(issuer, &http).await?;
    let client = CoreClient::from_provider_metadata(
        discovered.clone(),
        ClientId::new(CLIENT.to_owned()),
        Some(ClientSecret::new(Realm::secret(CLIENT))),
    )
    .set_redirect_uri(RedirectUrl::new(REDIRECT.to_owned())?);

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let (url, state, nonce) = client
        .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
        .add_scope(Scope::new("profile".to_owned()))
        .set_pkce_challenge(challenge)
        .url();
    let back = sign_in(&url, "alice").await?;
    let value = |name: &str| {
        let found = back.query_pairs().find(|(other, _)| other == name);
        found.map(|(_, value)| value.into_owned()).with_context(|| format!("no {name} in {back}"))
    };
    assert_eq!(value("state")?, *state.secret());
    let code = AuthorizationCode::new(value("code")?);
    let request = client.exchange_code(code.clone())?.set_pkce_verifier(verifier);
    let tokens = request.request_async(&http).await?;

    let id_token = tokens.id_token().context("no ID token")?;
    let rules = client.id_token_verifier();
    let claims = id_token.claims(&rules, &nonce)?;
    let (algorithm, key) = (id_token.signing_alg()?, id_token.signing_key(&rules)?);
    let hash = AccessTokenHash::from_token(tokens.access_token(), algorithm, key)?;
    assert_eq!(claims.access_token_hash(), Some(&hash));

    let metadata = ProviderMetadata::from_openidconnect(&lab.issuer(), &discovered)?;
    assert!(metadata.end_session_endpoint.is_some(), "no member of the document is lost");
    let keys = Arc::new(RemoteKeys::new(provider));
    let ours = Verifier::new(Validation::new(metadata.issuer, CLIENT), keys);
    let expected = IdTokenExpectations::default()
        .with_nonce(Secret::from(&nonce))
        .with_access_token(Secret::from(tokens.access_token()))
        .with_code(Secret::from(&code));
    let verified = ours.openidconnect_id_token(id_token, &expected).await?;
    assert_eq!(verified.subject(), claims.subject().as_str());
    assert_eq!(verified.preferred_username(), Some("alice"));

    let subject = Some(claims.subject().clone());
    let request = client.user_info(tokens.access_token().clone(), subject)?;
    let user: CoreUserInfoClaims = request.request_async(&http).await?;
    assert_eq!(user.email().map(|email| email.as_str()), Some("alice@example.com"));

    let refresh_token = tokens.refresh_token().context("no refresh token")?;
    let refreshed = client.exchange_refresh_token(refresh_token)?.request_async(&http).await?;
    let newer = refreshed.id_token().context("no ID token after the refresh")?;
    let expected = IdTokenExpectations::default().with_subject(claims.subject().as_str());
    ours.openidconnect_id_token(newer, &expected).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth2_gets_tokens_of_a_program() -> Result<()> {
    let lab = Lab::common().await?;
    let provider = lab.provider()?;
    let metadata = provider.metadata().await?;
    let token_url = metadata.token_endpoint.as_ref().context("no token endpoint")?;
    let response = BasicClient::new(ClientId::new("job".to_owned()))
        .set_client_secret(ClientSecret::new(Realm::secret("job")))
        .set_token_uri(TokenUrl::from_url(token_url.clone()))
        .exchange_client_credentials()
        .request_async(&HttpClient::new(Arc::clone(provider.http())))
        .await?;
    let now = SystemClock.now();
    let tokens = TokenSet::from_oauth2(&response, now)?;
    assert!(tokens.expires_at.is_some_and(|time| time > now));
    Ok(())
}
