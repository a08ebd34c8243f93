//! `token` for a user who has signed in.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use dev_issuer::{Endpoint, Fault, Grant};
use serde_json::{Value, json};

use crate::desk::{Desk, Ran, Running, claims, mode, until};

#[tokio::test]
async fn the_token_is_refreshed_silently() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    let first = desk.run(&["token"]).await.ended(0);
    assert_eq!(claims(first.text())["preferred_username"], "alice");
    assert_eq!(first.text(), desk.run(&["token"]).await.ended(0).text());
    assert_eq!(desk.requests(Grant::RefreshToken), 0);
    desk.access_token_expires();
    let next = desk.run(&["token"]).await.ended(0);
    assert_ne!(first.text(), next.text());
    assert_eq!(desk.requests(Grant::RefreshToken), 1);
    assert_eq!(mode(&desk.kept().0), 0o600);
    let issuer = ["verify", "--issuer", desk.issuer.url(), "--audience", "churn", next.text()];
    desk.run(&issuer).await.ended(0);
}

#[tokio::test]
async fn twenty_programs_at_once_make_one_refresh() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    desk.access_token_expires();
    let ran = desk.run_at_once(20, &["token"]).await;
    let tokens: Vec<String> = ran.into_iter().map(|ran| ran.ended(0).text().to_owned()).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!((desk.requests(Grant::RefreshToken), desk.issuer.refresh_reuse_detected()), (1, 0));
    desk.access_token_expires();
    desk.run(&["token"]).await.ended(0);
}

#[tokio::test]
async fn a_signal_during_a_refresh_does_not_lose_the_login() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    desk.access_token_expires();
    let before = desk.issuer.requests(Endpoint::Token);
    desk.issuer.faults().set(Fault::Slow(Duration::from_millis(500)), Endpoint::Token);
    let asking = Running::start(&mut desk.command(&["token"]));
    until("the refresh", || (desk.issuer.requests(Endpoint::Token) > before).then_some(())).await;
    let ran = asking.signalled("-INT").await.ended(130);
    assert!(ran.out.is_empty());
    desk.issuer.faults().clear();
    desk.run(&["token"]).await.ended(0);
    assert_eq!((desk.requests(Grant::RefreshToken), desk.issuer.refresh_reuse_detected()), (1, 0));
}

#[tokio::test]
async fn a_second_signal_ends_an_exchange_at_once() {
    let desk = Desk::new().await;
    let secret = ["--client-secret-file", "notebook-secret"];
    desk.sign_in("alice", "notebook", &secret).await.ended(0);
    let before = desk.issuer.requests(Endpoint::Token);
    desk.issuer.faults().set(Fault::Slow(Duration::from_secs(60)), Endpoint::Token);
    let asking = Running::start(&mut desk.command(&["token", "--audience", "churn"]));
    until("the exchange", || (desk.issuer.requests(Endpoint::Token) > before).then_some(())).await;
    let begun = tokio::time::Instant::now();
    asking.signal("-INT").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ran = asking.signalled("-INT").await.ended(130);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
}

#[tokio::test]
async fn an_ended_login_names_the_command_that_signs_in() {
    let desk = Desk::new().await;
    let ran = desk.run(&["token"]).await.ended(4);
    assert!(ran.err.contains("not signed in; run `doorward login --issuer URL"), "{}", ran.err);
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    desk.issuer.end_session_for("alice").await;
    desk.access_token_expires();
    for _ in 0..2 {
        let ran = desk.run(&["token"]).await.ended(4);
        let command =
            format!("run `doorward login --issuer {} --client-id cli`", desk.issuer.url());
        assert!(ran.err.contains(&command), "{}", ran.err);
        assert!(ran.out.is_empty());
    }
    assert_eq!(desk.requests(Grant::RefreshToken), 1, "an ended login is not asked for again");
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    desk.run(&["token"]).await.ended(0);
}

#[tokio::test]
async fn an_issuer_that_is_down_does_not_end_the_login() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    desk.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    desk.run(&["token"]).await.ended(0);
    desk.access_token_expires();
    let ran = desk.run(&["token"]).await.ended(1);
    assert!(ran.err.contains("cannot answer now"), "{}", ran.err);
    desk.issuer.faults().clear();
    desk.access_token_expires();
    let recovered = || async { desk.run(&["token"]).await.code == Some(0) };
    let begun = tokio::time::Instant::now();
    while !recovered().await {
        assert!(begun.elapsed().as_secs() < 10, "the pause after a failure is short");
    }
}

