//! The identity that the layer adds to a request.

use http::Method;
use oidc_core::resource_server::{Identity, Requirement};
use serde_json::json;

use super::{World, bearer, request};

async fn identity(world: &World, token: &str) -> Identity {
    let (parts, _) = bearer(token).into_parts();
    world.layer().identify(&parts).await.unwrap().unwrap()
}

#[tokio::test]
async fn identity_has_subject_client_and_actors() {
    let world = World::new();
    let token = world.token(json!({
        "azp": "portal", "scope": "openid score", "groups": ["/risk"],
        "realm_access": {"roles": ["analyst"]}, "resource_access": {"api": {"roles": ["writer"]}},
        "act": {"sub": "service16", "client_id": "portal", "act": {"sub": "service77"}},
    }));
    let caller = identity(&world, &token).await;
    assert_eq!(caller.subject(), oidc_core::testing::SUBJECT);
    assert_eq!(caller.issuer(), world.issuer.issuer().as_str());
    assert_eq!(caller.client(), Some("portal"));
    assert!(caller.scopes().contains("score"));
    assert!(caller.realm_roles().contains("analyst") && !caller.realm_roles().contains("writer"));
    assert!(caller.client_roles("api").contains("writer"));
    assert!(caller.groups().contains("/risk"));
    let actors: Vec<_> = caller.actors().filter_map(|actor| actor.subject()).collect();
    assert_eq!(actors, ["service16", "service77"]);
    assert_eq!(caller.claims().get("azp").and_then(|azp| azp.as_str()), Some("portal"));
    assert_eq!(caller.subject_token().expose(), token);
    assert!(!format!("{caller:?}").contains(&token));
}

#[tokio::test]
async fn requirements_chain_until_one_is_not_met() {
    let world = World::new();
    let caller =
        identity(&world, &world.token(json!({"scope": "score", "groups": ["/risk"]}))).await;
    assert!(caller.require_scope("score").and_then(|caller| caller.require_group("/risk")).is_ok());
    assert!(caller.require_group("risk").is_err());
    assert!(caller.require_client_role("api", "writer").is_err());
    let refusal =
        caller.require_any([Requirement::realm_role("a"), Requirement::client("b")]).unwrap_err();
    assert_eq!(refusal.to_string(), "the token lacks the role a or the client b");
    assert_eq!(refusal.rejected().status(), 403);
    assert_eq!(refusal.rejected().code(), "insufficient_scope");
}

#[tokio::test]
async fn the_rules_can_be_asked_without_tower() {
    let world = World::new();
    let (mut parts, _) = request(&[]).into_parts();
    parts.method = Method::POST;
    let rejected = world.layer().identify(&parts).await.unwrap_err();
    assert_eq!((rejected.status().as_u16(), rejected.code()), (401, "no_credentials"));
    assert!(world.layer().optional().identify(&parts).await.unwrap().is_none());
}
