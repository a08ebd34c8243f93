//! Tokens checked by asking their issuer (RFC 7662).

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use dev_issuer::{DevClient, DevIssuer, Endpoint, Fault};
use futures_util::future::join_all;
use oidc_core::client::{ClientAuth, TokenEndpoint, TokenHint};
use oidc_core::keys::RemoteKeys;
use oidc_core::testing::{SUBJECT, TestIssuer};
use oidc_core::token::Algorithm;
use oidc_core::verify::{Introspection, Presented};
use oidc_core::{Secret, TokenRefusal, Validation, Verifier};
use serde_json::{Value, json};
use tokio::time::{advance, sleep};

use crate::elsewhere::Elsewhere;

fn secret() -> ClientAuth {
    ClientAuth::SecretBasic("s3cret".into())
}

async fn provider() -> Elsewhere {
    let hub = DevClient::confidential("hub", "s3cret").audience("hub");
    Elsewhere::start(DevIssuer::demo_builder().client(hub)).await
}

fn introspection(provider: &Elsewhere) -> Introspection {
    let validation = Validation::new(provider.issuer.url().parse().unwrap(), "hub");
    Introspection::new(provider.endpoint("hub", secret()), validation)
}

/// Number of questions to the issuer.
fn asked(provider: &Elsewhere) -> u64 {
    provider.issuer.requests(Endpoint::Introspection)
}

