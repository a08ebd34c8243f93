//! RFC 6750 §3: the challenge for each fault.

use std::time::Duration;

use oidc_core::resource_server::Requirement;
use oidc_core::testing::Fault;
use serde_json::json;

use super::{Seen, World, answer, bearer, request, roles, seen};

#[tokio::test]
async fn a_good_token_passes() {
    let world = World::new();
    let found = seen(&world.layer(), bearer(&world.token(json!({})))).await;
    let subject = oidc_core::testing::SUBJECT.to_owned();
    assert_eq!(found, Seen { status: 200, challenges: vec![], body: subject });
}

#[tokio::test]
async fn without_credentials_the_challenge_names_no_error() {
    let world = World::new();
    let layer = world.layer();
    for authorization in [&[][..], &["Basic YTpi"], &["Negotiate abc"], &["DPoP abc"]] {
        let found = seen(&layer, request(authorization)).await;
        assert_eq!(found.status, 401);
        assert_eq!(found.challenges, [r#"Bearer realm="api""#], "{authorization:?}");
        assert_eq!(
            found.body,
            r#"{"code":"no_credentials","detail":"send an access token in the Authorization header","status":401,"title":"Unauthorized","type":"about:blank"}"#
        );
    }
    let metadata = "https://api.example/.well-known/oauth-protected-resource".parse().unwrap();
    let layer = layer.require_scopes(["score", "models:read"]).with_resource_metadata(metadata);
    assert_eq!(
        seen(&layer, request(&[])).await.challenges,
        [
            r#"Bearer realm="api", scope="score models:read", resource_metadata="https://api.example/.well-known/oauth-protected-resource""#
        ]
    );
}

#[tokio::test]
async fn a_token_in_the_query_is_not_looked_at() {
    let world = World::new();
    let mut request = request(&[]);
    let token = world.token(json!({}));
    *request.uri_mut() = format!("/models?access_token={token}").parse().unwrap();
    assert_eq!(seen(&world.layer(), request).await.code(), "no_credentials");
}

#[tokio::test]
async fn a_malformed_request_is_400() {
    let world = World::new();
    let found = seen(&world.layer(), request(&["Bearer a", "Bearer a"])).await;
    assert_eq!(
        found,
        Seen {
            status: 400,
            challenges: vec![
                r#"Bearer realm="api", error="invalid_request", error_description="the request has more than one Authorization header; send one""#.to_owned()
            ],
            body: r#"{"code":"invalid_request","detail":"the request has more than one Authorization header; send one","status":400,"title":"Bad Request","type":"about:blank"}"#.to_owned(),
        }
    );
    for malformed in ["Bearer", "Bearer ", "Bearer a b", "bearer \"a\""] {
        let found = seen(&world.layer(), request(&[malformed])).await;
        assert_eq!(
            (found.status, found.challenges),
            (400, vec![r#"Bearer realm="api", error="invalid_request", error_description="the Authorization header does not hold one token after its scheme""#.to_owned()]),
            "{malformed}"
        );
    }
}

#[tokio::test]
async fn the_challenge_for_a_bad_token_names_the_problem() {
    let world = World::new();
    let layer = world.layer();
    let expired = world.token(json!({"exp": 1_799_999_000}));
    let elsewhere = world.issuer.access_token("account \"x\"\\");
    let (head, _) = expired.rsplit_once('.').unwrap();
    for (token, code, description) in [
        (
            expired.clone(),
            "expired",
            "the token expired at 1799999000 (it is 1800000000 now); get a fresh one",
        ),
        (
            elsewhere,
            "wrong_audience",
            "the token is for 'account /'x/'//', 'account', expected api; with Keycloak, add an audience mapper to the client that asks for it",
        ),
        (
            format!("{head}.AAAA"),
            "bad_signature",
            "the token's signature is not valid; it was altered, or another issuer signed it",
        ),
        (
            "opaque".to_owned(),
            "malformed",
            "the token cannot be read: it has no dots, a signed JWT has three parts between dots; send an unmodified signed JWT",
        ),
        (
            world.token(json!({"cnf": {"kid": "1"}})),
            "invalid_claim",
            "the token's claim `cnf` is not usable: it asks for a proof of possession that is not known here",
        ),
    ] {
        let found = seen(&layer, bearer(&token)).await;
        assert_eq!(found.code(), code);
        assert_eq!(found.status, 401);
        let challenge = found.challenges[0].as_str();
        let start = r#"Bearer realm="api", error="invalid_token", error_description=""#;
        assert_eq!(challenge, format!("{start}{description}\""));
    }
}

#[tokio::test]
async fn the_403_of_a_valid_token_names_what_it_lacks() {
    let world = World::new();
    let token = world.token(json!({"scope": "openid score", "azp": "batch", "groups": ["/risk"],
        "realm_access": {"roles": ["user"]}, "resource_access": {"api": {"roles": ["writer"]}}}));
    let plain = || world.layer();
    for (layer, challenge) in [
        (plain().require_scopes(["score"]), None),
        (
            plain().require_scopes(["score", "models:write", "admin"]),
            Some(
                r#"error_description="the token lacks the scope models:write and the scope admin", scope="score models:write admin""#,
            ),
        ),
        (plain().require_roles(["user"]), None),
        (
            plain().require_roles(["user", "admin"]),
            Some(r#"error_description="the token lacks the role admin""#),
        ),
        (plain().require_any([Requirement::scope("x"), Requirement::group("/risk")]), None),
        (
            plain().require_any([Requirement::scope("x"), Requirement::client_role("api", "user")]),
            Some(r#"error_description="the token lacks the scope x or the role user at api""#),
        ),
        (
            plain().require_any([Requirement::scope("x")]),
            Some(r#"error_description="the token lacks the scope x", scope="x""#),
        ),
        (plain().require_any([Requirement::client("batch")]), None),
        (plain().require_any([]), Some(r#"error_description="no caller may do this""#)),
    ] {
        let found = seen(&layer, bearer(&token)).await;
        let Some(challenge) = challenge else {
            assert_eq!(found.status, 200, "{layer:?}");
            continue;
        };
        assert_eq!((found.status, found.code().as_str()), (403, "insufficient_scope"));
        let expected = format!(r#"Bearer realm="api", error="insufficient_scope", {challenge}"#);
        assert_eq!(found.challenges, [expected]);
    }
}

#[tokio::test]
async fn a_handler_refuses_in_the_same_words() {
    let world = World::new();
    let delete = |token: &str| {
        let mut request = bearer(token);
        *request.method_mut() = http::Method::DELETE;
        request
    };
    let layer = world.layer();
    let admin = world.token(roles(&["admin"]));
    assert_eq!(seen(&layer, delete(&admin)).await.status, 200);
    // A client role is not a role of the realm.
    let other = world.token(json!({"realm_access": {"roles": []},
        "resource_access": {"api": {"roles": ["admin"]}}}));
    let found = seen(&layer, delete(&other)).await;
    assert_eq!(found.status, 403);
    assert_eq!(
        found.challenges,
        [
            r#"Bearer realm="api", error="insufficient_scope", error_description="the token lacks the role admin""#
        ]
    );
}

#[tokio::test]
async fn without_keys_the_answer_is_503_without_details() {
    let world = World::new();
    let layer = world.layer();
    world.issuer.fail(Fault::Down);
    let answer = answer(&layer, bearer(&world.token(json!({})))).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().get("www-authenticate").is_none());
    let seconds: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert_eq!(
        std::str::from_utf8(answer.body()).unwrap(),
        r#"{"code":"keys_unavailable","detail":"tokens cannot be verified now, as the issuer is not available; try again later","status":503,"title":"Service Unavailable","type":"about:blank"}"#
    );
}

#[tokio::test]
async fn optional_means_without_credentials_not_with_bad_ones() {
    let world = World::new();
    let layer = world.layer().optional();
    assert_eq!(seen(&layer, request(&[])).await.body, "anonymous");
    for other in ["Basic YTpi", "DPoP a", "Negotiate", ""] {
        let found = seen(&layer, request(&[other])).await;
        assert_eq!((found.status, found.code().as_str()), (401, "no_credentials"), "{other:?}");
    }
    let token = world.token(json!({}));
    assert_eq!(seen(&layer, bearer(&token)).await.status, 200);
    world.issuer.clock().advance(Duration::from_secs(3600));
    assert_eq!(seen(&layer, bearer(&token)).await.status, 401);
    assert_eq!(seen(&layer, request(&["Bearer a", "Bearer b"])).await.status, 400);
}

#[tokio::test]
async fn a_realm_cannot_break_out_of_its_quotation_marks() {
    let world = World::new();
    let layer = world.layer().with_realm("a\"b\\c\r\nX: y\u{e4}");
    assert_eq!(seen(&layer, request(&[])).await.challenges, [r#"Bearer realm="a'b/c??X: y?""#]);
}

#[tokio::test]
async fn a_misconfigured_issuer_is_not_an_outage() {
    let world = World::new();
    world.issuer.set_metadata("jwks_uri", serde_json::Value::Null);
    let answer = answer(&world.layer(), bearer(&world.token(json!({})))).await;
    assert_eq!(answer.status(), 500);
    assert!(!answer.headers().contains_key("retry-after"));
    assert!(!answer.headers().contains_key("www-authenticate"));
}
