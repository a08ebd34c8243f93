//! The caller's identity, as the upstream receives it.

use std::time::{Duration, SystemTime};

use http::Request;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use oidc_core::Secret;
use serde_json::Value;

use super::{super::*, fixtures::*};
use crate::config::{IdentityForwarding, SentAccessToken};
use crate::identify::authorization::Carrier;
use crate::upstream::Rewrite;
use access_policy::Known;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn bearer(stage: &Stage) -> Credential {
    Credential::Bearer {
        token: Secret::from("clients-token"),
        good_until: Some(stage.clock.now() + Duration::from_secs(60)),
        carrier: Carrier::Bearer,
    }
}

/// Verifies as an upstream would: with the published key.
fn verified(stage: &Stage, token: &str, audience: &str) -> Value {
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let jwks = stage.assertions.jwks();
    let key = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == *kid).unwrap();
    let text = |name: &str| key[name].as_str().unwrap();
    let key = DecodingKey::from_ec_components(text("x"), text("y")).unwrap();
    let mut rules = Validation::new(Algorithm::ES256);
    rules.set_audience(&[audience]);
    rules.set_issuer(&["https://platform.example"]);
    // The clock of the test is not the machine's.
    rules.validate_exp = false;
    jsonwebtoken::decode::<Value>(token, &key, &rules).unwrap().claims
}

#[tokio::test]
async fn only_the_gateway_states_the_caller() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let request = Request::get("/")
        .header("connection", "x-forwarded-user, x-doorward-assertion")
        .header("x-forwarded-user", "mallory")
        .header("x-forwarded-email", "mallory@example")
        .header("authorization", "Bearer clients-token")
        .header("cookie", "theme=dark; __Host-doorward=ticket; lang=en")
        .body(Body::empty())
        .unwrap();
    let known = Known { email: None, groups: vec![], ..known() };
    let asking = stage.ask_as(&route, request, Caller::Known(known.into()), bearer(&stage));
    let (answer, head) = tokio::join!(asking, raw.serve_one(OK));
    answer.unwrap();
    assert_eq!(fields(&head, "x-forwarded-user"), ["s-1"]);
    assert_eq!(fields(&head, "x-forwarded-preferred-username"), ["alice"]);
    assert_eq!(fields(&head, "x-forwarded-roles"), ["data-scientist"]);
    assert_eq!(fields(&head, "x-forwarded-email"), Vec::<&str>::new());
    assert_eq!(fields(&head, "x-forwarded-groups"), Vec::<&str>::new());
    assert_eq!(fields(&head, "authorization"), Vec::<&str>::new());
    assert_eq!(fields(&head, "cookie"), ["theme=dark; lang=en"]);
    let [assertion] = fields(&head, "x-doorward-assertion")[..] else { panic!("{head}") };
    let claims = verified(&stage, assertion, "app");
    assert_eq!(claims["sub"], "s-1");
    assert_eq!(claims["roles"][0], "data-scientist");
    assert_eq!(claims.get("email"), None);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
}

#[tokio::test]
async fn hostile_claims_stay_values() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let known = Known {
        preferred_username: Some("alice\r\nX-Forwarded-Groups: admin".into()),
        groups: vec!["dev,admin".into(), "\u{10d}\u{10a}\0".into()],
        ..known()
    };
    let asking =
        stage.ask_as(&route, get("/"), Caller::Known(known.clone().into()), bearer(&stage));
    let (answer, head) = tokio::join!(asking, raw.serve_one(OK));
    answer.unwrap();
    assert_eq!(
        fields(&head, "x-forwarded-preferred-username"),
        ["alice%0D%0AX-Forwarded-Groups: admin"]
    );
    assert_eq!(fields(&head, "x-forwarded-groups"), ["dev%2Cadmin,%C4%8D%C4%8A%00"]);
    let claims = verified(&stage, fields(&head, "x-doorward-assertion")[0], "app");
    assert_eq!(claims["groups"], serde_json::json!(known.groups));
}

