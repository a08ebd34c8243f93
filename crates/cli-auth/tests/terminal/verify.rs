//! `verify`: the result, and the remedy of a refusal.

use std::time::Duration;

use dev_issuer::{Algorithm, Mint};
use serde_json::{Value, json};

use crate::desk::{Desk, Ran};

fn good() -> Mint {
    Mint::access("alice").client("cli").audience(["churn"]).scope("openid profile")
}

async fn verified(desk: &Desk, token: &str, more: &[&str]) -> Ran {
    let mut arguments = vec!["verify", "--issuer", desk.issuer.url(), "--audience", "churn"];
    arguments.extend(more);
    arguments.push(token);
    desk.run(&arguments).await
}

#[tokio::test]
async fn a_valid_token_is_printed_as_text() {
    let desk = Desk::new().await;
    let act = json!({"sub": "batch", "act": {"sub": "orchestrator"}});
    let mint = good()
        .claim("department", json!("risk"))
        .claim("act", act)
        .claim("note", json!("\u{1b}[31mred"));
    let token = desk.issuer.mint(mint).unwrap();
    let ran = verified(&desk, &token, &[]).await.ended(0);
    for piece in [
        "valid for churn",
        "signed with  RS256, key ",
        "user name    alice",
        "client       cli",
        "audience     churn",
        "expires      ",
        "(in 4m ",
        "scopes       openid, profile",
        "data-scientist",
        "groups       /lab",
        "acting       batch, for orchestrator for the subject",
        "department   risk",
        "note         \\u{1b}[31mred",
    ] {
        assert!(ran.out.contains(piece), "{piece:?} is missing in\n{}", ran.out);
    }
    assert!(!ran.out.contains('\u{1b}'), "no colours unless on a terminal");
    assert!(!ran.out.contains(&token) && !ran.err.contains(&token), "the token is not repeated");
}

#[tokio::test]
async fn the_token_may_come_from_a_file_or_standard_input() {
    let desk = Desk::new().await;
    let token = desk.issuer.mint(good()).unwrap();
    let file = desk.write("token", &format!("Bearer {token}\n"));
    let asked = ["verify", "--issuer", desk.issuer.url(), "--audience", "churn"];
    let from_file = [&asked[..], &["--token-file", file.to_str().unwrap()]].concat();
    desk.run(&from_file).await.ended(0);
    let from_input = [&asked[..], &["-"]].concat();
    desk.run_with_input(&from_input, &format!("  {token}\n")).await.ended(0);
    desk.run_with_input(&from_input, "\n").await.ended(1);
    desk.run(&asked).await.ended(2);
}

#[tokio::test]
async fn each_refusal_has_its_code_and_a_remedy() {
    let desk = Desk::new().await;
    let cases = [
        (good().expired(), "expired", "get a fresh token"),
        (good().not_before_in(Duration::from_secs(600)), "not_yet_valid", "clock"),
        (
            good().audience(["hub"]),
            "wrong_audience",
            "audience mapper in a client scope of the client cli",
        ),
        (good().issuer("https://elsewhere.example"), "wrong_issuer", "byte for byte"),
        (good().wrong_key(), "bad_signature", "copy the token again"),
        (good().unsigned(), "algorithm_not_allowed", "unsigned tokens"),
        (good().hmac_with_public_key(), "algorithm_not_allowed", "HS256"),
        (good().header("kid", json!("other")), "unknown_key", "`kid` and `alg`"),
        (good().algorithm(Algorithm::PS384), "algorithm_not_allowed", "with one of RS256:"),
        (good().header("jku", json!("https://evil.example")), "header_not_allowed", "refusals.md"),
        (good().without("exp"), "missing_claim", "have the issuer add `exp`"),
        (good().claim("exp", json!("soon")), "invalid_claim", "refusals.md"),
        (Mint::id("alice").client("cli"), "wrong_type", "this is an ID token"),
    ];
    for (mint, code, remedy) in cases {
        let token = desk.issuer.mint(mint).unwrap();
        let ran = verified(&desk, &token, &[]).await.ended(1);
        assert!(ran.out.starts_with(&format!("refused: {code}\n")), "{code}: {}", ran.out);
        assert!(ran.out.contains(remedy), "{remedy:?} is missing in\n{}", ran.out);
        assert!(!ran.out.contains(&token), "the token is not repeated");
    }
    let ran = verified(&desk, "not-a-token", &[]).await.ended(1);
    assert!(ran.out.starts_with("refused: malformed\n"), "{}", ran.out);
}

#[tokio::test]
async fn leeway_and_profile_are_as_asked() {
    let desk = Desk::new().await;
    let late = desk.issuer.mint(good().not_before_in(Duration::from_secs(100))).unwrap();
    verified(&desk, &late, &[]).await.ended(1);
    verified(&desk, &late, &["--leeway", "4m"]).await.ended(0);
    let ran = verified(&desk, &late, &["--profile", "rfc9068"]).await.ended(1);
    assert!(ran.out.contains("--profile keycloak"), "{}", ran.out);
    let two = desk.issuer.mint(good().audience(["hub"])).unwrap();
    verified(&desk, &two, &["--audience", "hub"]).await.ended(0);
}

#[tokio::test]
async fn json_is_for_programs() {
    let desk = Desk::new().await;
    let token = desk.issuer.mint(good()).unwrap();
    let ran = verified(&desk, &token, &["--json"]).await.ended(0);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&answer["valid"], &answer["header"]["alg"]), (&json!(true), &json!("RS256")));
    assert_eq!(answer["claims"]["preferred_username"], "alice");
    assert!(answer["expires_in"].as_u64().unwrap() > 200);
    let token = desk.issuer.mint(good().expired()).unwrap();
    let ran = verified(&desk, &token, &["--json"]).await.ended(1);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&answer["valid"], &answer["code"]), (&json!(false), &json!("expired")));
    assert!(answer.get("claims").is_none(), "only good tokens have claims");
}

#[tokio::test]
async fn an_issuer_out_of_reach_is_not_the_tokens_fault() {
    let desk = Desk::new().await;
    let token = desk.issuer.mint(good()).unwrap();
    desk.issuer.stop().await;
    let ran = verified(&desk, &token, &[]).await.ended(1);
    assert!(ran.out.starts_with("not verified: keys_unavailable\n"), "{}", ran.out);
    assert!(ran.out.contains("nothing is known to be wrong with the token"), "{}", ran.out);
    assert!(ran.out.contains(".well-known/openid-configuration"), "{}", ran.out);
}

#[tokio::test]
async fn the_issuer_may_come_from_the_environment() {
    let desk = Desk::new().await;
    let token = desk.issuer.mint(good()).unwrap();
    let mut command = desk.command(&["verify", "--json", &token]);
    command.env("DOORWARD_ISSUER", desk.issuer.url()).env("DOORWARD_AUDIENCE", "churn");
    Ran::from(command.output().await.unwrap()).ended(0);
}
