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
async fn exchange_gives_a_refresh_token_in_the_session_on_request() {
    let portal = DevClient::public("portal").audience("gateway");
    let issuer = provider().client(portal).start("127.0.0.1:0").await.unwrap();
    let subject = issuer.log_in("alice", "portal", "openid").unwrap();
    let refresh = "urn:ietf:params:oauth:token-type:refresh_token";
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &subject.access_token),
        ("subject_token_type", TYPE),
        ("requested_token_type", refresh),
    ];
    let (status, body) = post(&issuer, "token", &fields).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["issued_token_type"], refresh);
    let token = body["refresh_token"].as_str().unwrap();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
    let (status, body) = post(&issuer, "token", &fields).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let fresh = claims(body["access_token"].as_str().unwrap());
    assert_eq!(
        (&fresh["azp"], &fresh["sid"]),
        (&"gateway".into(), &claims(&subject.access_token)["sid"])
    );
    let token = body["refresh_token"].as_str().unwrap().to_owned();
    issuer.end_session_for("alice").await;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    let (_, body) = post(&issuer, "token", &fields).await;
    assert_eq!(body["error"], "invalid_grant");
}

#[tokio::test]
async fn a_token_for_another_client_is_not_exchanged() {
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

#[tokio::test]
async fn an_actor_is_named_with_the_earlier_actors() {
    let portal = DevClient::public("portal").audience("gateway");
    let models = DevClient::confidential("models", "x").audience("gateway");
    let issuer = provider().client(portal).client(models).start("127.0.0.1:0").await.unwrap();
    let subject = issuer.log_in("alice", "portal", "openid").unwrap();
    let act_for = async |subject: &str, actor: &str| {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", subject),
            ("subject_token_type", TYPE),
            ("actor_token", actor),
            ("actor_token_type", TYPE),
            ("audience", "gateway"),
        ];
        post(&issuer, "token", &fields).await.1
    };
    let own = [("grant_type", "client_credentials")];
    let gateway = post(&issuer, "token", &own).await.1["access_token"].take();
    let first = act_for(&subject.access_token, gateway.as_str().unwrap()).await;
    let first = first["access_token"].as_str().unwrap();
    let gateway_sub = &claims(gateway.as_str().unwrap())["sub"];
    assert_eq!(claims(first)["act"]["sub"], *gateway_sub);
    assert_eq!(claims(first)["act"]["client_id"], "gateway");
    assert_eq!(claims(first)["preferred_username"], "alice");
    let bob = issuer.log_in("bob", "portal", "openid").unwrap();
    let second = act_for(first, &bob.access_token).await;
    let chain = &claims(second["access_token"].as_str().unwrap())["act"];
    assert_eq!(chain["sub"], claims(&bob.access_token)["sub"]);
    assert_eq!(chain["act"]["sub"], *gateway_sub);
    let (_, kept) = exchange(&issuer, first, "models").await;
    assert_eq!(claims(kept["access_token"].as_str().unwrap())["act"]["sub"], *gateway_sub);

    let foreign = issuer.mint(Mint::access("bob").wrong_key()).unwrap();
    assert_eq!(act_for(&subject.access_token, &foreign).await["error"], "invalid_request");
}

#[tokio::test]
async fn a_resource_is_an_audience_by_its_address() {
    let api = "https://models.example/v1";
    let models = DevClient::confidential("models", "x").audience(api).audience("urn:other");
    let issuer = provider().client(models).start("127.0.0.1:0").await.unwrap();
    let own = async |fields: &[(&str, &str)]| {
        let grant = ("grant_type", "client_credentials");
        post(&issuer, "token", &[&[grant], fields].concat()).await.1
    };
    let body = own(&[("resource", api), ("resource", "urn:other")]).await;
    let token = claims(body["access_token"].as_str().unwrap());
    assert_eq!(token["aud"], serde_json::json!([api, "urn:other"]));
    for bad in ["https://elsewhere.example", "models", &format!("{api}#part")] {
        assert_eq!(own(&[("resource", bad)]).await["error"], "invalid_target", "{bad}");
    }
    let subject = issuer.log_in("alice", "gateway", "openid").unwrap();
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", subject.access_token.as_str()),
        ("subject_token_type", TYPE),
        ("audience", "models"),
        ("resource", api),
    ];
    let (_, body) = post(&issuer, "token", &fields).await;
    let token = claims(body["access_token"].as_str().unwrap());
    assert_eq!(token["aud"], serde_json::json!(["models", api]));
}
