//! Connections: reuse, retry, and time limits.

use std::time::Duration;

use http::Request;
use tokio::net::TcpListener;

use super::{super::*, fixtures::*};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An address on which no process listens.
async fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn served(stage: &Stage, route: &Arc<Route>, connection: &mut Peeled) {
    let upstream = async {
        connection.head().await;
        connection.write(OK).await;
    };
    let (answer, ()) = tokio::join!(stage.ask(route, get("/")), upstream);
    assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
}

/// A route with one connection that served a request and waits.
async fn warm(stage: &Stage) -> (Raw, Arc<Route>, Peeled) {
    let raw = Raw::new().await;
    let route = raw.route();
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        connection.write(OK).await;
        connection
    };
    let (answer, connection) = tokio::join!(stage.ask(&route, get("/")), upstream);
    assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
    (raw, route, connection)
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let stage = Stage::new();
    let (raw, route, mut connection) = warm(&stage).await;
    for _ in 0..5 {
        served(&stage, &route, &mut connection).await;
    }
    assert!(raw.is_untouched().await);
}

#[tokio::test]
async fn a_get_survives_a_connection_that_was_closed_meanwhile() {
    let stage = Stage::new();
    let (raw, route, mut connection) = warm(&stage).await;
    let upstream = async {
        // The request arrives, and the upstream closes without a response.
        connection.head().await;
        drop(connection);
        raw.serve_one(OK).await
    };
    let (answer, head) = tokio::join!(stage.ask(&route, get("/again")), upstream);
    assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
    assert!(head.starts_with("GET /again "));
}

#[tokio::test]
async fn a_get_is_tried_again_once_only() {
    let stage = Stage::new();
    let (raw, route, mut connection) = warm(&stage).await;
    let upstream = async {
        connection.head().await;
        drop(connection);
        raw.accept().await.head().await;
    };
    let (refused, ()) = tokio::join!(stage.ask(&route, get("/")), upstream);
    assert!(reason(refused.unwrap_err()).contains("connection closed before"));
    assert!(raw.is_untouched().await);
}

#[tokio::test]
async fn a_post_that_was_sent_is_never_sent_again() {
    let stage = Stage::new();
    for request in
        [post("/", "body"), post("/", ""), Request::delete("/").body(Body::empty()).unwrap()]
    {
        let (raw, route, mut connection) = warm(&stage).await;
        let upstream = async {
            connection.head().await;
            drop(connection);
        };
        let (refused, ()) = tokio::join!(stage.ask(&route, request), upstream);
        reason(refused.unwrap_err());
        assert!(raw.is_untouched().await);
    }
}

#[tokio::test]
async fn an_unread_response_closes_its_connection() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegin").await;
        connection
    };
    let (answer, mut connection) = tokio::join!(stage.ask(&route, get("/")), upstream);
    drop(answer.unwrap());
    assert_eq!(connection.rest().await, b"");
}

#[tokio::test]
async fn a_dead_target_is_replaced_for_a_get_but_not_for_a_post() {
    let stage = Stage::new();
    let raw = Raw::new().await;
    let (mut gets, mut refused) = (0, 0);
    // Targets are chosen at random; with enough requests the dead one is chosen first.
    for _ in 0..8 {
        let route = Arc::new(route(&[dead_address().await, raw.url()]));
        let (answer, _) = tokio::join!(stage.ask(&route, get("/")), raw.serve_one(OK));
        assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
        gets += 1;
    }
    let dead = Arc::new(route(&[dead_address().await, dead_address().await]));
    for _ in 0..2 {
        let reason = reason(stage.ask(&dead, post("/", "x")).await.unwrap_err());
        assert_eq!(reason.matches("connection refused").count(), 1, "{reason}");
        refused += 1;
    }
    let both = reason(stage.ask(&dead, get("/")).await.unwrap_err());
    assert_eq!(both.matches("connection refused").count(), 2, "{both}");
    assert_eq!((gets, refused), (8, 2));
}

