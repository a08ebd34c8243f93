//! The line from listen to respond with everything in one process: who is told what, and by whom it can be ended.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod grpc;
mod world;

use dev_issuer::{DevClient, Endpoint, Fault, Mint};
use doorward::commands::serve::reload::Because;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};

use crate::world::{World, location};

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
async fn the_upstream_learns_who_calls_and_nobody_else_can_tell_it() {
    let world = World::new(APP).await;
    let cookie = world.sign_in("alice", 0).await;
    let told = json_of(world.get("/app/x", &cookie).await).await;
    assert_eq!(told["x-forwarded-preferred-username"], "alice");
    assert!(told["x-forwarded-roles"].as_str().unwrap().contains("data-scientist"));
    assert_eq!(told.get("cookie"), None);
    assert_eq!(told.get("authorization"), None);
}

#[tokio::test]
async fn the_assertion_is_good_by_the_published_keys_and_for_this_route_only() {
    let world = World::new(APP).await;
    let cookie = world.sign_in("alice", 0).await;
    let told = json_of(world.get("/app/x", &cookie).await).await;
    let assertion = told["x-doorward-assertion"].as_str().unwrap();
    let published = world.get("/oauth2/jwks", "").await.text().await.unwrap();
    let keys: JwkSet = serde_json::from_str(&published).unwrap();
    let kid = jsonwebtoken::decode_header(assertion).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
    let rules = |audience: &str| {
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&[audience]);
        rules.set_issuer(&[&world.base]);
        rules
    };
    let claims = jsonwebtoken::decode::<Value>(assertion, &key, &rules("app")).unwrap().claims;
    assert_eq!(claims["preferred_username"], "alice");
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert!(life <= 60, "{life} s");
    assert!(jsonwebtoken::decode::<Value>(assertion, &key, &rules("tools")).is_err());
}

#[tokio::test]
async fn a_route_that_asks_for_it_gets_the_access_token_and_nothing_else() {
    let world = World::new(APP).await;
    let cookie = world.sign_in("alice", 0).await;
    let told = json_of(world.get("/tools", &cookie).await).await;
    assert!(told["authorization"].as_str().unwrap().starts_with("Bearer eyJ"));
    assert_eq!(told.get("x-forwarded-user"), None);
    assert_eq!(told.get("x-doorward-assertion"), None);
}

