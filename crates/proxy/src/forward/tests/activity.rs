//! Activity of a session on exchanges that last: uploads and downloads.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use super::{super::*, fixtures::*};

/// Longer than the interval at which activity is noted.
const LATER: Duration = Duration::from_millis(1100);

#[tokio::test]
async fn a_download_under_way_is_activity() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let live = stage.session(known()).await;
    let begun = live.last_seen();
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\nfirst").await;
        connection
    };
    let (caller, credential) = (Caller::Known(live.known()), Credential::Session(live.clone()));
    let route = raw.route();
    let asking = stage.ask_as(&route, get("/"), caller, credential);
    let (answer, mut connection) = tokio::join!(asking, upstream);
    let mut body = answer.unwrap().into_body();
    soon(body.frame()).await.unwrap().unwrap();
    stage.clock.advance(Duration::from_secs(90));
    tokio::time::sleep(LATER).await;
    assert_eq!(live.last_seen(), begun, "silence is no activity");
    connection.write("second").await;
    soon(body.frame()).await.unwrap().unwrap();
    assert_eq!(live.last_seen(), begun + Duration::from_secs(90));
}

#[tokio::test]
async fn an_upload_under_way_is_activity() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let live = stage.session(known()).await;
    let begun = live.last_seen();
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    let parts = futures_util::stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|part| (part, receiver))
    });
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        stage.clock.advance(Duration::from_secs(90));
        tokio::time::sleep(LATER).await;
        assert_eq!(live.last_seen(), begun);
        sender.send(Ok(Bytes::from_static(b"one"))).await.unwrap();
        connection.bytes(8).await;
        assert_eq!(live.last_seen(), begun + Duration::from_secs(90));
        drop(sender);
        connection.bytes(5).await;
        connection.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    };
    let (caller, credential) = (Caller::Known(live.known()), Credential::Session(live.clone()));
    let route = raw.route();
    let request = post("/", Body::from_stream(parts.boxed()));
    let asking = stage.ask_as(&route, request, caller, credential);
    let (answer, ()) = tokio::join!(asking, upstream);
    assert_eq!(answer.unwrap().status(), 204);
}
