//! The line from listen to respond in one process: the identity that upstreams receive, sessions, reloads.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod grpc;
mod test_gateway;
mod workers;

use dev_issuer::{DevClient, Endpoint, Fault, Mint};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};

use crate::test_gateway::{TestGateway, location};

const APP: &str = "
  app:
    title: The app
    match: { path: /app }
    upstream: UPSTREAM
    access: [ { allow: { roles: [data-scientist] } } ]
  tools:
    match: { path: /tools }
    upstream: UPSTREAM
    access: [ { allow: signed_in } ]
    identity: { headers: false, assertion: false, access_token: true }
";

async fn json_of(response: reqwest::Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn only_the_gateway_states_the_caller_to_the_upstream() {
    let gateway = TestGateway::new(APP).await;
    let cookie = gateway.sign_in("alice", 0).await;
    let received = json_of(gateway.get("/app/x", &cookie).await).await;
    assert_eq!(received["x-forwarded-preferred-username"], "alice");
    assert!(received["x-forwarded-roles"].as_str().unwrap().contains("data-scientist"));
    assert_eq!(received.get("cookie"), None);
    assert_eq!(received.get("authorization"), None);
}

#[tokio::test]
async fn the_assertion_verifies_by_published_keys_for_one_route() {
    let gateway = TestGateway::new(APP).await;
    let cookie = gateway.sign_in("alice", 0).await;
    let received = json_of(gateway.get("/app/x", &cookie).await).await;
    let assertion = received["x-doorward-assertion"].as_str().unwrap();
    let published = gateway.get("/oauth2/jwks", "").await.text().await.unwrap();
    let keys: JwkSet = serde_json::from_str(&published).unwrap();
    let kid = jsonwebtoken::decode_header(assertion).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
    let rules = |audience: &str| {
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&[audience]);
        rules.set_issuer(&[&gateway.base]);
        rules
    };
    let claims = jsonwebtoken::decode::<Value>(assertion, &key, &rules("app")).unwrap().claims;
    assert_eq!(claims["preferred_username"], "alice");
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert!(life <= 60, "{life} s");
    assert!(jsonwebtoken::decode::<Value>(assertion, &key, &rules("tools")).is_err());
}

#[tokio::test]
async fn a_route_may_receive_the_access_token_alone() {
    let gateway = TestGateway::new(APP).await;
    let cookie = gateway.sign_in("alice", 0).await;
    let received = json_of(gateway.get("/tools", &cookie).await).await;
    assert!(received["authorization"].as_str().unwrap().starts_with("Bearer eyJ"));
    assert_eq!(received.get("x-forwarded-user"), None);
    assert_eq!(received.get("x-doorward-assertion"), None);
}

#[tokio::test]
async fn users_choose_between_two_issuers_and_both_are_accepted() {
    let gateway = TestGateway::with_issuers(2, APP).await;
    let page = gateway.get("/oauth2/start?rd=/app", "").await.text().await.unwrap();
    for name in ["first", "second"] {
        assert!(page.contains(&format!("issuer={name}")), "{name} is not on the page");
    }
    for (issuer, nth) in gateway.issuers.iter().zip([0, 1]) {
        let cookie = gateway.sign_in("alice", nth).await;
        assert_eq!(gateway.get("/app", &cookie).await.status(), 200);
        let token =
            issuer.mint(Mint::access("alice").client("gateway").audience(["gateway"])).unwrap();
        let request = gateway.client.get(format!("{}/app", gateway.base)).bearer_auth(token);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn an_opaque_token_is_introspected_once() {
    let gateway = TestGateway::with_issuers(2, APP).await;
    let issuer = gateway.issuer();
    for (client, audience) in [("batch", "gateway"), ("stranger", "elsewhere")] {
        let client = DevClient::confidential(client, "batch-secret")
            .opaque_access_tokens()
            .audience(audience)
            .service_account_roles(["data-scientist"]);
        issuer.set_client(client);
    }
    let token_of = async |client: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", "batch-secret"),
        ];
        let token = format!("{}/protocol/openid-connect/token", issuer.url());
        let answer = gateway.client.post(token).form(&form).send().await.unwrap();
        json_of(answer).await["access_token"].as_str().unwrap().to_owned()
    };
    let ask = async |token: &str| {
        let request = gateway.client.get(format!("{}/app/x", gateway.base)).bearer_auth(token);
        request.send().await.unwrap()
    };
    let token = token_of("batch").await;
    assert!(!token.contains('.'), "it is a JWT");
    for _ in 0..5 {
        let received = json_of(ask(&token).await).await;
        assert_eq!(received["x-forwarded-preferred-username"], "service-account-batch");
        assert_eq!(received.get("authorization"), None);
    }
    assert_eq!(issuer.requests(Endpoint::Introspection), 1);
    assert_eq!(
        gateway.issuers[1].requests(Endpoint::Introspection),
        0,
        "another issuer received the token"
    );

    for (token, code) in
        [(token_of("stranger").await, "wrong_audience"), ("made-up".to_owned(), "inactive")]
    {
        let answer = ask(&token).await;
        assert_eq!(answer.status(), 401);
        assert_eq!(json_of(answer).await["code"], code);
    }
    issuer.faults().set(Fault::Down(503), Endpoint::Introspection);
    let answer = ask("another").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(json_of(answer).await["code"], "introspection_unavailable");
    assert_eq!(ask(&token).await.status(), 200, "the earlier answer is cached");
}