#[tokio::test]
async fn with_two_issuers_a_person_chooses_and_tokens_of_both_are_taken() {
    let world = World::with_issuers(2, APP).await;
    let page = world.get("/oauth2/start?rd=/app", "").await.text().await.unwrap();
    for name in ["first", "second"] {
        assert!(page.contains(&format!("issuer={name}")), "{name} is not on the page");
    }
    for (issuer, nth) in world.issuers.iter().zip([0, 1]) {
        let cookie = world.sign_in("alice", nth).await;
        assert_eq!(world.get("/app", &cookie).await.status(), 200);
        let token =
            issuer.mint(Mint::access("alice").client("gateway").audience(["gateway"])).unwrap();
        let request = world.client.get(format!("{}/app", world.base)).bearer_auth(token);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn the_issuer_is_asked_once_about_a_token_that_only_it_can_read() {
    let world = World::with_issuers(2, APP).await;
    let issuer = world.issuer();
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
        let answer = world.client.post(token).form(&form).send().await.unwrap();
        json_of(answer).await["access_token"].as_str().unwrap().to_owned()
    };
    let ask = async |token: &str| {
        let request = world.client.get(format!("{}/app/x", world.base)).bearer_auth(token);
        request.send().await.unwrap()
    };
    let token = token_of("batch").await;
    assert!(!token.contains('.'), "it is a JWT");
    for _ in 0..5 {
        let told = json_of(ask(&token).await).await;
        assert_eq!(told["x-forwarded-preferred-username"], "service-account-batch");
        assert_eq!(told.get("authorization"), None);
    }
    assert_eq!(issuer.requests(Endpoint::Introspection), 1);
    assert_eq!(
        world.issuers[1].requests(Endpoint::Introspection),
        0,
        "another issuer was shown the token"
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
    assert_eq!(ask(&token).await.status(), 200, "what was answered before still holds");
}

#[tokio::test]
async fn the_portal_shows_what_opens_and_home_leads_there() {
    let world = World::new(APP).await;
    assert_eq!(location(&world.get("/", "").await), "/oauth2/portal");
    let bob = world.sign_in("bob", 0).await;
    let page = world.get("/oauth2/portal", &bob).await.text().await.unwrap();
    assert!(page.contains("/tools/") && !page.contains("The app"), "{page}");
    let alice = world.sign_in("alice", 0).await;
    let page = world.get("/oauth2/portal", &alice).await.text().await.unwrap();
    assert!(page.contains("The app"), "{page}");
}

#[tokio::test]
async fn an_operator_lists_sessions_and_ends_them() {
    let world = World::new(APP).await;
    let cookie = world.sign_in("alice", 0).await;
    let who = json_of(world.get("/oauth2/userinfo", &cookie).await).await;
    let list = format!("{}/sessions", world.admin);
    let listed = json_of(world.client.get(&list).send().await.unwrap()).await;
    let session = &listed["sessions"][0];
    assert_eq!(session["subject"], who["sub"]);
    let one = format!("{list}/{}", session["id"].as_str().unwrap());
    assert_eq!(world.client.delete(one).send().await.unwrap().status(), 204);
    assert_eq!(world.get("/oauth2/userinfo", &cookie).await.status(), 401);
    let again = world.sign_in("alice", 0).await;
    let all = format!("{list}?user={}", who["sub"].as_str().unwrap());
    let ended = json_of(world.client.delete(all).send().await.unwrap()).await;
    assert_eq!(ended["ended"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/oauth2/userinfo", &again).await.status(), 401);
}

#[tokio::test]
async fn readiness_metrics_and_the_session_tell_how_things_stand() {
    let world = World::new(APP).await;
    let cookie = world.sign_in("alice", 0).await;
    world.get("/app", &cookie).await;
    let admin = async |path: &str| {
        let response = world.client.get(format!("{}{path}", world.admin)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(admin("/healthz").await.0, 200);
    assert_eq!(admin("/readyz").await, (200, "ready\n".to_owned()));
    let (_, metrics) = admin("/metrics").await;
    assert!(
        metrics.contains(r#"doorward_requests_total{route="app",outcome="forwarded"}"#),
        "{metrics}"
    );
    let session = json_of(world.get("/oauth2/session", &cookie).await).await;
    assert!(session["idle_ends_at"].as_u64() < session["ends_at"].as_u64());
    assert_eq!(world.get("/oauth2/session", "").await.status(), 401);
}

#[tokio::test]
async fn a_reload_takes_up_new_rules_and_a_bad_file_changes_nothing() {
    let world = World::new(APP).await;
    let cookie = world.sign_in("bob", 0).await;
    assert_eq!(world.get("/app", &cookie).await.status(), 403);
    let file = world.folder.path().join("doorward.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let opened = text.replace("{ roles: [data-scientist] }", "signed_in");
    std::fs::write(&file, &opened).unwrap();
    world.reloader.reload(&file, Because::Configuration).await;
    assert_eq!(world.get("/app", &cookie).await.status(), 200);
    std::fs::write(&file, opened.replace("upstream:", "upstram:")).unwrap();
    world.reloader.reload(&file, Because::Configuration).await;
    assert_eq!(world.get("/app", &cookie).await.status(), 200);
}

#[tokio::test]
async fn a_secret_that_changes_is_read_again_and_nobody_is_signed_out() {
    let world = World::new(APP).await;
    let cookie = world.sign_in("alice", 0).await;
    let file = world.folder.path().join("doorward.yaml");
    let changed = DevClient::confidential("gateway", "another")
        .redirect_uri(format!("{}/oauth2/callback", world.base))
        .audience("gateway");
    world.issuer().set_client(changed);
    std::fs::write(world.folder.path().join("secret"), "another").unwrap();
    std::fs::write(world.folder.path().join("key"), "another key of thirty-two octets and more")
        .unwrap();
    world.reloader.reload(&file, Because::Secrets).await;
    // The tokens are good for minutes yet, so the session in memory needs neither secret; a new sign-in needs both.
    assert_eq!(world.get("/app", &cookie).await.status(), 200);
    let again = world.sign_in("alice", 0).await;
    assert_eq!(world.get("/app", &again).await.status(), 200);
}

#[tokio::test]
async fn switching_account_signs_out_here_and_there_and_begins_again() {
    let world = World::new(APP).await;
    let cookie = world.sign_in("bob", 0).await;
    let refused = world
        .client
        .get(format!("{}/app", world.base))
        .header("cookie", &cookie)
        .header("accept", "text/html");
    let page = refused.send().await.unwrap().text().await.unwrap();
    let csrf = page.split(r#"name="csrf" value=""#).nth(1).unwrap().split('"').next().unwrap();
    let form = [("csrf", csrf), ("rd", "/app"), ("switch", "1")];
    let sign_out = world
        .client
        .post(format!("{}/oauth2/sign_out", world.base))
        .header("cookie", &cookie)
        .header("origin", &world.base)
        .form(&form);
    let ended = sign_out.send().await.unwrap();
    assert_eq!(ended.status(), 303);
    let at_provider = world.client.get(location(&ended)).send().await.unwrap();
    let back = location(&at_provider);
    let back = world.get(back.strip_prefix(&world.base).unwrap(), "").await;
    assert_eq!(location(&back), "/oauth2/start?rd=/app");
    assert_eq!(world.get("/oauth2/userinfo", &cookie).await.status(), 401);
    assert_eq!(world.issuer().sessions(), 0);
}

#[tokio::test]
async fn nobody_is_told_apart_by_how_they_ask() {
    let world = World::new(APP).await;
    let ask = async |headers: &[(&str, &str)]| {
        let mut request = world.client.get(format!("{}/app/x?y=1", world.base));
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
