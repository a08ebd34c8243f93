use dev_issuer::{DevClient, Mint};
use reqwest::StatusCode;
use serde_json::Value;

use crate::party::{claims, introspect, post, provider};

const TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

async fn exchange(
    issuer: &dev_issuer::DevIssuer,
    subject: &str,
    audience: &str,
) -> (StatusCode, Value) {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", subject),
        ("subject_token_type", TYPE),
        ("audience", audience),
    ];
    post(issuer, "token", &fields).await
}

#[tokio::test]
async fn a_token_meant_for_the_client_becomes_one_for_another_service() {
    let portal = DevClient::public("portal").audience("gateway");
    let models = DevClient::confidential("models", "x");
    let issuer = provider().client(portal).client(models).start("127.0.0.1:0").await.unwrap();
    let subject = issuer.log_in("alice", "portal", "openid").unwrap();
    let (status, body) = exchange(&issuer, &subject.access_token, "models").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["issued_token_type"], TYPE);
    assert_eq!(body.get("refresh_token"), None);
    let token = body["access_token"].as_str().unwrap();
    let (old, new) = (claims(&subject.access_token), claims(token));
    assert_eq!(new["aud"], "models");
    assert_eq!(new["azp"], "gateway");
    assert_eq!(new["sub"], old["sub"]);
    assert_eq!(new["sid"], old["sid"]);
    assert_eq!(introspect(&issuer, token).await["active"], true);
    issuer.end_session_for("alice").await;
    assert_eq!(introspect(&issuer, token).await["active"], false);
}

#[tokio::test]
async fn a_token_for_somebody_else_is_not_exchanged() {
    let portal = DevClient::public("portal");
    let issuer = provider().client(portal).start("127.0.0.1:0").await.unwrap();
    let subject = issuer.log_in("alice", "portal", "openid").unwrap();
    let (status, body) = exchange(&issuer, &subject.access_token, "gateway").await;
    assert_eq!((status, &body["error"]), (StatusCode::FORBIDDEN, &"access_denied".into()));
}

#[tokio::test]
async fn dead_tokens_and_unknown_audiences_are_refused() {
    let issuer = provider().start("127.0.0.1:0").await.unwrap();
    let good = issuer.log_in("alice", "gateway", "openid").unwrap();
    let (_, body) = exchange(&issuer, &good.access_token, "nowhere").await;
    assert_eq!(body["error"], "invalid_target");
    let minted = issuer.mint(Mint::access("alice").wrong_key()).unwrap();
    let (_, body) = exchange(&issuer, &minted, "gateway").await;
    assert_eq!(body["error"], "invalid_request");
    let (_, body) = exchange(&issuer, good.id_token.as_deref().unwrap(), "gateway").await;
    assert_eq!(body["error"], "invalid_request");
}
