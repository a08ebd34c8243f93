//! Upstreams over HTTP/2: connections, their streams, and the time that waiting for one takes.

use std::convert::Infallible;

use http_body_util::Empty;
use hyper::{body::Bytes, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, sync::Semaphore};

use super::{super::*, fixtures::*};

/// An upstream that allows this many streams on a connection; requests wait until `held` lets them go. Counts connections.
async fn limited(
    streams: u32,
    held: Arc<Semaphore>,
) -> (String, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let connections = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let held = Arc::clone(&held);
            let service = service_fn(move |_| {
                let held = Arc::clone(&held);
                async move {
                    held.acquire().await.unwrap().forget();
                    Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                }
            });
            tokio::spawn(
                http2::Builder::new(TokioExecutor::new())
                    .max_concurrent_streams(streams)
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (url, connections)
}

fn with_connect(url: &str, connect: Duration) -> Arc<Route> {
    let mut route = route(&[url.to_owned()]);
    route.timeouts.connect = connect;
    Arc::new(route)
}

#[tokio::test]
async fn a_limit_of_streams_opens_more_connections() {
    let held = Arc::new(Semaphore::new(0));
    let (url, connections) = limited(4, Arc::clone(&held)).await;
    let (stage, route) = (Arc::new(Stage::new()), with_connect(&url, SOON));
    let asks: Vec<_> = (0..10)
        .map(|_| {
            let (stage, route) = (Arc::clone(&stage), Arc::clone(&route));
            tokio::spawn(async move { stage.ask(&route, get("/")).await.unwrap().status() })
        })
        .collect();
    let upstream = route.upstream.as_ref().unwrap();
    let begun = Instant::now();
    while connections.load(std::sync::atomic::Ordering::SeqCst) < 3 {
        assert!(begun.elapsed() < SOON, "{:?}", upstream.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    held.add_permits(10);
    for ask in asks {
        assert_eq!(ask.await.unwrap(), 200);
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 3);
    // Of the connections without a stream, one stays.
    held.add_permits(1);
    assert_eq!(stage.ask(&route, get("/")).await.unwrap().status(), 200);
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_silent_upstream_fails_all_who_wait_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    let connect = Duration::from_millis(400);
    let (stage, route) = (Stage::new(), with_connect(&url, connect));
    let begun = Instant::now();
    let asks = (0..8).map(|_| stage.ask(&route, post("/", "x")));
    for refused in futures_util::future::join_all(asks).await {
        let said = reason(refused.unwrap_err());
        assert!(
            said.contains("no HTTP/2: the upstream sends no SETTINGS")
                || said.contains("no connection within"),
            "{said}"
        );
    }
    assert!(begun.elapsed() < connect * 3, "{:?}", begun.elapsed());
    silent.abort();
}

#[tokio::test]
async fn an_upstream_of_another_protocol_is_named() {
    let (stage, raw) = (Stage::new(), Raw::new().await);
    let route = with_connect(&format!("h2c://{}", raw.address()), SOON);
    let upstream = async {
        let mut connection = raw.accept().await;
        connection.write("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    };
    let (refused, ()) = tokio::join!(stage.ask(&route, get("/")), upstream);
    let said = reason(refused.unwrap_err());
    assert!(said.contains("no HTTP/2: the upstream closed the connection"), "{said}");
}
