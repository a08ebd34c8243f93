//! gRPC through the whole line: HTTP/2 from the client to the upstream, in clear text and over TLS.

mod call;
mod reset;
mod service;

use dev_issuer::Mint;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;

use self::call::{Client, GrpcAnswer, Messages};
use crate::test_gateway::{TestGateway, free_port};

/// `SERVICE` serves HTTP/2, no process listens on `DOWN`.
const ROUTES: &str = "
  score:
    match: { path: /lab.Score }
    upstream: SERVICE
    access: [ { allow: { roles: [data-scientist] } } ]
  down:
    match: { path: /lab.Down }
    upstream: DOWN
    access: [ { allow: signed_in } ]
";

async fn routes() -> String {
    let down = format!("h2c://127.0.0.1:{}", free_port());
    ROUTES.replace("SERVICE", &service::start().await).replace("DOWN", &down)
}

async fn gateway() -> TestGateway {
    TestGateway::new(&routes().await).await
}

fn token(gateway: &TestGateway, user: &str) -> String {
    gateway.issuer().mint(Mint::access(user).client("gateway").audience(["gateway"])).unwrap()
}

/// A call as gRPC libraries make it.
fn call(gateway: &TestGateway, method: &str, token: Option<&str>) -> http::request::Builder {
    let request = Request::post(format!("{}/{method}", gateway.base))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers");
    match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    }
}

/// Calls with one message, and reads the request headers that the service saw, its answer and its trailers.
async fn unary(gateway: &TestGateway, client: &mut Client) -> (Value, String, HeaderMap) {
    let request = call(gateway, "lab.Score/Predict", Some(&token(gateway, "alice")));
    let (messages, body) = Messages::new();
    messages.send("abc");
    drop(messages);
    let mut answer = GrpcAnswer::of(client.send(request.body(body).unwrap()).await);
    let received = serde_json::from_str(&answer.message().await.unwrap()).unwrap();
    let echoed = answer.message().await.unwrap();
    assert_eq!(answer.message().await, None);
    (received, echoed, answer.into_trailers())
}

fn arrived((received, echoed, trailers): &(Value, String, HeaderMap)) {
    assert_eq!(received["x-forwarded-preferred-username"], "alice");
    assert!(received["x-forwarded-roles"].as_str().unwrap().contains("data-scientist"));
    assert!(received["x-doorward-assertion"].is_string());
    assert_eq!(received["content-type"], "application/grpc+proto");
    assert_eq!(received.get("authorization"), None);
    assert_eq!(echoed, "abc");
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["grpc-message"], "1 message");
}

#[tokio::test]
async fn a_unary_call_carries_the_caller_and_returns_trailers() {
    let gateway = gateway().await;
    let mut client = Client::in_clear_text(&gateway).await;
    for _ in 0..3 {
        arrived(&unary(&gateway, &mut client).await);
    }
}

#[tokio::test]
async fn a_unary_call_is_the_same_over_tls() {
    let gateway = TestGateway::over_tls(&routes().await).await;
    let answered = unary(&gateway, &mut Client::over_tls(&gateway).await).await;
    arrived(&answered);
    assert_eq!(answered.0["x-forwarded-proto"], "https");
}

#[tokio::test]
async fn each_message_is_answered_while_the_client_still_streams() {
    let gateway = gateway().await;
    let mut client = Client::in_clear_text(&gateway).await;
    let (messages, body) = Messages::new();
    let request = call(&gateway, "lab.Score/Chat", Some(&token(&gateway, "alice")));
    let mut answer = GrpcAnswer::of(client.send(request.body(body).unwrap()).await);
    answer.message().await.unwrap();
    for text in ["one", "two", "three"] {
        messages.send(text);
        assert_eq!(answer.message().await.as_deref(), Some(text));
    }
    drop(messages);
    assert_eq!(answer.message().await, None);
    assert_eq!(answer.into_trailers()["grpc-message"], "3 messages");
}