#[tokio::test]
async fn the_home_page_leads_to_the_portal_of_permitted_services() {
    let gateway = TestGateway::new(APP).await;
    assert_eq!(location(&gateway.get("/", "").await), "/oauth2/portal");
    let bob = gateway.sign_in("bob", 0).await;
    let page = gateway.get("/oauth2/portal", &bob).await.text().await.unwrap();
    assert!(page.contains("/tools/") && !page.contains("The app"), "{page}");
    let alice = gateway.sign_in("alice", 0).await;
    let page = gateway.get("/oauth2/portal", &alice).await.text().await.unwrap();
    assert!(page.contains("The app"), "{page}");
}

#[tokio::test]
async fn an_operator_lists_sessions_and_ends_them() {
    let gateway = TestGateway::new(APP).await;
    let cookie = gateway.sign_in("alice", 0).await;
    let who = json_of(gateway.get("/oauth2/userinfo", &cookie).await).await;
    let list = format!("{}/sessions", gateway.admin);
    let listed = json_of(gateway.client.get(&list).send().await.unwrap()).await;
    let session = &listed["sessions"][0];
    assert_eq!(session["subject"], who["sub"]);
    let one = format!("{list}/{}", session["id"].as_str().unwrap());
    assert_eq!(gateway.client.delete(one).send().await.unwrap().status(), 204);
    assert_eq!(gateway.get("/oauth2/userinfo", &cookie).await.status(), 401);
    let again = gateway.sign_in("alice", 0).await;
    let all = format!("{list}?user={}", who["sub"].as_str().unwrap());
    let ended = json_of(gateway.client.delete(all).send().await.unwrap()).await;
    assert_eq!(ended["ended"].as_array().unwrap().len(), 1);
    assert_eq!(gateway.get("/oauth2/userinfo", &again).await.status(), 401);
}