#[tokio::test]
async fn a_token_is_printed_plain_as_header_and_as_json() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    let token = desk.run(&["token"]).await.ended(0);
    let header = desk.run(&["token", "--header"]).await.ended(0);
    assert_eq!(header.text(), format!("Authorization: Bearer {}", token.text()));
    let json = desk.run(&["token", "--json"]).await.ended(0);
    let answer: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(answer["access_token"], token.text());
    assert_eq!(answer["token_type"], "Bearer");
    assert!((200..=300).contains(&answer["expires_in"].as_u64().unwrap()));
    desk.run(&["token", "--json", "--header"]).await.ended(2);
    for ran in [token, header, json] {
        assert!(ran.err.is_empty(), "{}", ran.err);
    }
}

#[tokio::test]
async fn a_command_gets_the_token_and_keeps_its_exit_code() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    let token = desk.run(&["token"]).await.ended(0);
    let ran = desk
        .run(&["token", "--exec", "--", "sh", "-c", "printf %s \"$DOORWARD_TOKEN\"; exit 7"])
        .await;
    assert_eq!(ran.ended(7).out, token.text());
    let two = [
        "token",
        "--exec",
        "--env",
        "A",
        "--env",
        "B",
        "--",
        "sh",
        "-c",
        "test \"$A\" = \"$B\" && test -z \"$DOORWARD_TOKEN\" && printf %s \"$A\"",
    ];
    assert_eq!(desk.run(&two).await.ended(0).out, token.text());
    let killed = desk.run(&["token", "--exec", "--", "sh", "-c", "kill -TERM $$"]).await;
    assert_eq!(killed.signal, Some(15), "{killed:?}");
    let missing = desk.run(&["token", "--exec", "--", "no-such-program"]).await.ended(1);
    assert!(missing.err.contains("no-such-program cannot be run"), "{}", missing.err);
    desk.run(&["token", "--exec"]).await.ended(2);
    desk.run(&["token", "--exec", "--env", "A=B", "--", "true"]).await.ended(2);
}

#[tokio::test]
async fn all_runs_share_one_token_exchange() {
    let desk = Desk::new().await;
    let secret = ["--client-secret-file", "notebook-secret"];
    desk.sign_in("alice", "notebook", &secret).await.ended(0);
    let own = desk.run(&["token"]).await.ended(0);
    let runs = desk.run_at_once(10, &["token", "--audience", "churn"]).await;
    for ran in runs {
        let exchanged = claims(ran.ended(0).text());
        assert_eq!((&exchanged["aud"], &exchanged["azp"]), (&json!("churn"), &json!("notebook")));
        assert_eq!(exchanged["sub"], claims(own.text())["sub"], "the person is the same");
    }
    assert_eq!(desk.requests(Grant::TokenExchange), 1);
    let ran = desk.run(&["token", "--audience", "stranger"]).await.ended(1);
    assert!(ran.err.contains("stranger"), "{}", ran.err);
    let (_, login) = desk.kept();
    assert!(
        !login.to_string().contains("notebook-pass"),
        "the secret's place is kept, not the secret"
    );
}

#[tokio::test]
async fn a_login_that_others_can_read_is_not_used() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    let (file, _) = desk.kept();
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let ran: Ran = desk.run(&["token"]).await.ended(1);
    assert!(
        ran.err.contains(file.to_str().unwrap()) && ran.err.contains("chmod 600"),
        "{}",
        ran.err
    );
    assert!(ran.out.is_empty());
    desk.run(&desk.as_client("token", "notebook")).await.ended(4);
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    desk.run(&["token"]).await.ended(0);
    assert_eq!(mode(&file), 0o600, "a new login replaces it");
}

#[tokio::test]
async fn a_token_in_a_file_is_private_and_not_printed() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    let ran = desk.run(&["token", "--file", "token"]).await.ended(0);
    assert!(ran.out.is_empty() && ran.err.is_empty());
    assert_eq!(mode(&desk.path("token")), 0o600);
    let token = std::fs::read_to_string(desk.path("token")).unwrap();
    assert_eq!(token, desk.run(&["token"]).await.ended(0).text());
}
