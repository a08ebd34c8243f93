//! Logout tokens as a provider sends them (OpenID Connect Back-Channel Logout 1.0 §2.6): the eight
//! modules of the OpenID Foundation's plan for relying parties.

use dev_issuer::{Algorithm as Alg, DevClient, DevIssuer, Mint};
use oidc_core::Client;
use oidc_core::client::ClientAuth;
use oidc_core::token::Algorithm;
use serde_json::json;

use crate::elsewhere::Elsewhere;

async fn provider() -> (Elsewhere, Client) {
    let gateway = DevClient::confidential("gateway", "s3cret");
    let provider = Elsewhere::start(DevIssuer::demo_builder().client(gateway)).await;
    let client = provider
        .client("gateway", ClientAuth::SecretBasic("s3cret".into()))
        .with_algorithms([Algorithm::RS256]);
    (provider, client)
}

#[tokio::test(start_paused = true)]
async fn oidcc_client_test_rp_backchannel() {
    let (provider, client) = provider().await;
    let verdict = async |order: Mint| {
        let token = provider.issuer.mint(order.client("gateway").sid("sid-1")).unwrap();
        client.verifier().logout_token(&token).await.map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    let logout = || Mint::logout("alice");
    let other_event = json!({"http://schemas.openid.net/event/other": {}});
    for (module, order, expected) in [
        ("rpinitlogout", logout(), "ok"),
        ("rpinitlogout-alg-none", logout().unsigned(), "algorithm_not_allowed"),
        ("rpinitlogout-no-event", logout().without("events"), "missing_claim"),
        ("rpinitlogout-with-nonce", logout().claim("nonce", "n-1"), "forbidden_claim"),
        ("rpinitlogout-wrong-alg", logout().algorithm(Alg::PS256), "algorithm_not_allowed"),
        ("rpinitlogout-wrong-aud", logout().audience(["another"]), "wrong_audience"),
        ("rpinitlogout-wrong-event", logout().claim("events", other_event), "invalid_claim"),
        ("rpinitlogout-wrong-iss", logout().issuer("https://evil.test"), "wrong_issuer"),
        // Beyond the plan: confusion of algorithms, a foreign key, another kind of token.
        ("hmac with the public key", logout().hmac_with_public_key(), "algorithm_not_allowed"),
        ("a key that is not published", logout().wrong_key(), "bad_signature"),
        ("an expired one", logout().expired(), "expired"),
        ("without jti", logout().without("jti"), "missing_claim"),
        ("without a subject", logout().without("sub").without("sid"), "missing_claim"),
        ("an ID token", Mint::id("alice"), "wrong_type"),
        ("an access token", Mint::access("alice").audience(["gateway"]), "wrong_type"),
    ] {
        assert_eq!(verdict(order).await, expected, "{module}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_logout_token_says_whose_session_ends() {
    let (provider, client) = provider().await;
    let tokens = provider.issuer.log_in("alice", "gateway", "openid").unwrap();
    let id_token = tokens.id_token.unwrap();
    let expected = oidc_core::verify::IdTokenExpectations::default();
    let login = client.verifier().id_token(&id_token, &expected).await.unwrap();
    let sid = tokens.session_state.unwrap();
    let token = provider.issuer.mint(Mint::logout("alice").client("gateway").sid(&sid)).unwrap();
    let logout = client.verifier().logout_token(&token).await.unwrap();
    assert_eq!(logout.session_id(), Some(sid.as_str()));
    assert_eq!(login.session_id, Some(sid));
    assert_eq!(logout.subject(), Some(login.subject()));
    assert!(!logout.jwt_id().is_empty());
}