#[tokio::test]
async fn readiness_metrics_and_the_session_report_the_state() {
    let gateway = TestGateway::new(APP).await;
    let cookie = gateway.sign_in("alice", 0).await;
    gateway.get("/app", &cookie).await;
    let admin = async |path: &str| {
        let response = gateway.client.get(format!("{}{path}", gateway.admin)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(admin("/healthz").await.0, 200);
    let (status, body) = admin("/readyz").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["ready"], &body["draining"]), (200, &true.into(), &false.into()));
    assert_eq!(body["store"], serde_json::json!({ "available": true }));
    let states: Vec<_> = body["issuers"].as_object().unwrap().values().collect();
    assert!(!states.is_empty() && states.iter().all(|state| state["available"] == true), "{body}");
    let (_, metrics) = admin("/metrics").await;
    assert!(
        metrics.contains(r#"doorward_requests_total{route="app",outcome="forwarded"}"#),
        "{metrics}"
    );
    let session = json_of(gateway.get("/oauth2/session", &cookie).await).await;
    assert!(session["idle_ends_at"].as_u64() < session["ends_at"].as_u64());
    assert_eq!(gateway.get("/oauth2/session", "").await.status(), 401);
}

#[tokio::test]
async fn a_reload_applies_new_rules_and_ignores_an_invalid_file() {
    let gateway = TestGateway::new(APP).await;
    let cookie = gateway.sign_in("bob", 0).await;
    assert_eq!(gateway.get("/app", &cookie).await.status(), 403);
    let file = gateway.folder.path().join("doorward.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let opened = text.replace("{ roles: [data-scientist] }", "signed_in");
    std::fs::write(&file, &opened).unwrap();
    gateway.reloader.reload(&file).await;
    assert_eq!(gateway.get("/app", &cookie).await.status(), 200);
    std::fs::write(&file, opened.replace("upstream:", "upstram:")).unwrap();
    gateway.reloader.reload(&file).await;
    assert_eq!(gateway.get("/app", &cookie).await.status(), 200);
}

#[tokio::test]
async fn a_changed_secret_is_read_again_without_ending_sessions() {
    let gateway = TestGateway::new(APP).await;
    let cookie = gateway.sign_in("alice", 0).await;
    let file = gateway.folder.path().join("doorward.yaml");
    let changed = DevClient::confidential("gateway", "another")
        .redirect_uri(format!("{}/oauth2/callback", gateway.base))
        .audience("gateway");
    gateway.issuer().set_client(changed);
    std::fs::write(gateway.folder.path().join("secret"), "another").unwrap();
    std::fs::write(gateway.folder.path().join("key"), "another key of thirty-two bytes and more")
        .unwrap();
    gateway.reloader.reload(&file).await;
    // The tokens are valid for minutes, so the session in memory needs neither secret; a new sign-in needs both.
    assert_eq!(gateway.get("/app", &cookie).await.status(), 200);
    let again = gateway.sign_in("alice", 0).await;
    assert_eq!(gateway.get("/app", &again).await.status(), 200);
}

#[tokio::test]
async fn switching_account_signs_out_everywhere_and_starts_again() {
    let gateway = TestGateway::new(APP).await;
    let cookie = gateway.sign_in("bob", 0).await;
    let refused = gateway
        .client
        .get(format!("{}/app", gateway.base))
        .header("cookie", &cookie)
        .header("accept", "text/html");
    let page = refused.send().await.unwrap().text().await.unwrap();
    let csrf = page.split(r#"name="csrf" value=""#).nth(1).unwrap().split('"').next().unwrap();
    let form = [("csrf", csrf), ("rd", "/app"), ("switch", "1")];
    let sign_out = gateway
        .client
        .post(format!("{}/oauth2/sign_out", gateway.base))
        .header("cookie", &cookie)
        .header("origin", &gateway.base)
        .form(&form);
    let ended = sign_out.send().await.unwrap();
    assert_eq!(ended.status(), 303);
    let at_provider = gateway.client.get(location(&ended)).send().await.unwrap();
    let back = location(&at_provider);
    let back = gateway.get(back.strip_prefix(&gateway.base).unwrap(), "").await;
    assert_eq!(location(&back), "/oauth2/start?rd=/app");
    assert_eq!(gateway.get("/oauth2/userinfo", &cookie).await.status(), 401);
    assert_eq!(gateway.issuer().sessions(), 0);
}

#[tokio::test]
async fn browsers_are_redirected_and_programs_get_401() {
    let gateway = TestGateway::new(APP).await;
    let ask = async |headers: &[(&str, &str)]| {
        let mut request = gateway.client.get(format!("{}/app/x?y=1", gateway.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    };
    let page = ask(&[("sec-fetch-mode", "navigate"), ("accept", "text/html")]).await;
    assert_eq!(page.status(), 302);
    assert_eq!(location(&page), "/oauth2/start?rd=/app/x%3Fy%3D1");
    let script = ask(&[("sec-fetch-mode", "cors"), ("accept", "text/html")]).await;
    assert_eq!(script.status(), 401);
    assert!(script.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    let program = json_of(ask(&[]).await).await;
    assert_eq!(program["code"], json!("login_needed"));
}
