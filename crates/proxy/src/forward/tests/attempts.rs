//! Connections: used again, tried again, given up.

use std::time::Duration;

use http::Request;
use tokio::net::TcpListener;

use super::{super::*, fixtures::*};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An address on which no process listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn served(world: &World, route: &Arc<Route>, connection: &mut Peeled) {
    let upstream = async {
        connection.head().await;
        connection.write(OK).await;
    };
    let (answer, ()) = tokio::join!(world.ask(route, get("/")), upstream);
    assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
}

/// A route with one connection that served a request and waits.
async fn warm(world: &World) -> (Raw, Arc<Route>, Peeled) {
    let raw = Raw::new().await;
    let route = raw.route();
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        connection.write(OK).await;
        connection
    };
    let (answer, connection) = tokio::join!(world.ask(&route, get("/")), upstream);
    assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
    (raw, route, connection)
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let world = World::new();
    let (raw, route, mut connection) = warm(&world).await;
    for _ in 0..5 {
        served(&world, &route, &mut connection).await;
    }
    assert!(raw.is_untouched().await);
}

#[tokio::test]
async fn a_get_survives_a_connection_that_was_closed_meanwhile() {
    let world = World::new();
    let (raw, route, mut connection) = warm(&world).await;
    let upstream = async {
        // The request arrives, and the upstream closes without an answer.
        connection.head().await;
        drop(connection);
        raw.serve_one(OK).await
    };
    let (answer, head) = tokio::join!(world.ask(&route, get("/again")), upstream);
    assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
    assert!(head.starts_with("GET /again "));
}

#[tokio::test]
async fn a_get_is_tried_again_once_only() {
    let world = World::new();
    let (raw, route, mut connection) = warm(&world).await;
    let upstream = async {
        connection.head().await;
        drop(connection);
        raw.accept().await.head().await;
    };
    let (refused, ()) = tokio::join!(world.ask(&route, get("/")), upstream);
    assert!(reason(refused.unwrap_err()).contains("connection closed before"));
    assert!(raw.is_untouched().await);
}

#[tokio::test]
async fn a_post_that_was_sent_is_never_sent_again() {
    let world = World::new();
    for request in
        [post("/", "body"), post("/", ""), Request::delete("/").body(Body::empty()).unwrap()]
    {
        let (raw, route, mut connection) = warm(&world).await;
        let upstream = async {
            connection.head().await;
            drop(connection);
        };
        let (refused, ()) = tokio::join!(world.ask(&route, request), upstream);
        reason(refused.unwrap_err());
        assert!(raw.is_untouched().await);
    }
}

#[tokio::test]
async fn an_answer_that_was_not_read_to_its_end_closes_the_connection() {
    let (world, raw) = (World::new(), Raw::new().await);
    let route = raw.route();
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegin").await;
        connection
    };
    let (answer, mut connection) = tokio::join!(world.ask(&route, get("/")), upstream);
    drop(answer.unwrap());
    assert_eq!(connection.rest().await, b"");
}

#[tokio::test]
async fn when_no_connection_comes_about_another_target_is_asked_but_never_for_a_post() {
    let world = World::new();
    let raw = Raw::new().await;
    let (mut gets, mut refused) = (0, 0);
    // Targets are chosen at random; enough requests meet the dead one first.
    for _ in 0..8 {
        let route = Arc::new(route(&[nobody().await, raw.url()]));
        let (answer, _) = tokio::join!(world.ask(&route, get("/")), raw.serve_one(OK));
        assert_eq!(body(answer.unwrap()).await.unwrap(), "ok");
        gets += 1;
    }
    let dead = Arc::new(route(&[nobody().await, nobody().await]));
    for _ in 0..2 {
        let reason = reason(world.ask(&dead, post("/", "x")).await.unwrap_err());
        assert_eq!(reason.matches("connection refused").count(), 1, "{reason}");
        refused += 1;
    }
    let both = reason(world.ask(&dead, get("/")).await.unwrap_err());
    assert_eq!(both.matches("connection refused").count(), 2, "{both}");
    assert_eq!((gets, refused), (8, 2));
}

#[tokio::test]
async fn a_target_that_refuses_three_times_is_left_alone() {
    let (world, raw) = (World::new(), Raw::new().await);
    let route = Arc::new(route(&[nobody().await, raw.url()]));
    let status = || route.upstream.as_ref().unwrap().status();
    let live = async {
        loop {
            raw.serve_one("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
    };
    let asking = async {
        // Of two targets that are equally busy the first choice is random: the dead one is met soon.
        while status()[0].good {
            body(world.ask(&route, get("/")).await.unwrap()).await.unwrap();
        }
        for _ in 0..20 {
            // Not one of these fails, though none may be tried again.
            world.ask(&route, post("/", "x")).await.unwrap();
        }
    };
    tokio::select! {
        () = asking => {}
        () = live => {}
    }
    assert!(status()[1].good);
}

#[tokio::test]
async fn connections_and_exchanges_are_counted() {
    let world = World::new();
    let (_raw, route, connection) = warm(&world).await;
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
    let world = World::new();
    let target = nobody().await;
    let dead = Arc::new(route(std::slice::from_ref(&target)));
    let reason_of = |refused: Result<Response<Body>, Refusal>| reason(refused.unwrap_err());
    let said = reason_of(world.ask(&dead, get("/")).await);
    assert_eq!(said, format!("{target}: connection refused"));
    let unknown = Arc::new(route(&["http://no-such-host.invalid:1".to_owned()]));
    let said = reason_of(world.ask(&unknown, get("/")).await);
    assert!(
        said.starts_with("http://no-such-host.invalid:1: no-such-host.invalid cannot be resolved"),
        "{said}"
    );
    let socket = Arc::new(route(&["unix:/nonexistent/app.sock".to_owned()]));
    let said = reason_of(world.ask(&socket, get("/")).await);
    assert_eq!(said, "unix:/nonexistent/app.sock: no socket at /nonexistent/app.sock");
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_named_so() {
    let (world, raw) = (World::new(), Raw::new().await);
    let target = raw.url().replace("http:", "https:");
    let route = Arc::new(route(&[target]));
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.octets(1).await;
        connection.write("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    };
    let (refused, ()) = tokio::join!(world.ask(&route, get("/")), upstream);
    let reason = reason(refused.unwrap_err());
    assert!(reason.contains("TLS handshake failed"), "{reason}");
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_given_up_in_time() {
    let (world, raw) = (World::new(), Raw::new().await);
    let mut route = route(&[raw.url()]);
    route.timeouts.response_head = Duration::from_millis(60);
    let route = Arc::new(route);
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.head().await;
        assert_eq!(connection.rest().await, b"", "the connection is closed");
    };
    let (refused, ()) = tokio::join!(world.ask(&route, get("/")), upstream);
    assert!(matches!(refused, Err(Refusal::UpstreamTimeout { .. })), "{refused:?}");
}