#[tokio::test(start_paused = true)]
async fn the_issuer_vouches_for_a_token() {
    let provider = provider().await;
    let introspection = introspection(&provider);
    let tokens = provider.issuer.log_in("alice", "hub", "openid").unwrap();
    let token = introspection.access_token(&tokens.access_token).await.unwrap();
    assert_eq!(token.preferred_username(), Some("alice"));
    assert!(token.realm_roles().contains("data-scientist"));
    assert_eq!(token.algorithm(), None);
    for (other, expected) in [
        (tokens.refresh_token.unwrap(), "wrong_type"),
        (tokens.id_token.unwrap(), "inactive"),
        ("2YotnFZFEjr1zCsicMWpAA".to_owned(), "inactive"),
    ] {
        let refusal = introspection.access_token(&other).await.unwrap_err();
        assert_eq!(refusal.code(), expected);
    }
    let elsewhere = Validation::new(provider.issuer.url().parse().unwrap(), "elsewhere");
    let elsewhere = Introspection::new(provider.endpoint("hub", secret()), elsewhere);
    let refusal = elsewhere.access_token(&tokens.access_token).await.unwrap_err();
    assert_eq!(refusal.code(), "wrong_audience");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_accepted_for_the_cache_time_only() {
    let provider = provider().await;
    let introspection = introspection(&provider).with_max_age(Duration::from_secs(20));
    let token = provider.issuer.log_in("alice", "hub", "openid").unwrap().access_token;
    introspection.access_token(&token).await.unwrap();
    let endpoint = provider.endpoint("hub", secret());
    endpoint.revoke(&Secret::from(token.as_str()), TokenHint::AccessToken).await.unwrap();
    sleep(Duration::from_secs(19)).await;
    assert!(introspection.access_token(&token).await.is_ok());
    assert_eq!(asked(&provider), 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(introspection.access_token(&token).await.unwrap_err(), TokenRefusal::Inactive);
    sleep(Duration::from_secs(9)).await;
    assert_eq!(introspection.access_token(&token).await.unwrap_err(), TokenRefusal::Inactive);
    assert_eq!(asked(&provider), 2, "a no is remembered for ten seconds");
    sleep(Duration::from_secs(1)).await;
    assert!(introspection.access_token(&token).await.is_err());
    assert_eq!(asked(&provider), 3);
}

#[tokio::test(start_paused = true)]
async fn concurrent_introspections_of_one_token_are_one_request() {
    let provider = provider().await;
    let introspection = introspection(&provider);
    let token = provider.issuer.log_in("alice", "hub", "openid").unwrap().access_token;
    let all = join_all((0..20).map(|_| introspection.access_token(&token))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(asked(&provider), 1);
    let stats = introspection.cache_stats();
    assert_eq!((stats.misses, stats.hits), (1, 19));

    let all = join_all((0..20).map(|_| introspection.access_token("2YotnFZFEjr1zCsicMWpAA"))).await;
    assert!(all.iter().all(|verdict| *verdict.as_ref().unwrap_err() == TokenRefusal::Inactive));
    assert_eq!(asked(&provider), 2);

    introspection.forget_all();
    introspection.access_token(&token).await.unwrap();
    assert_eq!(asked(&provider), 3);
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_an_answer_serves_only_its_cache_time() {
    let provider = provider().await;
    let introspection = introspection(&provider);
    let token = provider.issuer.log_in("alice", "hub", "openid").unwrap().access_token;
    introspection.access_token(&token).await.unwrap();
    provider.issuer.faults().set(Fault::Down(503), Endpoint::Introspection);
    sleep(Duration::from_secs(59)).await;
    assert!(introspection.access_token(&token).await.is_ok());
    sleep(Duration::from_secs(1)).await;
    let before = asked(&provider);
    let all = join_all((0..20).map(|_| introspection.access_token(&token))).await;
    assert!(all.iter().all(|verdict| verdict.as_ref().unwrap_err().is_unavailable()));
    assert_eq!(asked(&provider), before + 1);
    assert_eq!(all[0].as_ref().unwrap_err().code(), "introspection_unavailable");
    provider.issuer.faults().clear();
    sleep(Duration::from_secs(1)).await;
    assert!(introspection.access_token(&token).await.is_ok(), "asked again after a second");
}

#[tokio::test(start_paused = true)]
async fn only_opaque_tokens_are_introspected() {
    let hub = DevClient::confidential("hub", "s3cret").audience("hub");
    let cli = DevClient::public("cli").audience("hub").opaque_access_tokens();
    let provider = Elsewhere::start(DevIssuer::demo_builder().client(hub).client(cli)).await;
    let keys = Arc::new(RemoteKeys::new(provider.provider()));
    let validation = Validation::new(provider.issuer.url().parse().unwrap(), "hub");
    let verifier = Verifier::new(validation, keys)
        .with_clock(Arc::new(provider.clock.clone()))
        .with_introspection(introspection(&provider));

    let opaque = provider.issuer.log_in("alice", "cli", "openid").unwrap().access_token;
    assert!(!opaque.contains('.'));
    let token = verifier.access_token(&opaque).await.unwrap();
    assert_eq!((token.client(), token.algorithm()), (Some("cli"), None));
    let presented = verifier.presented(&Presented::bearer(&opaque)).await.unwrap();
    assert_eq!(presented.preferred_username(), Some("alice"));
    assert_eq!(asked(&provider), 1);

    let jwt = provider.issuer.log_in("alice", "hub", "openid").unwrap().access_token;
    let token = verifier.access_token(&jwt).await.unwrap();
    assert_eq!(token.algorithm(), Some(Algorithm::RS256));
    for (unreadable, expected) in [("a.b.c", "malformed"), ("guess", "inactive")] {
        let refusal = verifier.access_token(unreadable).await.unwrap_err();
        assert_eq!(refusal.code(), expected);
    }
    assert_eq!(asked(&provider), 2, "about the guess");
}

#[tokio::test(start_paused = true)]
async fn answers_are_signed_where_that_is_wanted() {
    let provider = provider().await;
    let keys = || Arc::new(RemoteKeys::new(provider.provider()));
    let signed = introspection(&provider).with_cache(0).with_signed_answers(keys());
    let token = provider.issuer.log_in("alice", "hub", "openid").unwrap().access_token;
    let verified = signed.access_token(&token).await.unwrap();
    assert_eq!(verified.preferred_username(), Some("alice"));
    assert_eq!(signed.access_token("guess").await.unwrap_err(), TokenRefusal::Inactive);

    provider.issuer.faults().set(Fault::WrongIssuer, Endpoint::Introspection);
    let refusal = signed.access_token(&token).await.unwrap_err();
    assert!(refusal.is_unavailable() && refusal.to_string().contains("impostor"), "{refusal}");
}

/// RFC 9701 §5: an answer is refused unless it is signed, for this client, and fresh.
#[tokio::test(start_paused = true)]
async fn a_signed_answer_is_the_issuers_for_this_client_and_fresh() {
    let issuer = TestIssuer::new();
    let introspection = scripted(&issuer).with_cache(0).with_signed_answers(issuer.keys());
    let now = issuer.now();
    let good = json!({
        "iss": issuer.issuer().as_str(), "aud": "hub", "iat": now,
        "token_introspection": active(&issuer),
    });
    let mut header = issuer.header();
    header["typ"] = json!("token-introspection+jwt");
    let verdict = async |header: &Value, claims: &Value| {
        issuer.answer("introspect", 200, issuer.sign_with(header, claims));
        introspection.access_token("opaque").await.map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    assert_eq!(verdict(&header, &good).await, "ok");
    for typ in [json!("JWT"), json!("at+jwt"), Value::Null] {
        let mut header = header.clone();
        header["typ"] = typ;
        assert_eq!(verdict(&header, &good).await, "introspection_unavailable");
    }
    for (claim, value) in [
        ("iss", json!("https://evil.test")),
        ("iss", Value::Null),
        ("aud", json!("another")),
        ("aud", Value::Null),
        ("iat", json!(now - 91)),
        ("iat", json!(now + 31)),
        ("iat", Value::Null),
        ("token_introspection", json!(true)),
        ("token_introspection", Value::Null),
    ] {
        let mut claims = good.clone();
        match &value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
            value => claims[claim] = value.clone(),
        }
        assert_eq!(verdict(&header, &claims).await, "introspection_unavailable", "{claim} {value}");
    }
    issuer.answer("introspect", 200, active(&issuer).to_string());
    assert!(introspection.access_token("opaque").await.unwrap_err().is_unavailable(), "unsigned");
    let mut inactive = good.clone();
    inactive["token_introspection"] = json!({"active": false});
    assert_eq!(verdict(&header, &inactive).await, "inactive");
    let mut for_others = good.clone();
    for_others["token_introspection"]["aud"] = json!("account");
    assert_eq!(verdict(&header, &for_others).await, "wrong_audience");
}

/// An issuer with scripted answers.
fn scripted(issuer: &TestIssuer) -> Introspection {
    let url = "https://issuer.test/realms/lab/introspect";
    issuer.set_metadata("introspection_endpoint", json!(url));
    let endpoint =
        TokenEndpoint::new(issuer.provider(), "hub", secret()).with_clock(issuer.clock());
    Introspection::new(endpoint, Validation::new(issuer.issuer(), "hub"))
}

fn active(issuer: &TestIssuer) -> Value {
    json!({
        "active": true, "sub": SUBJECT, "aud": "hub", "iss": issuer.issuer().as_str(),
        "token_type": "Bearer", "client_id": "cli", "exp": issuer.now() + 300,
        "scope": "models:read",
    })
}

#[tokio::test(start_paused = true)]
async fn an_active_answer_must_be_about_a_token_for_here() {
    let issuer = TestIssuer::new();
    let introspection = scripted(&issuer).with_cache(0);
    let verdict = async |change: &dyn Fn(&mut Value)| {
        let mut answer = active(&issuer);
        change(&mut answer);
        issuer.answer("introspect", 200, answer.to_string());
        introspection.access_token("opaque").await.map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    let without = |answer: &mut Value, name: &str| {
        answer.as_object_mut().unwrap().remove(name);
    };
    let now = issuer.now();
    assert_eq!(verdict(&|_| {}).await, "ok");
    assert_eq!(verdict(&|a| a["iss"] = json!("https://evil.test")).await, "wrong_issuer");
    assert_eq!(verdict(&|a| without(a, "iss")).await, "ok");
    assert_eq!(verdict(&|a| a["aud"] = json!(["account", "hub"])).await, "ok");
    assert_eq!(verdict(&|a| a["aud"] = json!("account")).await, "wrong_audience");
    assert_eq!(verdict(&|a| without(a, "aud")).await, "wrong_audience");
    assert_eq!(verdict(&|a| a["exp"] = json!(now - 31)).await, "expired");
    assert_eq!(verdict(&|a| a["exp"] = json!(now - 29)).await, "ok");
    assert_eq!(verdict(&|a| without(a, "exp")).await, "ok");
    assert_eq!(verdict(&|a| a["exp"] = json!("soon")).await, "invalid_claim");
    assert_eq!(verdict(&|a| a["nbf"] = json!(now + 31)).await, "not_yet_valid");
    assert_eq!(verdict(&|a| a["iat"] = json!(now + 31)).await, "issued_in_future");
    assert_eq!(verdict(&|a| without(a, "sub")).await, "missing_claim");
    assert_eq!(verdict(&|a| a["token_type"] = json!("bearer")).await, "ok");
    assert_eq!(verdict(&|a| without(a, "token_type")).await, "ok");
    assert_eq!(verdict(&|a| a["token_type"] = json!("Refresh")).await, "wrong_type");
    assert_eq!(verdict(&|a| a["typ"] = json!("ID")).await, "wrong_type");
    assert_eq!(verdict(&|a| a["cnf"] = json!({"jkt": "x"})).await, "sender_constrained");
    assert_eq!(verdict(&|a| a["active"] = json!(false)).await, "inactive");
    for broken in [json!("true"), json!(1), Value::Null] {
        assert_eq!(verdict(&|a| a["active"] = broken.clone()).await, "introspection_unavailable");
    }

    issuer.answer("introspect", 200, {
        let mut answer = active(&issuer);
        without(&mut answer, "aud");
        answer.to_string()
    });
    assert!(introspection.clone().dangerous_without_audience().access_token("x").await.is_ok());
    issuer.answer("introspect", 200, json!({"active": true, "aud": "x", "sub": "s"}).to_string());
    assert!(introspection.dangerous_without_audience().access_token("x").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_makes_no_sense_says_nothing_about_the_token() {
    let issuer = TestIssuer::new();
    for (status, body) in [
        (200, "<html>"),
        (200, "[]"),
        (200, r#"{"active":true,"active":false}"#),
        (200, r#"{"active":true}{}"#),
        (302, ""),
        (400, r#"{"error":"invalid_request"}"#),
        (401, r#"{"error":"invalid_client"}"#),
        (500, ""),
    ] {
        issuer.answer("introspect", status, body);
        let refusal = scripted(&issuer).access_token("opaque").await.unwrap_err();
        assert!(refusal.is_unavailable(), "{status} {body}: {refusal}");
    }
    issuer.set_metadata("introspection_endpoint", Value::Null);
    let endpoint = TokenEndpoint::new(issuer.provider(), "hub", secret());
    let introspection = Introspection::new(endpoint, Validation::new(issuer.issuer(), "hub"));
    let refusal = introspection.access_token("opaque").await.unwrap_err();
    assert!(refusal.is_unavailable() && refusal.to_string().contains("introspection_endpoint"));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_this_issuers_is_not_introspected() {
    let issuer = TestIssuer::new();
    let introspection = scripted(&issuer);
    let mut claims = issuer.claims("hub");
    claims["iss"] = json!("https://bank.test");
    let foreign = issuer.sign(&claims);
    let foreign_hmac = issuer.sign_with(&json!({"alg": "HS256"}), &claims);
    for (token, expected) in [
        ("", "malformed"),
        ("a b", "malformed"),
        ("a\nb", "malformed"),
        ("tökn", "malformed"),
        (&*"x".repeat(16 * 1024 + 1), "too_large"),
        (&foreign, "wrong_issuer"),
        (&foreign_hmac, "wrong_issuer"),
    ] {
        let refusal = introspection.access_token(token).await.unwrap_err();
        assert_eq!(refusal.code(), expected);
    }
    assert_eq!(issuer.requests("introspect"), 0);

    issuer.answer("introspect", 200, active(&issuer).to_string());
    introspection.access_token(&issuer.access_token("hub")).await.unwrap();
    let sent = issuer.last_request("introspect").unwrap();
    assert!(sent.authorization.unwrap().starts_with("Basic "));
    assert_eq!(sent.form[1], ("token_type_hint".to_owned(), "access_token".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_outlive_the_token() {
    let issuer = TestIssuer::new();
    let introspection = scripted(&issuer).with_max_age(Duration::from_secs(3600));
    issuer.answer("introspect", 200, active(&issuer).to_string());
    let token = introspection.access_token("opaque").await.unwrap();
    assert_eq!(token.expires_at, Some(UNIX_EPOCH + Duration::from_secs(issuer.now() + 300)));
    issuer.clock().advance(Duration::from_secs(329));
    assert!(introspection.access_token("opaque").await.is_ok());
    issuer.clock().advance(Duration::from_secs(1));
    assert!(introspection.access_token("opaque").await.unwrap_err().is_expired());
    assert_eq!(issuer.requests("introspect"), 1);
    advance(Duration::from_secs(3600)).await;
    assert!(introspection.access_token("opaque").await.unwrap_err().is_expired());
    assert_eq!(issuer.requests("introspect"), 2);
}

#[tokio::test(start_paused = true)]
async fn memory_stays_within_its_bound() {
    let issuer = TestIssuer::new();
    let introspection = scripted(&issuer).with_cache(64 * 1024);
    issuer.answer("introspect", 200, r#"{"active":false}"#);
    for n in 0..3000 {
        introspection.access_token(&format!("guess-{n}")).await.unwrap_err();
    }
    let stats = introspection.cache_stats();
    assert!(stats.entries < 1000 && stats.bytes <= 2 * 64 * 1024, "{stats:?}");
}