#[tokio::test]
async fn a_target_that_refuses_three_times_is_left_alone() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = Arc::new(route(&[dead_address().await, raw.url()]));
    let status = || route.upstream.as_ref().unwrap().status();
    let live = async {
        loop {
            raw.serve_one("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    };
    let asking = async {
        // Of two targets that are equally busy the first choice is random: the dead one is chosen soon.
        while status()[0].good {
            body(stage.ask(&route, get("/")).await.unwrap()).await.unwrap();
        }
        for _ in 0..20 {
            // Not one of these fails, though none may be tried again.
            stage.ask(&route, post("/", "x")).await.unwrap();
        }
    };
    tokio::select! {
        () = asking => {}
        () = live => {}
    }
    assert!(status()[1].good);
}

#[tokio::test]
async fn a_get_goes_to_another_target_when_a_new_connection_is_closed() {
    let stage = Stage::new();
    let (closing, serving) = (Raw::new().await, Raw::new().await);
    // Targets are chosen at random; with enough requests the closing one is chosen first.
    for _ in 0..8 {
        let route = Arc::new(route(&[closing.url(), serving.url()]));
        let close = async {
            loop {
                drop(closing.accept().await);
            }
        };
        let serve = async {
            let asked = stage.ask(&route, get("/"));
            let (answer, _) = tokio::join!(asked, serving.serve_one(OK));
            body(answer.unwrap()).await.unwrap()
        };
        tokio::select! {
            answer = serve => assert_eq!(answer, "ok"),
            () = close => {}
        }
    }
}

#[tokio::test]
async fn connections_that_are_closed_three_times_eject_a_target() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = raw.route();
    let good = || route.upstream.as_ref().unwrap().status()[0].good;
    for attempt in 0..3 {
        assert!(good(), "after {attempt}");
        let close = async { raw.accept().await.head().await };
        let (refused, _) = tokio::join!(stage.ask(&route, get("/")), close);
        reason(refused.unwrap_err());
    }
    assert!(!good());
    let (answer, _) = tokio::join!(stage.ask(&route, get("/")), raw.serve_one(OK));
    assert_eq!(body(answer.unwrap()).await.unwrap(), "ok", "the only target is tried all the same");
    assert!(good(), "a response ends the ejection");
}

#[tokio::test]
async fn connections_and_exchanges_are_counted() {
    let stage = Stage::new();
    let (_raw, route, connection) = warm(&stage).await;
    let status = route.upstream.as_ref().unwrap().status().remove(0);
    assert_eq!((status.in_flight, status.connections), (0, 1));
    drop(connection);
    soon(async {
        while route.upstream.as_ref().unwrap().status()[0].connections > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_dead_target_is_named_with_the_cause() {
    let stage = Stage::new();
    let target = dead_address().await;
    let dead = Arc::new(route(std::slice::from_ref(&target)));
    let reason_of = |refused: Result<Response<Body>, Refusal>| reason(refused.unwrap_err());
    let said = reason_of(stage.ask(&dead, get("/")).await);
    assert_eq!(said, format!("{target}: connection refused"));
    let unknown = Arc::new(route(&["http://no-such-host.invalid:1".to_owned()]));
    let said = reason_of(stage.ask(&unknown, get("/")).await);
    assert!(
        said.starts_with("http://no-such-host.invalid:1: no-such-host.invalid cannot be resolved"),
        "{said}"
    );
    let socket = Arc::new(route(&["unix:/nonexistent/app.sock".to_owned()]));
    let said = reason_of(stage.ask(&socket, get("/")).await);
    assert_eq!(said, "unix:/nonexistent/app.sock: no socket at /nonexistent/app.sock");
}

#[tokio::test]
async fn a_plain_port_is_reported_as_a_failed_tls_handshake() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let target = raw.url().replace("http:", "https:");
    let route = Arc::new(route(&[target]));
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.bytes(1).await;
        connection.write("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    };
    let (refused, ()) = tokio::join!(stage.ask(&route, get("/")), upstream);
    let reason = reason(refused.unwrap_err());
    assert!(reason.contains("TLS handshake failed"), "{reason}");
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_given_up_in_time() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let mut route = route(&[raw.url()]);
    route.timeouts.response_head = Duration::from_millis(60);
    let route = Arc::new(route);
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        assert_eq!(connection.rest().await, b"", "the connection is closed");
    };
    let (refused, ()) = tokio::join!(stage.ask(&route, get("/")), upstream);
    assert!(matches!(refused, Err(Refusal::UpstreamTimeout { .. })), "{refused:?}");
}
