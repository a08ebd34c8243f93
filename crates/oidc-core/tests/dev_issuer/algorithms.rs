//! A provider with keys for several algorithms that announces the ones it signs with.

use std::sync::Arc;

use dev_issuer::{Algorithm as Alg, DevClient, DevIssuer, Mint};
use oidc_core::client::ClientAuth;
use oidc_core::keys::RemoteKeys;
use oidc_core::login::LoginRequest;
use oidc_core::verify::{IdTokenExpectations, Introspection};
use oidc_core::{Validation, Verifier};

use crate::elsewhere::Elsewhere;

fn secret() -> ClientAuth {
    ClientAuth::SecretBasic("s3cret".into())
}

/// It signs with PS256 and announces only that; a key for RS256 is published beside it.
async fn ps256() -> Elsewhere {
    let gateway = DevClient::confidential("gateway", "s3cret")
        .audience("gateway")
        .redirect_uri("https://gateway.test/callback");
    let builder = DevIssuer::demo_builder().client(gateway).signing_algorithm(Alg::PS256);
    let builder = builder.more_algorithms([Alg::RS256]).announced_algorithms([Alg::PS256]);
    Elsewhere::start(builder).await
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_published_key_need_an_announced_algorithm() {
    let provider = ps256().await;
    let client = provider.client("gateway", secret());
    let rules = Validation::new(provider.issuer.url().parse().unwrap(), "gateway");
    let bearer = Verifier::new(rules, Arc::new(RemoteKeys::new(provider.provider())))
        .with_clock(Arc::new(provider.clock.clone()));
    let expected = IdTokenExpectations::default();
    let mint = |order: Mint, algorithm| {
        provider.issuer.mint(order.client("gateway").algorithm(algorithm)).unwrap()
    };
    for (algorithm, code) in [(Alg::PS256, "ok"), (Alg::RS256, "algorithm_not_allowed")] {
        let id = mint(Mint::id("alice"), algorithm);
        let id = client.verifier().id_token(&id, &expected).await;
        assert_eq!(id.map_or_else(|refusal| refusal.code(), |_| "ok"), code);
        let logout = mint(Mint::logout("alice").sid("sid-1"), algorithm);
        let logout = client.verifier().logout_token(&logout).await;
        assert_eq!(logout.map_or_else(|refusal| refusal.code(), |_| "ok"), code);
        let access = mint(Mint::access("alice"), algorithm);
        let access = bearer.access_token(&access).await;
        assert_eq!(access.map_or_else(|refusal| refusal.code(), |_| "ok"), code);
    }
}

/// Signed answers to authorization requests and to introspection have lists of their own.
#[tokio::test(start_paused = true)]
async fn other_signed_messages_are_not_limited_by_the_list() {
    let gateway = DevClient::confidential("gateway", "s3cret")
        .audience("gateway")
        .redirect_uri("https://gateway.test/callback");
    let builder = DevIssuer::demo_builder().client(gateway).signing_algorithm(Alg::RS256);
    let builder = builder.id_token_algorithm(Alg::ES256).announced_algorithms([Alg::ES256]);
    let provider = Elsewhere::start(builder).await;
    let client = provider.client("gateway", secret());
    let request = LoginRequest::new("https://gateway.test/callback".parse().unwrap())
        .with_response_mode_jwt();
    let (url, pending) = client.begin_login(request).await.unwrap();
    let back = provider.issuer.sign_in(url.as_str(), "alice").unwrap();
    let back: url::Url = back.parse().unwrap();
    let code = client.parse_callback(back.query().unwrap_or_default(), &pending).await.unwrap();
    let login = client.finish_login(code, &pending).await.unwrap();
    assert_eq!(login.id_token.algorithm(), Some(oidc_core::token::Algorithm::ES256));

    let rules = Validation::new(provider.issuer.url().parse().unwrap(), "gateway");
    let keys = Arc::new(RemoteKeys::new(provider.provider()));
    let introspection =
        Introspection::new(provider.endpoint("gateway", secret()), rules).with_signed_answers(keys);
    introspection.access_token(login.tokens.access_token.expose()).await.unwrap();
}

/// `at_hash` follows the algorithm of the ID token (OpenID Connect Core 1.0 §3.1.3.6).
#[tokio::test(start_paused = true)]
async fn every_kind_of_token_has_its_own_algorithm() {
    for algorithm in [Alg::RS512, Alg::ES384, Alg::EdDSA, Alg::PS384] {
        let gateway = DevClient::confidential("gateway", "s3cret").audience("gateway");
        let builder = DevIssuer::demo_builder().client(gateway);
        let builder = builder.id_token_algorithm(algorithm).access_token_algorithm(Alg::ES256);
        let provider = Elsewhere::start(builder.logout_token_algorithm(Alg::PS256)).await;
        let client = provider.client("gateway", secret());
        let tokens = provider.issuer.log_in("alice", "gateway", "openid").unwrap();
        let expected =
            IdTokenExpectations::default().with_access_token(tokens.access_token.as_str().into());
        let id = tokens.id_token.unwrap();
        let id = client.verifier().id_token(&id, &expected).await.unwrap();
        assert_eq!(id.algorithm().unwrap().as_str(), algorithm.to_string());
        let access = client.verifier().access_token(&tokens.access_token).await.unwrap();
        assert_eq!(access.algorithm(), Some(oidc_core::token::Algorithm::ES256));
        let logout = provider.issuer.mint(Mint::logout("alice").client("gateway")).unwrap();
        let logout = client.verifier().logout_token(&logout).await.unwrap();
        assert_eq!(logout.algorithm(), Some(oidc_core::token::Algorithm::PS256));
    }
}
