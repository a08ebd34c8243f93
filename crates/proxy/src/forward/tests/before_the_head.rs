//! Events between the request and the head of its response.

use super::{super::*, fixtures::*};

#[tokio::test]
async fn a_session_that_ends_before_the_head_means_sign_in() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let live = stage.session(known()).await;
    let caller = Caller::Known(live.known());
    let credential = Credential::Session(Arc::clone(&live));
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        stage.sessions.end(live.id()).await.unwrap();
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    };
    let asked = stage.ask_as(&route, get("/a?b"), caller, credential);
    let (refused, ()) = tokio::join!(asked, upstream);
    match refused.unwrap_err() {
        Refusal::LoginNeeded { return_to, redirect: false, .. } => assert_eq!(return_to, "/a?b"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_said_to_be() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        let cookie = format!("Set-Cookie: a={}\r\n", "x".repeat(4000));
        let answer = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", cookie.repeat(100));
        let _ =
            tokio::io::AsyncWriteExt::write_all(&mut connection.stream, answer.as_bytes()).await;
        connection
    };
    let (refused, _open) = tokio::join!(stage.ask(&route, get("/")), upstream);
    match refused.unwrap_err() {
        Refusal::UpstreamInvalid { too_large: true, reason, .. } => {
            assert!(reason.contains("the head of its response is larger than 64 KiB"), "{reason}");
        }
        other => panic!("{other}"),
    }
}
