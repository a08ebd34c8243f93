//! `logout`: revokes and removes.

use dev_issuer::Endpoint;

use crate::desk::{Desk, files_in};

fn kept(desk: &Desk) -> usize {
    let files = files_in(&desk.path("home/.local/state/doorward/logins"));
    files.iter().filter(|file| file.extension().is_some_and(|ends| ends == "json")).count()
}

#[tokio::test]
async fn the_tokens_are_revoked_and_removed() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    let ran = desk.run(&["logout"]).await.ended(0);
    assert!(ran.out.contains("Signed out alice at "), "{}", ran.out);
    assert_eq!((desk.issuer.requests(Endpoint::Revocation), kept(&desk)), (2, 0));
    desk.run(&["token"]).await.ended(4);
    let ran = desk.run(&["logout"]).await.ended(0);
    assert!(ran.out.contains("No login is kept on this machine."), "{}", ran.out);
    desk.run(&["logout", "--client-id", "cli"]).await.ended(4);
}

#[tokio::test]
async fn the_login_is_removed_even_while_the_issuer_is_down() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    desk.issuer.stop().await;
    let ran = desk.run(&["logout"]).await.ended(1);
    assert!(ran.out.contains("did not revoke the tokens"), "{}", ran.out);
    assert_eq!(kept(&desk), 0);
}

#[tokio::test]
async fn one_login_or_all_are_ended() {
    let desk = Desk::new().await;
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    desk.sign_in("bob", "notebook", &["--client-secret-file", "notebook-secret"]).await.ended(0);
    let ran = desk.run(&["logout", "--client-id", "cli"]).await.ended(0);
    assert!(ran.out.contains("alice"), "{}", ran.out);
    assert_eq!(kept(&desk), 1);
    desk.run(&["token"]).await.ended(0);
    desk.sign_in("alice", "cli", &[]).await.ended(0);
    desk.run(&["logout", "--all"]).await.ended(0);
    assert_eq!(kept(&desk), 0);
}
