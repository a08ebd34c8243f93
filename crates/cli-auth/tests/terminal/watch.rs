//! `token --file FILE --watch`: a file that always holds a valid token.

use std::time::Duration;

use dev_issuer::{DevClient, Endpoint, Fault};

use crate::desk::{Desk, Running, claims, mode, unix_now, until};

const LIFE: Duration = Duration::from_secs(3);

async fn desk() -> Desk {
    let short = DevClient::confidential("short", "job-secret").access_token_lifetime(LIFE);
    Desk::with(|provider| provider.client(short)).await
}

fn arguments(desk: &Desk) -> Vec<&str> {
    let more = ["--client-secret-file", "job-secret", "--file", "token", "--watch"];
    [&desk.as_client("token", "short")[..], &more].concat()
}

#[tokio::test]
async fn the_file_is_replaced_before_its_token_ends() {
    let desk = desk().await;
    let watch = Running::start(&mut desk.command(&arguments(&desk)));
    let file = desk.path("token");
    let mut seen: Vec<String> = Vec::new();
    until("the third token", || {
        let token = std::fs::read_to_string(&file).ok()?;
        assert!(claims(&token)["exp"].as_u64().unwrap() > unix_now(), "never an expired token");
        assert_eq!(mode(&file), 0o600);
        if seen.last() != Some(&token) {
            seen.push(token);
        }
        (seen.len() == 3).then_some(())
    })
    .await;
    let ran = watch.signalled("-TERM").await.ended(0);
    assert!(ran.out.is_empty(), "{}", ran.out);
    assert!(ran.err.lines().count() >= 3 && ran.err.contains("was replaced"), "{}", ran.err);
    for token in seen {
        assert!(!ran.err.contains(&token), "a token is never logged");
    }
}

#[tokio::test]
async fn the_last_token_stays_while_the_issuer_is_down() {
    let desk = desk().await;
    let watch = Running::start(&mut desk.command(&arguments(&desk)));
    let file = desk.path("token");
    let first = until("the first token", || std::fs::read_to_string(&file).ok()).await;
    desk.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    until("the end of the token", || (claims(&first)["exp"].as_u64()? < unix_now()).then_some(()))
        .await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), first, "the last good one stays");
    desk.issuer.faults().clear();
    until("the next token", || std::fs::read_to_string(&file).ok().filter(|token| *token != first))
        .await;
    watch.signalled("-INT").await.ended(0);
}

#[tokio::test]
async fn without_a_first_token_the_command_fails() {
    let desk = desk().await;
    desk.issuer.faults().set(Fault::Down(503), Endpoint::Token);
    desk.run(&arguments(&desk)).await.ended(1);
    desk.run(&["token", "--file", "token", "--watch"]).await.ended(4);
    assert!(!desk.path("token").exists());
}

#[tokio::test]
async fn a_login_is_watched_too() {
    let cli = DevClient::public("cli")
        .redirect_uri("http://127.0.0.1:*/callback")
        .access_token_lifetime(LIFE);
    let desk = Desk::with(|provider| provider.client(cli)).await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    let watch = Running::start(&mut desk.command(&["token", "--file", "token", "--watch"]));
    let file = desk.path("token");
    let first = until("the first token", || std::fs::read_to_string(&file).ok()).await;
    until("the next token", || std::fs::read_to_string(&file).ok().filter(|token| *token != first))
        .await;
    watch.signalled("-TERM").await.ended(0);
    assert_eq!(desk.issuer.refresh_reuse_detected(), 0);
}