/// The listener gives other bodies 10 s before they must arrive at 100 bytes a second.
#[tokio::test]
async fn a_call_that_is_answered_at_its_end_may_pause() {
    let gateway = gateway().await;
    let mut client = Client::in_clear_text(&gateway).await;
    let (messages, body) = Messages::new();
    let request = call(&gateway, "lab.Score/Collect", Some(&token(&gateway, "alice")));
    let answered = client.begin(request.body(body).unwrap()).await;
    let talking = async {
        messages.send("one");
        tokio::time::sleep(std::time::Duration::from_secs(12)).await;
        messages.send("two");
        drop(messages);
    };
    let (answered, ()) = tokio::join!(answered, talking);
    let mut answer = GrpcAnswer::of(answered);
    assert_eq!(answer.message().await.as_deref(), Some("16 bytes"));
    assert_eq!(answer.message().await, None);
    assert_eq!(answer.into_trailers()["grpc-status"], "0");
}

/// Only calls that the rules permit may pause: others never reach the stage that limits them.
#[tokio::test]
async fn a_refused_call_gets_no_time_to_pause() {
    let gateway = gateway().await;
    let mut client = Client::in_clear_text(&gateway).await;
    let (messages, body) = Messages::new();
    messages.send("one");
    let request = call(&gateway, "lab.Score/Collect", Some(&token(&gateway, "bob")));
    assert_eq!(trailers_only(client.send(request.body(body).unwrap()).await).await, "7");
}

#[tokio::test]
async fn te_arrives_and_the_clients_trailers_do_not() {
    let gateway = gateway().await;
    let mut client = Client::in_clear_text(&gateway).await;
    let (messages, body) = Messages::new();
    messages.send("abc");
    messages.end_with("x-forwarded-user", "mallory");
    let request = call(&gateway, "lab.Score/Predict", Some(&token(&gateway, "alice")));
    let mut answer = GrpcAnswer::of(client.send(request.body(body).unwrap()).await);
    let received: Value = serde_json::from_str(&answer.message().await.unwrap()).unwrap();
    assert_eq!(received["te"], "trailers");
    assert_eq!(answer.message().await.as_deref(), Some("abc"));
    assert_eq!(answer.message().await, None);
    let trailers = answer.into_trailers();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["x-seen-trailers"], "none");
}

/// The `grpc-status` of an answer that consists of its head.
async fn trailers_only(response: Response<Incoming>) -> String {
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let status = response.headers()["grpc-status"].to_str().unwrap().to_owned();
    assert!(!response.headers()["grpc-message"].is_empty());
    let mut answer = GrpcAnswer::of(response);
    assert_eq!(answer.message().await, None);
    assert!(answer.into_trailers().is_empty());
    status
}

#[tokio::test]
async fn a_refusal_is_a_status_that_grpc_knows() {
    let gateway = gateway().await;
    let mut client = Client::in_clear_text(&gateway).await;
    let (alice, bob) = (token(&gateway, "alice"), token(&gateway, "bob"));
    for (method, token, status) in [
        ("lab.Score/Predict", None, "16"),
        ("lab.Score/Predict", Some("nonsense"), "16"),
        ("lab.Score/Predict", Some(bob.as_str()), "7"),
        ("lab.Down/Predict", Some(alice.as_str()), "14"),
        ("lab.Nothing/Predict", Some(alice.as_str()), "12"),
    ] {
        // The client is still streaming when it is refused.
        let (messages, body) = Messages::new();
        messages.send("abc");
        let request = call(&gateway, method, token).body(body).unwrap();
        assert_eq!(trailers_only(client.send(request).await).await, status, "{method} {token:?}");
    }
    arrived(&unary(&gateway, &mut client).await);
}

#[tokio::test]
async fn a_flood_of_resets_does_not_disturb_other_clients() {
    let gateway = gateway().await;
    let mut client = Client::in_clear_text(&gateway).await;
    arrived(&unary(&gateway, &mut client).await);
    let alice = token(&gateway, "alice");
    let flood = reset::flood(&gateway, &alice, 500);
    let others = async {
        for _ in 0..20 {
            arrived(&unary(&gateway, &mut client).await);
        }
    };
    // The connection either ends with GOAWAY or continues; it never just breaks.
    let (last, ()) = tokio::join!(flood, others);
    assert!(
        matches!(last, reset::Last::GoAway(reset::ENHANCE_YOUR_CALM) | reset::Last::Alive),
        "{last:?}"
    );
    arrived(&unary(&gateway, &mut client).await);
}
