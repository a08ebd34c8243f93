//! Revocation of tokens (RFC 7009).

use dev_issuer::{DevClient, DevIssuer, Endpoint, Fault};
use oidc_core::Secret;
use oidc_core::client::{ClientAuth, Grant, TokenEndpointError, TokenHint};

use crate::elsewhere::Elsewhere;

fn secret() -> ClientAuth {
    ClientAuth::SecretBasic("s3cret".into())
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_useless_whatever_the_hint() {
    let gateway = DevClient::confidential("gateway", "s3cret");
    let other = DevClient::confidential("other", "s3cret");
    let builder = DevIssuer::demo_builder().client(gateway).client(other);
    let provider = Elsewhere::start(builder).await;
    let endpoint = provider.endpoint("gateway", secret());
    for hint in [TokenHint::RefreshToken, TokenHint::AccessToken] {
        let tokens = provider.issuer.log_in("alice", "gateway", "openid").unwrap();
        let refresh_token = Secret::from(tokens.refresh_token.unwrap());
        endpoint.revoke(&refresh_token, hint).await.unwrap();
        endpoint.revoke(&refresh_token, hint).await.unwrap();
        let grant = Grant::RefreshToken { refresh_token, scope: None };
        let error = endpoint.request(grant).await.unwrap_err();
        assert!(matches!(error, TokenEndpointError::InvalidGrant { .. }), "{error}");
    }
    // §2.2: revoking an unknown token succeeds.
    endpoint.revoke(&Secret::from("never was"), TokenHint::AccessToken).await.unwrap();

    let tokens = provider.issuer.log_in("alice", "gateway", "openid").unwrap();
    let id_token = Secret::from(tokens.id_token.unwrap());
    let error = endpoint.revoke(&id_token, TokenHint::AccessToken).await.unwrap_err();
    assert!(
        matches!(&error, TokenEndpointError::OAuth { error, .. } if error == "unsupported_token_type"),
        "{error}"
    );
    assert!(!error.is_temporary());

    let refresh_token = Secret::from(tokens.refresh_token.unwrap());
    let others = provider.endpoint("other", secret());
    assert!(others.revoke(&refresh_token, TokenHint::RefreshToken).await.is_err());
    let wrong = provider.endpoint("gateway", ClientAuth::SecretBasic("wrong".into()));
    let error = wrong.revoke(&refresh_token, TokenHint::RefreshToken).await.unwrap_err();
    assert!(matches!(error, TokenEndpointError::InvalidClient { .. }), "{error}");
    let grant = Grant::RefreshToken { refresh_token, scope: None };
    assert!(endpoint.request(grant).await.is_ok(), "it is still good");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_away_may_be_asked_again() {
    let gateway = DevClient::confidential("gateway", "s3cret");
    let provider = Elsewhere::start(DevIssuer::demo_builder().client(gateway)).await;
    let endpoint = provider.endpoint("gateway", secret());
    for fault in [Fault::Down(503), Fault::Down(429), Fault::Redirect] {
        provider.issuer.faults().set(fault, Endpoint::Revocation);
        let error = endpoint.revoke(&Secret::from("r"), TokenHint::RefreshToken).await.unwrap_err();
        assert!(error.is_temporary(), "{fault:?}: {error}");
    }
    assert_eq!(provider.issuer.requests(Endpoint::RedirectTarget), 0);
}