#[tokio::test]
async fn a_route_chooses_the_identity_that_is_sent() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let forwarding = |headers, assertion, access_token| IdentityForwarding {
        headers,
        assertion,
        access_token: if access_token { SentAccessToken::Own } else { SentAccessToken::None },
        ..IdentityForwarding::default()
    };
    let session = stage.session(known()).await;
    for (identity, user, assertion, authorization) in [
        (forwarding(false, false, false), 0, 0, vec![]),
        (forwarding(true, false, true), 1, 0, vec!["Bearer sessions-access-token"]),
        (forwarding(false, true, false), 0, 1, vec![]),
    ] {
        let mut route = route(&[raw.url()]);
        route.identity = identity;
        let route = Arc::new(route);
        let asking = stage.ask_as(
            &route,
            get("/"),
            Caller::Known(session.known()),
            Credential::Session(session.clone()),
        );
        let (answer, head) = tokio::join!(asking, raw.serve_one(OK));
        answer.unwrap();
        assert_eq!(fields(&head, "x-forwarded-user").len(), user);
        assert_eq!(fields(&head, "x-doorward-assertion").len(), assertion);
        assert_eq!(fields(&head, "authorization"), authorization);
    }
}

#[tokio::test]
async fn an_upstream_receives_exactly_the_documented_fields() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let mut route = route(&[raw.url()]);
    route.identity =
        IdentityForwarding { access_token: SentAccessToken::Own, ..IdentityForwarding::default() };
    let prefix = "/app".parse().unwrap();
    route.upstream = route.upstream.map(|upstream| {
        upstream.with_rewrite(Rewrite { strip_prefix: Some(prefix), ..Rewrite::default() })
    });
    let route = Arc::new(route);
    let session = stage.session(known()).await;
    let asking = stage.ask_as(
        &route,
        get("/app/x"),
        Caller::Known(session.known()),
        Credential::Session(session.clone()),
    );
    let (answer, head) = tokio::join!(asking, raw.serve_one(OK));
    answer.unwrap();
    let names = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let mut received: Vec<String> = names.map(|(name, _)| name.to_ascii_lowercase()).collect();
    received.sort();
    let mut documented: Vec<String> =
        upstream_fields().iter().map(|field| field.name.as_str().to_owned()).collect();
    documented.sort();
    assert_eq!(received, documented);
}

#[tokio::test]
async fn an_assertion_is_reused_until_it_nearly_expires() {
    let stage = Stage::new();
    let alice = Arc::new(known());
    let first = stage.assertions.header(&alice, "app").unwrap();
    assert_eq!(stage.assertions.header(&alice, "app").unwrap(), first);
    assert_ne!(stage.assertions.header(&alice, "other").unwrap(), first);
    let bob = Arc::new(Known { subject: "s-2".into(), ..known() });
    let bobs = stage.assertions.header(&bob, "app").unwrap();
    assert_eq!(verified(&stage, bobs.to_str().unwrap(), "app")["sub"], "s-2");
    stage.clock.advance(Duration::from_secs(40));
    assert_eq!(stage.assertions.header(&alice, "app").unwrap(), first, "20 s are left");
    stage.clock.advance(Duration::from_secs(1));
    let second = stage.assertions.header(&alice, "app").unwrap();
    assert_ne!(second, first);
    let claims = verified(&stage, second.to_str().unwrap(), "app");
    let now = stage.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(claims["exp"], now + 60);
}

#[tokio::test]
async fn keys_can_be_rotated_and_the_old_ones_stay_published() {
    let stage = Stage::new();
    let alice = Arc::new(known());
    let old = stage.assertions.header(&alice, "app").unwrap();
    let keys = web_sessions::Keys::new(&[[9u8; 32], [7u8; 32]]).unwrap();
    stage.assertions.replace(signer(&keys));
    let new = stage.assertions.header(&alice, "app").unwrap();
    let kid = |value: &HeaderValue| {
        jsonwebtoken::decode_header(value.to_str().unwrap()).unwrap().kid.unwrap()
    };
    assert_ne!(kid(&old), kid(&new));
    verified(&stage, old.to_str().unwrap(), "app");
    verified(&stage, new.to_str().unwrap(), "app");
    assert!(stage.assertions.jwks().to_string().find("\"d\"").is_none(), "no private part");
}
